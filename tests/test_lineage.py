"""Lineage: what was made of what, as OpenLineage and Airflow's hook lineage are told it in a real run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_avala import lineage
from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, running_emulator
from tests import installed
from tests.airflow_support import connection, in_subprocess

PROGRAM = """
import importlib.util, json, os, shutil, sys
from pathlib import Path
from airflow import settings
from airflow.utils import db
db.initdb()
target = Path(settings.DAGS_FOLDER) / "avala_lineage.py"
target.parent.mkdir(parents=True, exist_ok=True)
shutil.copy(os.environ["DAG_FILE"], target)
spec = importlib.util.spec_from_file_location("avala_lineage", target)
module = sys.modules["avala_lineage"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(str(getattr(module.lineage.test().state, "value", "") or "success"))
"""


@pytest.mark.parametrize(
    ("place", "uris"),
    [
        ("/data/a b.jsonl", ["file:///data/a%20b.jsonl"]),
        (Path("/data/x"), ["file:///data/x"]),
        ("s3://aws_conn@bucket/key.jsonl", ["s3://bucket/key.jsonl"]),
        ("https://user:pw@host/f?X-Amz-Signature=1#x", ["https://host/f"]),
        (["/a", "gs://b/c"], ["file:///a", "gs://b/c"]),
        (None, []),
        ("", []),
        ([None, object(), 7], []),
        ("http://[broken/x", []),
    ],
)
def test_files_are_named_without_what_may_be_secret(place: Any, uris: list[str]) -> None:
    assert lineage.files(place) == uris


@pytest.mark.parametrize(
    ("arguments", "uris"),
    [
        (("p1", None, None), ["avala://projects/p1"]),
        ((["p1", "p2"], "d1", "s1"), ["projects/p1", "projects/p2", "datasets/d1", "slices/s1"]),
        ((None, None, None, {"projects": ["p1"], "project": "p1"}), ["projects/p1"]),
        (("ignored", None, None, {"project_id": "p1"}), ["projects/p1"]),
        ((None, None, None, {"datasets": 7}), []),
        ((None, None, None), []),
        ((7, [None, ""], "d1"), ["slices/d1"]),
    ],
)
def test_an_export_is_made_of_what_it_names(arguments: tuple, uris: list[str]) -> None:
    assert lineage.of_export(*arguments) == [f"avala://{uri.removeprefix('avala://')}" for uri in uris]


def test_lineage_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (
        "airflow.providers.openlineage.extractors",
        "airflow.providers.common.compat.lineage.hook",
    ):
        monkeypatch.setitem(sys.modules, module, None)
    assert lineage.operator_lineage(["avala://datasets/d1"], []) is None
    lineage.collect(object(), ["avala://datasets/d1"], [])


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """OpenLineage's last event of each task, of a real run with its real provider, written to a file."""
    folder = tmp_path_factory.mktemp("lineage")
    (folder / "items.jsonl").write_text('{"id": 1}\n')
    told = folder / "events.jsonl"
    with running_emulator(rate_limits=None, export_seconds=0.2) as avala:
        in_subprocess(
            PROGRAM,
            **installed.variables(),
            AIRFLOW_HOME=str(folder / "airflow"),
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps(
                {"type": "file", "log_file_path": str(told), "append": True}
            ),
            AIRFLOW_CONN_AVALA_DEFAULT=connection(avala.base_url, avala.api_key),
            DAG_FILE=str(Path(__file__).parent / "dags" / "avala_lineage.py"),
            AVALA_LINEAGE_FOLDER=str(folder),
        )
        text = told.read_text()
        assert avala.api_key not in text
        assert avala.storage_url not in text
    complete = [event for event in map(json.loads, text.splitlines()) if event["eventType"] == "COMPLETE"]
    return {event["job"]["name"].rpartition(".")[2]: event for event in complete}


def datasets(event: dict[str, Any], side: str) -> list[str]:
    return sorted({f"{each['namespace']}|{each['name']}" for each in event[side]})


def test_an_upload_makes_a_dataset_of_a_file(events: dict[str, dict[str, Any]]) -> None:
    [source] = datasets(events["upload"], "inputs")
    assert source.startswith("file|")
    assert source.endswith("/items.jsonl")
    assert datasets(events["upload"], "outputs") == [f"avala://datasets|{SEED_DATASET_ID}"]


@pytest.mark.parametrize("task_id", ["create", "create_deferred"])
def test_an_export_is_made_of_a_project(task_id: str, events: dict[str, dict[str, Any]]) -> None:
    assert datasets(events[task_id], "inputs") == [f"avala://projects|{SEED_PROJECT_ID}"]
    [export] = datasets(events[task_id], "outputs")
    assert export.startswith("avala://exports|")


def test_a_download_makes_a_file_of_an_export(events: dict[str, dict[str, Any]]) -> None:
    assert datasets(events["download"], "inputs") == datasets(events["create_deferred"], "outputs")
    [file] = datasets(events["download"], "outputs")
    assert file.startswith("file|")
    assert file.endswith(".zip")


def test_a_task_that_calls_the_hook_is_told_by_hook_lineage(events: dict[str, dict[str, Any]]) -> None:
    # All tasks of dag.test() share a process, and so what the hooks of other tasks have told; on a worker none do.
    assert f"avala://datasets|{SEED_DATASET_ID}" in datasets(events["by_hook"], "inputs")
    assert any(each.startswith("avala://exports|") for each in datasets(events["by_hook"], "outputs"))
