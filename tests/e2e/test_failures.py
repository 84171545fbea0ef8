"""What ends a task at once, on real Airflow processes, and what its log says."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.local_airflow import LocalAirflow

from .runs import Run


def log_of(airflow: LocalAirflow, run: Run, task_id: str) -> str:
    return "".join(path.read_text() for path in airflow.task_logs(run.dag_id, run.run_id, task_id))


@pytest.mark.parametrize(
    ("dag_id", "task_id", "said"),
    [
        ("avala_wrong_key", "create", "401"),
        ("avala_wrong_key", "wait", "401"),
        ("avala_failed_export", "wait", "failed"),
    ],
)
def test_what_no_retry_can_mend_fails_at_the_first_try(
    failures: dict[str, Run], airflow: LocalAirflow, dag_id: str, task_id: str, said: str
) -> None:
    run = failures[dag_id]
    assert run.state == "failed"
    assert (run.last(task_id)["state"], run.last(task_id)["try_number"]) == ("failed", 1)
    assert said in log_of(airflow, run, task_id)


@pytest.mark.parametrize(
    ("task_id", "said"), [("refused", "403"), ("dropped", "connection"), ("astray", "onnection")]
)
def test_a_broken_download_fails_and_leaves_no_file_that_looks_whole(
    failures: dict[str, Run], airflow: LocalAirflow, task_id: str, said: str
) -> None:
    run = failures["avala_broken_download"]
    assert run.last(task_id)["state"] == "failed"
    assert said in log_of(airflow, run, task_id)
    assert list(Path(run.conf["folder"]).glob("*.zip")) == []
