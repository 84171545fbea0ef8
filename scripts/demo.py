"""``make demo``: the quickstart DAG on a real Airflow, against a local Avala, told step by step.

Run as ``python -m scripts.demo`` with the Python of a venv that has this package, its emulator and Airflow.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from scripts.airflow_logs import tail
from scripts.console import CROSS, TICK, WIDTH, elapsed, say, step
from scripts.local_airflow import LocalAirflow
from scripts.local_avala import LocalAvala, start_avala
from scripts.processes import LocalError, end_on_signals, only_one
from scripts.troubles import DISK_IS_FULL, explain

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
DAG_ID = "avala_quickstart"
NEEDED_BYTES = 50_000_000
FULL_BYTES = 1_000_000  # programs that find the disk full cannot even write that into their logs


def main() -> int:
    """Run the demo; 0 when the export has been downloaded."""
    end_on_signals()
    try:
        with only_one(FOLDER, "make demo"):
            empty(FOLDER)
            demo(FOLDER)
    except KeyboardInterrupt:
        say(f"\n  {CROSS} interrupted; everything that was started has been stopped")
        return 130
    except (LocalError, OSError) as error:
        report(error, FOLDER)
        return 1
    return 0


def empty(folder: Path) -> None:
    """Remove what an earlier run has left, and check that there is room for this one."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise LocalError(f"only {free / 1e6:.0f} MB free in {folder}, {NEEDED_BYTES / 1e6:.0f} MB needed")


def demo(folder: Path) -> None:
    """Start everything, run the DAG, show the file, stop everything."""
    home = folder / "airflow"
    dags = home / "dags"
    dags.mkdir(parents=True)
    shutil.copy(ROOT / "dags" / f"{DAG_ID}.py", dags)

    with step("Avala emulator") as line:
        avala = start_avala(folder / "avala", env=os.environ)
        line.text = f"Avala emulator on {avala.base_url}"
    try:
        airflow = LocalAirflow(home, dags_folder=dags)
        airflow.env["AIRFLOW_CONN_AVALA_DEFAULT"] = json.dumps(avala.connection)
        say(f"  {TICK} Connection avala_default, given to Airflow as an environment variable:")
        say(f"       AIRFLOW_CONN_AVALA_DEFAULT='{json.dumps(shown(avala))}'")
        with step(f"Airflow {airflow.version}: database in {short(home)}"):
            airflow.prepare()
        try:
            with step(f"Airflow {airflow.version}: {', '.join(airflow.flavour.components)}"):
                airflow.start()
                airflow.wait_until_healthy()
            run(airflow)
            show_witness(avala)
        finally:
            airflow.stop()
    finally:
        avala.process.stop()
    say(f"  {TICK} Stopped everything; nothing is left running")
    show_export(home)


def run(airflow: LocalAirflow) -> None:
    """Trigger the DAG through the REST API and tell each change until it has succeeded.

    :raises LocalError: when it has not
    """
    with step(f"DAG {DAG_ID}: parsed and triggered through the REST API"):
        airflow.wait_for_dag(DAG_ID)
        run_id = airflow.trigger(DAG_ID)
    began = time.monotonic()
    states: dict[str, str] = {}
    for task in airflow.follow(DAG_ID, run_id):
        states[task["task_id"]] = task["state"]
        if task["state"] in TOLD:
            say(f"       {task['task_id']:<17}{tell(task):<{WIDTH - 20}}{elapsed(time.monotonic() - began)}")
    failed = [task_id for task_id, state in states.items() if state == "failed"]
    if failed or set(states.values()) != {"success"}:
        name = failed[0] if failed else next(iter(states), "")
        raise LocalError(f"the DAG run failed in {name!r}", airflow.task_logs(DAG_ID, run_id, name))


TOLD = {"running", "deferred", "success", "failed", "up_for_retry", "upstream_failed"}


def tell(task: dict[str, Any]) -> str:
    """One state of one task, and where the waiting happens."""
    if task["state"] == "deferred":
        name = str((task.get("trigger") or {}).get("classpath", "")).rpartition(".")[2]
        return f"deferred to the triggerer ({name})"
    return str(task["state"])


def show_witness(avala: LocalAvala) -> None:
    """What the other side of the wire has seen."""
    state, requests = avala.control("state"), avala.control("requests")
    items = sum(dataset["item_count"] for dataset in state["datasets"])
    polls = sum(1 for r in requests if r["method"] == "GET" and r["path"].startswith("/exports"))
    with_key = sum(1 for r in requests if r["origin"] == "storage" and r["key_present"])
    say(
        f"  {TICK} Avala's own log: {items:,} items stored, {len(state['exports'])} export, {polls} looks at it,"
    )
    say(f"       and {with_key or 'no'} requests with the API key at its file store")


def show_export(home: Path) -> None:
    """Path and first rows of the file."""
    [path] = (home / "avala").glob("export-*.zip")
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".jsonl"))
        rows = archive.read(name).decode().splitlines()
    say(f"  {TICK} Downloaded {short(path)} ({path.stat().st_size:,} bytes)")
    say(f"       {name} has {len(rows):,} rows and begins:\n")
    for row in rows[:3]:
        say(f"       {row[:110]}")
    say()


def shown(avala: LocalAvala) -> dict[str, str]:
    """The connection without its secret."""
    return avala.connection | {"password": "***"}


def short(path: Path) -> str:
    """A path as seen from the checkout."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def report(error: LocalError | OSError, folder: Path) -> None:
    """Say what is wrong, what helps, and show the end of the logs that know more."""
    logs = error.logs if isinstance(error, LocalError) else []
    say(f"  {CROSS} {error}")
    remedy = explain("\n".join([str(error), *(tail(log, 200) for log in logs)]))
    if folder.exists() and shutil.disk_usage(folder).free < FULL_BYTES:
        remedy = DISK_IS_FULL
    if remedy:
        say(f"    {remedy}")
    for log in logs:
        say(f"\n    The end of {short(log)}:\n")
        say(tail(log))


if __name__ == "__main__":
    sys.exit(main())
