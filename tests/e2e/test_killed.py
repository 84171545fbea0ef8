"""A worker of a real Airflow is killed with -9 while it creates an export; Airflow's own retry finds that export."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from airflow_provider_avala.emulator import faults
from airflow_provider_avala.emulator.seeds import SEED_PROJECT_ID
from scripts.local_airflow import LocalAirflow

from .runs import Run

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

DAG_ID = "avala_killed"


def created(avala: Emulator) -> list[str]:
    """The exports of this DAG."""
    return [export["id"] for export in avala.exports if (export["name"] or "").startswith(DAG_ID)]


def who_talks_to(port: int, airflow: LocalAirflow) -> int | None:
    """The process of a task that has a connection to this port."""
    for process in psutil.Process(airflow.children["scheduler"].popen.pid).children(recursive=True):
        for connection in process.net_connections("tcp"):
            if connection.raddr and connection.raddr.port == port:
                return process.pid
    return None


@pytest.fixture(scope="module")
def killed(airflow: LocalAirflow, avala: Emulator, failures: dict[str, Run]) -> Run:
    """The run of a DAG whose task was killed before the answer came."""
    airflow.wait_for_dag(DAG_ID)
    avala.export_seconds = 0
    avala.inject(faults.hang_after_commit(), method="POST", path="/exports")
    run = Run(DAG_ID, airflow.trigger(DAG_ID, {"project_id": SEED_PROJECT_ID}))
    airflow.wait(lambda: created(avala), 60, "the export to be created")
    port = int(avala.base_url.split(":")[2].split("/")[0])
    os.kill(airflow.wait(lambda: who_talks_to(port, airflow), 10, "the worker to be found"), signal.SIGKILL)
    run.finish(airflow, airflow.follow(run.dag_id, run.run_id))
    return run


def test_the_retry_goes_on_with_the_export_of_the_killed_worker(
    killed: Run, airflow: LocalAirflow, avala: Emulator
) -> None:
    assert (killed.state, killed.last("create")["try_number"]) == ("success", 2)
    assert created(avala) == [airflow.return_value(killed.dag_id, killed.run_id, "create")]


def test_a_cleared_task_creates_exactly_one_more(killed: Run, airflow: LocalAirflow, avala: Emulator) -> None:
    before = created(avala)
    airflow.clear(killed.dag_id, killed.run_id, "create")
    killed.finish(airflow, airflow.follow(killed.dag_id, killed.run_id))
    assert (killed.state, killed.last("create")["try_number"]) == ("success", 3)
    assert created(avala) == [*before, airflow.return_value(killed.dag_id, killed.run_id, "create")]
