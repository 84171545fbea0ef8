"""Whole DAG runs by ``dag.test()``, on a metadata database and with everything in between that Airflow does."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, Emulator, running_emulator
from tests.airflow_support import connection, metadata_database

FILE = Path(__file__).parent / "dags" / "avala_real_runs.py"


@dataclass
class Finished:
    """A DAG run that is over."""

    avala: Emulator
    folder: Path
    dag: Any
    run: Any
    states: dict[tuple[str, int], str]
    tries: dict[str, int]

    def value(self, task_id: str, map_index: int = -1) -> Any:
        """The return value of a task."""
        [ti] = [ti for ti in self.task_instances() if (ti.task_id, ti.map_index) == (task_id, map_index)]
        return ti.xcom_pull(task_ids=task_id, map_indexes=map_index)

    def task_instances(self) -> list[Any]:
        from airflow.utils.session import create_session

        with create_session() as session:
            return list(self.run.get_task_instances(session=session))


@pytest.fixture(scope="module")
def avala() -> Iterator[Emulator]:
    """An emulator and two connections to it, one with a wrong key."""
    with running_emulator(rate_limits=None, export_seconds=0.2, max_exports=100) as emulator:
        variables = {
            "AIRFLOW_CONN_AVALA_DEFAULT": connection(emulator.base_url, emulator.api_key),
            "AIRFLOW_CONN_AVALA_WRONG_KEY": connection(emulator.base_url, "avk_wrong_key"),
        }
        with mock.patch.dict("os.environ", variables):
            yield emulator


@pytest.fixture(scope="module")
def dags() -> Any:
    """The module with the DAGs, in the folder where Airflow looks for it."""
    from airflow import settings

    metadata_database()
    target = Path(settings.DAGS_FOLDER) / FILE.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(FILE, target)
    spec = importlib.util.spec_from_file_location("avala_real_runs", target)
    assert spec
    assert spec.loader
    module = sys.modules["avala_real_runs"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(dag: Any, avala: Emulator, folder: Path, **conf: Any) -> Finished:
    """Run a DAG to its end."""
    ends = {"project_id": SEED_PROJECT_ID, "dataset_id": SEED_DATASET_ID, "folder": str(folder)}
    dag_run = dag.test(run_conf=ends | conf)
    found = Finished(avala, folder, dag, dag_run, {}, {})
    for ti in found.task_instances():
        found.states[ti.task_id, ti.map_index] = str(getattr(ti.state, "value", ti.state))
        found.tries[ti.task_id] = ti.try_number
    return found


@pytest.fixture(scope="module")
def pipeline(avala: Emulator, dags: Any, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The DAG that does everything once."""
    return run(dags.pipeline, avala, tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def attempts(pipeline: Finished, dags: Any) -> Finished:
    """The DAG whose tasks fail."""
    avala = pipeline.avala
    running, failed = avala.add_export(status="processing"), avala.add_export(status="failed")
    return run(dags.attempts, avala, pipeline.folder, running=running, failed=failed)


def test_every_task_succeeds(pipeline: Finished) -> None:
    assert set(pipeline.states.values()) == {"success"}
    assert pipeline.states["create_each", 1] == "success"
    assert pipeline.states["call_each", 1] == "success"


def test_the_values_go_from_task_to_task(pipeline: Finished) -> None:
    export_id = pipeline.value("create")
    assert pipeline.value("upload")["items"] == 3
    assert pipeline.avala.items(SEED_DATASET_ID) == [{"id": 0}, {"id": 1}, {"id": 2}]
    for mode in ("poke", "reschedule", "deferred"):
        assert pipeline.value(f"wait_{mode}")["id"] == export_id
    path = Path(pipeline.value("download"))
    assert path == pipeline.folder / f"{export_id}.zip"
    assert zipfile.is_zipfile(path)


def test_every_task_has_the_button_to_avala(pipeline: Finished) -> None:
    for ti in pipeline.task_instances():
        if ti.task_id in ("rows", "projects", "id_of"):
            continue
        task = pipeline.dag.get_task(ti.task_id)
        [button] = task.operator_extra_links
        if version("apache-airflow") < "3":
            link = button.get_link(task, ti_key=ti.key)
        else:  # the API server knows no more than the key of the XCom
            link = ti.xcom_pull(task_ids=ti.task_id, key=button.xcom_key, map_indexes=ti.map_index)
        assert link == "https://avala.ai", ti.task_id


def test_each_task_run_has_created_one_export(pipeline: Finished) -> None:
    names = [export["name"] for export in pipeline.avala.exports]
    assert len(names) == len(set(names)) == 3
    assert any(name.startswith("From avala_pipeline-") for name in names)
    found = {pipeline.value("create"), pipeline.value("create_each", 0), pipeline.value("create_each", 1)}
    assert found == {export["id"] for export in pipeline.avala.exports}


def test_airflow_3_remembers_the_export_of_a_task(pipeline: Finished) -> None:
    if version("apache-airflow") < "3.3":
        return  # keeps no state of tasks
    from airflow.models.task_state_store import TaskStateStoreModel
    from airflow.utils.session import create_session

    with create_session() as session:
        notes = [json.loads(row.value) for row in session.query(TaskStateStoreModel)]
    assert pipeline.value("create") in [note.get("export_id") for note in notes]


def test_the_query_is_rendered_and_sent(pipeline: Finished) -> None:
    queries = [
        str(request.query) for request in pipeline.avala.requests_to("GET") if "monday" in str(request)
    ]
    assert len(queries) == 1
    assert len(pipeline.value("call_each", 1)["results"]) == 1


def test_the_database_holds_neither_key_nor_signed_url(pipeline: Finished) -> None:
    from airflow import settings

    content = Path(settings.engine.url.database).read_bytes()
    assert pipeline.avala.api_key.encode() not in content
    assert b"avk_" not in content
    assert pipeline.avala.storage_url.encode() not in content
    assert pipeline.value("create").encode() in content


@pytest.mark.parametrize("task_id", ["wrong_key_create", "wrong_key_upload", "wrong_key_call"])
def test_a_wrong_key_costs_no_retry(task_id: str, attempts: Finished) -> None:
    assert attempts.states[task_id, -1] == "failed"
    assert attempts.tries[task_id] == 1


def test_a_wrong_key_is_tried_once_by_each_task(attempts: Finished) -> None:
    refused = [request for request in attempts.avala.requests if request.status == 401]
    assert len(refused) == 3


@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferrable"])
def test_an_unknown_id_costs_no_retry_and_is_not_skipped(mode: str, attempts: Finished) -> None:
    assert attempts.states[f"unknown_{mode}", -1] == "failed"
    assert attempts.tries[f"unknown_{mode}"] == 1


def test_a_rescheduled_sensor_times_out_once(attempts: Finished) -> None:
    assert attempts.states["late_reschedule", -1] == "failed"
    assert attempts.tries["late_reschedule"] == 1


def test_a_failed_export_is_skipped_softly(attempts: Finished) -> None:
    assert attempts.states["failed_soft", -1] == "skipped"


def test_a_retry_takes_the_export_of_the_first_attempt(attempts: Finished) -> None:
    assert attempts.tries["too_late"] > 1
    [export] = [export for export in attempts.avala.exports if str(export["name"]).startswith("too late-")]
    assert attempts.states["too_late", -1] == "success"
    assert attempts.value("too_late") == export["id"]


def test_clearing_a_task_makes_it_another_run(pipeline: Finished) -> None:
    """What tells a cleared task from a retried one is that Airflow raises ``max_tries``."""
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.session import create_session

    [before] = [ti for ti in pipeline.task_instances() if ti.task_id == "create"]
    limit = before.max_tries
    with create_session() as session:
        ti = session.merge(before)
        try:
            clear_task_instances([ti], session)
        except TypeError:
            clear_task_instances([ti], session, dag=pipeline.dag)
    [after] = [ti for ti in pipeline.task_instances() if ti.task_id == "create"]
    assert after.max_tries > limit
