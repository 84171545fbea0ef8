"""Waits that end in the triggerer, on real Airflow processes: their XComs arrive, and what follows them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_avala.emulator.seeds import SEED_PROJECT_ID
from scripts.local_airflow import AIRFLOW_2, LocalAirflow

from .runs import Run

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

SECONDS = 6.0
WAITS = {"create": "str", "export": "dict", "dataset": "dict", "at_once": "dict"}


@pytest.fixture(scope="module")
def endings(airflow: LocalAirflow, avala: Emulator, failures: dict[str, Run]) -> Run:
    """The DAG's run, while nothing else goes on."""
    airflow.wait_for_dag("avala_endings")
    avala.export_seconds = SECONDS
    dataset_id = avala.add_dataset("Getting ready")
    avala.store.tables["datasets"][dataset_id]["_ready_at"] = avala.now() + SECONDS
    conf = {
        "project_id": SEED_PROJECT_ID,
        "export_id": avala.add_export(seconds=SECONDS),
        "dataset_id": dataset_id,
    }
    run = Run("avala_endings", airflow.trigger("avala_endings", conf), conf)
    run.finish(airflow, airflow.follow(run.dag_id, run.run_id))
    return run


def test_all_that_follows_runs(endings: Run) -> None:
    assert endings.state == "success"
    assert {endings.last(f"{task_id}_told")["state"] for task_id in WAITS} == {"success"}


@pytest.mark.parametrize("task_id", WAITS)
def test_the_xcom_arrives_as_what_it_is(
    task_id: str, endings: Run, airflow: LocalAirflow, avala: Emulator
) -> None:
    created = next(e["id"] for e in avala.exports if (e["name"] or "").startswith("avala_endings.create"))
    wanted = endings.conf.get(f"{task_id}_id", created)
    assert airflow.return_value(endings.dag_id, endings.run_id, f"{task_id}_told") == (
        f"{WAITS[task_id]} {wanted}"
    )


def test_no_worker_is_needed_after_the_wait(endings: Run) -> None:
    waited = [states for task_id in WAITS if "deferred" in (states := endings.states(task_id))]
    assert waited
    for states in waited:
        assert states[states.index("deferred") :] == ["deferred", "success"]


def test_no_worker_is_needed_before_the_wait_from_airflow_3_3_on(endings: Run, airflow: LocalAirflow) -> None:
    logs = airflow.task_logs(endings.dag_id, endings.run_id, "at_once")
    assert any(".trigger." not in log.name for log in logs) is (airflow.flavour is AIRFLOW_2)
