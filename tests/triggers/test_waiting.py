"""What a trigger makes of what the hub tells it."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.triggers.avala import AvalaDatasetTrigger, AvalaExportTrigger
from tests.airflow_support import CONN_ID, first_event
from tests.triggers.hub_support import running, start, until


def event_of(trigger: AvalaExportTrigger | AvalaDatasetTrigger) -> dict[str, object]:
    return asyncio.run(first_event(trigger))


def test_the_last_look_is_at_the_deadline_however_long_the_interval(avala: Emulator) -> None:
    (export_id,) = running(avala, 1)

    async def wait() -> dict[str, object]:
        (waiting,) = start(first_event(AvalaExportTrigger(export_id, CONN_ID, 3600, time.time() + 1.0)))
        await until(lambda: avala.requests)
        avala.finish_export(export_id)
        return await waiting

    assert asyncio.run(wait()) == {"status": "finished", "export_id": export_id}
    assert len(avala.requests) == 2


def test_a_timeout_says_what_was_seen_last_and_what_failed_since(avala: Emulator) -> None:
    (export_id,) = running(avala, 1)
    avala.inject(faults.status(503), path="/exports/", times=1000, skip=1)
    event = event_of(AvalaExportTrigger(export_id, CONN_ID, 0.05, time.time() + 0.4))
    failed = len(avala.requests) - 1
    assert event["status"] == "timeout"
    assert f"export {export_id} was not finished in time: last status 'processing'" in event["message"]
    assert f"{failed} polls failed, the trigger waited 0 s; the last error: " in event["message"]
    assert "503" in event["message"]


def test_a_dataset_is_waited_for_like_an_export(avala: Emulator) -> None:
    created, creating = avala.add_dataset(), avala.add_dataset(status="creating")
    assert event_of(AvalaDatasetTrigger(created, CONN_ID, 0.02, 2e9)) == {
        "status": "finished",
        "dataset_id": created,
    }
    told = event_of(AvalaDatasetTrigger(creating, CONN_ID, 0.02, time.time() + 0.1))
    assert (told["status"], told["dataset_id"]) == ("timeout", creating)
    assert f"dataset {creating} was not finished in time: last status 'creating'" in told["message"]


def test_the_log_tells_progress_and_not_each_poll(avala: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    (export_id,) = running(avala, 1)
    trigger = AvalaExportTrigger(export_id, CONN_ID, 0.02, time.time() + 0.5)
    trigger._log = logging.getLogger("witness")
    with caplog.at_level(logging.INFO, logger="witness"):
        assert event_of(trigger)["status"] == "timeout"
    lines = [record.getMessage() for record in caplog.records if record.name == "witness"]
    assert len(avala.requests) > 8
    assert len(lines) == 1
    assert lines[0].startswith(f"Export {export_id}: ")
