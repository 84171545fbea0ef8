"""A worker of a real Airflow is killed with -9 while it uploads; Airflow's own retry goes on with what is missing."""

from __future__ import annotations

import ast
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_avala.emulator import faults
from scripts.local_airflow import LocalAirflow

from .runs import Run
from .test_killed import who_talks_to

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

DAG_ID = "avala_killed_upload"
ROWS = [{"killed": number} for number in range(20)]


@pytest.fixture
def dataset(avala: Emulator) -> str:
    """A dataset of the test's own, because the other tests count the rows of theirs."""
    return avala.add_dataset("Killed uploads")


def returned(airflow: LocalAirflow, run: Run) -> Any:
    """What the upload returned; Airflow 2 tells it as Python would write it."""
    found = airflow.return_value(run.dag_id, run.run_id, "upload")
    return ast.literal_eval(found) if isinstance(found, str) else found


def test_the_retry_sends_what_is_missing_and_no_row_is_stored_twice(
    airflow: LocalAirflow, avala: Emulator, dataset: str, failures: dict[str, Run], tmp_path: Path
) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    airflow.wait_for_dag(DAG_ID)
    path = f"/datasets/{dataset}/items"
    avala.inject(faults.hang_after_commit(), method="POST", path=path, skip=2)
    run = Run(DAG_ID, airflow.trigger(DAG_ID, {"dataset_id": dataset, "source": str(file)}))
    airflow.wait(lambda: len(avala.items(dataset)) >= 9, 60, "the third part to be stored")
    port = int(avala.base_url.split(":")[2].split("/")[0])
    os.kill(airflow.wait(lambda: who_talks_to(port, airflow), 10, "the worker to be found"), signal.SIGKILL)
    run.finish(airflow, airflow.follow(run.dag_id, run.run_id))

    assert (run.state, run.last("upload")["try_number"]) == ("success", 2)
    assert avala.items(dataset) == ROWS
    found = returned(airflow, run)
    assert (found["items"], found["resumed_parts"], found["unknown_parts"]) == (20, 2, 1)


def test_a_cleared_task_goes_on_behind_what_is_stored_once_a_bad_line_is_mended(
    airflow: LocalAirflow, avala: Emulator, dataset: str, failures: dict[str, Run], tmp_path: Path
) -> None:
    rows = [{"killed": number} for number in range(100, 120)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    file = tmp_path / "items.jsonl"
    file.write_text(lines.replace("110}", "110"))
    airflow.wait_for_dag(DAG_ID)
    run = Run(DAG_ID, airflow.trigger(DAG_ID, {"dataset_id": dataset, "source": str(file)}))
    run.finish(airflow, airflow.follow(run.dag_id, run.run_id))
    assert (run.state, run.last("upload")["try_number"]) == ("failed", 1)
    before = list(avala.items(dataset))
    assert before == rows[: len(before)] != []

    file.write_text(lines)
    airflow.clear(run.dag_id, run.run_id, "upload")
    run.finish(airflow, airflow.follow(run.dag_id, run.run_id))
    assert run.state == "success"
    assert list(avala.items(dataset)) == rows
    found = returned(airflow, run)
    assert found["resumed_parts"] > 0
