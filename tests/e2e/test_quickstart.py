"""The quickstart on real Airflow processes, with Avala's own log as the witness."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

from airflow_provider_avala.emulator.seeds import SEED_DATASET_ID
from scripts.local_airflow import LocalAirflow

from .runs import Quickstart

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

TASKS = {"write_items", "upload_items", "create_export", "wait_for_export", "download_export"}


def test_it_runs_to_success_at_the_first_try(quickstart: Quickstart) -> None:
    assert quickstart.state == "success"
    assert {task_id: quickstart.last(task_id)["state"] for task_id in TASKS} == dict.fromkeys(
        TASKS, "success"
    )
    assert {quickstart.last(task_id)["try_number"] for task_id in TASKS} == {1}


def test_every_item_is_stored_once(quickstart: Quickstart, avala: Emulator) -> None:
    stored = [item["name"] for item in avala.items(SEED_DATASET_ID)]
    assert stored == [f"frame-{number:04}.jpg" for number in range(1000)]


def test_one_export_is_created(quickstart: Quickstart) -> None:
    created = [r for r in quickstart.requests if r.method == "POST" and r.path.startswith("/exports")]
    assert [r.status for r in created] == [201]


def test_the_wait_is_done_in_the_triggerer_and_by_no_worker(
    quickstart: Quickstart, airflow: LocalAirflow
) -> None:
    deferred = next(c for c in quickstart.changes["wait_for_export"] if c["state"] == "deferred")
    assert deferred["trigger"]["classpath"] == "airflow_provider_avala.triggers.avala.AvalaExportTrigger"
    assert len(quickstart.polls_while_deferred) >= 2
    assert quickstart.export_state_then not in {"exported", "completed", "failed"}
    logs = airflow.task_logs(quickstart.dag_id, quickstart.run_id, "wait_for_export")
    assert any(".trigger." in log.name for log in logs), logs


def test_the_file_store_never_sees_the_key(quickstart: Quickstart, avala: Emulator) -> None:
    at_storage = [r for r in quickstart.requests if r.origin == "storage"]
    assert at_storage
    assert not any(r.key_present for r in at_storage)
    assert not any(avala.api_key in json.dumps([dict(r.headers), dict(r.query)]) for r in at_storage)


def test_every_request_to_the_api_has_the_key_and_is_answered_well(quickstart: Quickstart) -> None:
    to_api = [r for r in quickstart.requests if r.origin == "api"]
    assert {(r.key_present, r.status in (200, 201)) for r in to_api} == {(True, True)}


def test_the_downloaded_archive_holds_every_item(quickstart: Quickstart, airflow: LocalAirflow) -> None:
    [path] = (airflow.home / "avala").glob("export-*")
    with zipfile.ZipFile(path) as archive:
        rows = archive.read("items.jsonl").decode().splitlines()
    assert [json.loads(row)["name"] for row in rows] == [f"frame-{number:04}.jpg" for number in range(1000)]
