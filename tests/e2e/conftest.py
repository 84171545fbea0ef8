"""One real Airflow and one Avala emulator for all end-to-end tests."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_avala.emulator import RequestRecord, faults, running_emulator
from airflow_provider_avala.emulator.seeds import SEED_PROJECT_ID
from scripts.local_airflow import LocalAirflow
from scripts.processes import free_port

from .leaks import places_of
from .runs import ASTRAY, WRONG_KEY, Quickstart, Run

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

ROOT = Path(__file__).parents[2]
FOREVER = 24 * 3600.0


@pytest.fixture(scope="package")
def avala() -> Iterator[Emulator]:
    """An emulator with a key of its own, whose exports end only when a test says so."""
    with running_emulator(api_key=f"avk_right_{secrets.token_hex(16)}", export_seconds=FOREVER) as emulator:
        yield emulator


@pytest.fixture(scope="package")
def airflow(avala: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """Airflow's own processes; the connections are given as environment variables."""
    home = tmp_path_factory.mktemp("airflow")
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(ROOT / "dags" / "avala_quickstart.py", dags)
    for name in ("avala_failures.py", "avala_endings.py", "avala_killed.py", "avala_killed_upload.py"):
        shutil.copy(ROOT / "tests" / "e2e" / "dags" / name, dags)
    connection = {"conn_type": "avala", "host": avala.base_url}
    env = {
        "AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(connection | {"password": avala.api_key}),
        "AIRFLOW_CONN_AVALA_WRONG_KEY": json.dumps(connection | {"password": WRONG_KEY}),
        "AIRFLOW_CONN_AVALA_IMPATIENT": json.dumps(
            connection | {"password": avala.api_key, "extra": {"max_retry_seconds": 1}}
        ),
    }
    with LocalAirflow(home, dags_folder=dags, env=env) as running:
        yield running


@pytest.fixture(scope="package")
def quickstart(airflow: LocalAirflow, avala: Emulator) -> Quickstart:
    """The quickstart DAG, triggered through the REST API; its export ends once the wait has been watched."""
    dag_id = "avala_quickstart"
    airflow.wait_for_dag(dag_id)
    run = Quickstart(dag_id, airflow.trigger(dag_id))
    changes = airflow.follow(dag_id, run.run_id)
    run.follow_until(changes, "deferred")

    before = len(avala.requests)

    def polls() -> list[RequestRecord] | None:
        seen = [r for r in avala.requests[before:] if r.method == "GET" and r.path.startswith("/exports")]
        return seen if len(seen) >= 2 else None

    run.polls_while_deferred = airflow.wait(polls, 60, "two polls by the trigger")
    [export] = avala.exports
    run.export_state_then = export["status"]
    run.key_then = places_of(airflow.home, [avala.api_key])
    run.export_id_then = places_of(airflow.home, [export["uid"]])
    states_then = {task["state"] for task in airflow.task_instances(dag_id, run.run_id).values()}
    assert not states_then & {"running", "queued"}, states_then
    avala.finish_export(export["uid"])
    run.finish(airflow, changes)
    run.requests = avala.requests
    return run


@pytest.fixture(scope="package")
def failures(
    airflow: LocalAirflow, avala: Emulator, quickstart: Quickstart, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    """The DAGs that must fail, run side by side after the quickstart."""
    avala.export_seconds = 0
    avala.fail_next_export()
    conf = {
        "project_id": SEED_PROJECT_ID,
        "folder": str(tmp_path_factory.mktemp("broken")),
        "export_id": avala.exports[0]["uid"],
        "refused": avala.add_export(status="exported"),
        "dropped": avala.add_export(status="exported"),
        "astray": avala.add_export(status="exported"),
    }
    nowhere = f"http://127.0.0.1:{free_port()}/astray.zip?Signature={ASTRAY}"
    avala.inject(faults.status(403), origin="storage", path=f"/exports/{conf['refused']}", times=100)
    avala.inject(faults.reset_mid_body(), origin="storage", path=f"/exports/{conf['dropped']}", times=100)
    avala.inject(faults.redirect(nowhere), origin="storage", path=f"/exports/{conf['astray']}", times=100)
    runs = {}
    for dag_id in ("avala_wrong_key", "avala_failed_export", "avala_broken_download"):
        airflow.wait_for_dag(dag_id)
        runs[dag_id] = Run(dag_id, airflow.trigger(dag_id, conf), conf)
    for run in runs.values():
        run.finish(airflow, airflow.follow(run.dag_id, run.run_id))
    return runs
