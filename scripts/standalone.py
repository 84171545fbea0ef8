"""``make standalone``: Airflow's UI and a local Avala to play with, until Ctrl-C.

The database in ``.standalone`` outlives a run, the emulator's content does not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path

from scripts.console import say, step
from scripts.demo import ROOT, report, short
from scripts.local_airflow import LocalAirflow
from scripts.local_avala import LocalAvala, start_avala
from scripts.processes import LocalError, end_on_signals, only_one, port_is_free, wait_until

FOLDER = ROOT / ".standalone"


def main() -> int:
    """Run until Ctrl-C; 0 then."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--airflow-port", type=int, default=8080)
    parser.add_argument("--avala-port", type=int, default=8765)
    options = parser.parse_args()
    end_on_signals()
    try:
        with only_one(FOLDER, "make standalone"):
            check_port(options.airflow_port, "AIRFLOW_PORT")
            check_port(options.avala_port, "AVALA_PORT")
            play(FOLDER, options.airflow_port, options.avala_port)
    except KeyboardInterrupt:
        say("\n  Stopped everything; nothing is left running")
        return 0
    except (LocalError, OSError) as error:
        report(error, FOLDER)
        return 1
    return 0


def check_port(port: int, variable: str) -> None:
    """Say how to choose another port, should this one be taken."""
    if not port_is_free(port):
        raise LocalError(
            f"port {port} of 127.0.0.1 is taken: choose another, for example make standalone {variable}={port + 1}"
        )


def play(folder: Path, airflow_port: int, avala_port: int) -> None:
    """Start everything and keep it running."""
    with step("Avala emulator"):
        avala = start_avala(folder / "avala", env=os.environ, port=avala_port)
    try:
        airflow = LocalAirflow(folder / "airflow", dags_folder=ROOT / "dags", port=airflow_port)
        exports = (folder / "exports").resolve().as_uri()
        airflow.env |= {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled", "AVALA_EXPORTS_FOLDER": exports}
        with step(f"Airflow {airflow.version}: database in {short(airflow.home)}"):
            airflow.prepare()
        try:
            with step(f"Airflow {airflow.version}: {', '.join(airflow.flavour.components)}"):
                airflow.start()
                airflow.wait_until_healthy()
            with step("Connection avala_default, pools"):
                airflow.set_connection("avala_default", avala.connection)
                add_pools(airflow)
            invite(airflow, avala)
            watch(airflow, avala)
        finally:
            airflow.stop()
    finally:
        avala.process.stop()


def add_pools(airflow: LocalAirflow) -> None:
    """The pools that come with the provider; a task of avala_many_exports would wait for its pool for ever."""
    path = f"{airflow.flavour.api}/pools"
    known = {pool["name"] for pool in airflow.request("GET", path)["pools"]}
    pools = json.loads((ROOT / "airflow_provider_avala" / "pools.json").read_text())
    for name in pools.keys() - known:
        airflow.request("POST", path, {"name": name, **pools[name]})


def invite(airflow: LocalAirflow, avala: LocalAvala) -> None:
    """Where to look and what to click."""
    say(f"""
  Airflow UI    {airflow.url}  (no password; only this machine can reach it)
  try           {airflow.url}/dags/avala_quickstart  and its button Trigger
  connection    {airflow.url}/connections
  Avala         {avala.base_url}  key {avala.api_key}
  what it saw   {avala.base_url.removesuffix("/api/v1")}/__emulator__/requests
  DAG files     {short(ROOT / "dags")}/
  logs          {short(airflow.process_logs)}/

  Ctrl-C stops everything.""")


def watch(airflow: LocalAirflow, avala: LocalAvala) -> None:
    """Sleep until Ctrl-C, or until one of the processes ends."""
    children = [avala.process, *airflow.children.values()]
    wait_until(lambda: False, threading.TIMEOUT_MAX, "Ctrl-C", children=children)


if __name__ == "__main__":
    sys.exit(main())
