"""Triggers wait without blocking the triggerer, survive its restarts, and tell the task what came of it."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import time
from uuid import uuid4

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.triggers import avala as module
from airflow_provider_avala.triggers.avala import AvalaExportTrigger
from tests.airflow_support import Connect, first_event, stored_and_loaded

#: What a trigger may keep: where to look, for what, how often, until when. No key, no URL.
KEPT = {"until", "avala_conn_id", "poll_interval", "deadline", "export_id", "dataset_id", "returns"}

TRIGGERS = [
    found
    for found in vars(module).values()
    if inspect.isclass(found) and issubclass(found, BaseTrigger) and found.__module__ == module.__name__
]


def arguments_of(trigger_class: type[BaseTrigger]) -> dict[str, object]:
    """A value for each argument, of the type that its annotation names."""
    samples = {"str": "value of {}", "float": 12.5, "float | None": 12.5, "int": 3, "bool": True}
    parameters = inspect.signature(trigger_class).parameters.values()
    return {
        each.name: value.format(each.name) if isinstance(value := samples[each.annotation], str) else value
        for each in parameters
    }


def trigger(export_id: str, *, seconds: float = 30, conn_id: str = "avala_default") -> AvalaExportTrigger:
    return AvalaExportTrigger(export_id, conn_id, 0.02, time.time() + seconds)


def event_of(waiting: BaseTrigger) -> dict[str, object]:
    return asyncio.run(first_event(waiting))


@pytest.mark.parametrize("trigger_class", TRIGGERS)
def test_a_trigger_survives_airflows_table_row(trigger_class: type[BaseTrigger]) -> None:
    arguments = arguments_of(trigger_class)
    before = trigger_class(**arguments)
    after = stored_and_loaded(before)
    assert type(after) is trigger_class
    assert after.serialize() == before.serialize()
    assert json.loads(json.dumps(after.serialize()[1])) == arguments
    assert {name: getattr(after, name) for name in arguments} == arguments


@pytest.mark.parametrize("trigger_class", TRIGGERS)
def test_a_trigger_keeps_no_secret(trigger_class: type[BaseTrigger]) -> None:
    assert trigger_class(**arguments_of(trigger_class)).serialize()[1].keys() <= KEPT


@pytest.mark.parametrize("status", ["exported", "completed", "failed", "canceled", "expired"])
def test_one_event_says_that_there_is_an_end(status: str, avala: Emulator) -> None:
    export_id = avala.add_export(status=status)

    async def all_events() -> list[object]:
        return [event.payload async for event in trigger(export_id).run()]

    assert asyncio.run(all_events()) == [{"status": "finished", "export_id": export_id}]


@pytest.mark.parametrize("status", ["requested", "processing", "a word from the future"])
def test_any_other_status_is_waited_out(status: str, avala: Emulator) -> None:
    export_id = avala.add_export(status=status)
    event = event_of(trigger(export_id, seconds=0.1))
    assert event["status"] == "timeout"
    assert export_id in event["message"]
    assert len(avala.requests) > 2


def test_a_deadline_in_the_past_leaves_one_last_look(avala: Emulator) -> None:
    running, finished = avala.add_export(status="processing"), avala.add_export()
    event = event_of(trigger(running, seconds=-1000))
    assert event["status"] == "timeout"
    assert "'processing'" in event["message"]
    assert len(avala.requests) == 1
    assert event_of(trigger(finished, seconds=-1000)) == {"status": "finished", "export_id": finished}


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(500),
        faults.status(408),
        faults.status(429, headers={"Retry-After": "0"}),
        faults.html(502),
        faults.html(200),
        faults.bad_json(),
        faults.empty_body(),
        faults.reset_before_commit(),
        faults.truncated(),
    ],
    ids=lambda fault: f"{fault.name} {fault.options.get('code', '')}".strip(),
)
def test_a_failed_poll_is_not_a_failed_export(fault: faults.Fault, avala: Emulator) -> None:
    export_id = avala.add_export()
    avala.inject(fault, path="/exports/", times=5)
    assert event_of(trigger(export_id)) == {"status": "finished", "export_id": export_id}
    assert len(avala.requests) == 6


def test_a_server_that_stays_away_is_a_timeout_that_counts_the_failures(avala: Emulator) -> None:
    avala.inject(faults.status(503), path="/exports/", times=1000)
    event = event_of(trigger(avala.add_export(), seconds=0.1))
    assert event["status"] == "timeout"
    assert f"{len(avala.requests)} polls failed" in event["message"]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 413, 422])
def test_an_error_that_no_poll_can_mend_is_told_at_once(code: int, avala: Emulator) -> None:
    export_id = avala.add_export(status="processing")
    avala.inject(faults.status(code), path="/exports/", skip=1)
    event = event_of(trigger(export_id))
    assert (event["status"], event["fatal"], event["export_id"]) == ("error", True, export_id)
    assert str(code) in event["message"]
    assert len(avala.requests) == 2


def test_a_missing_connection_is_told(avala: Emulator) -> None:
    event = event_of(trigger(str(uuid4()), conn_id="not_there"))
    assert (event["status"], event["fatal"]) == ("error", False)
    assert "not_there" in event["message"]
    assert not avala.requests


def test_a_wrong_field_of_the_connection_is_told(avala: Emulator, connect: Connect) -> None:
    connect(avala, timeout="soon")
    event = event_of(trigger(str(uuid4())))
    assert (event["status"], event["fatal"]) == ("error", True)
    assert "timeout" in event["message"]


def test_no_event_holds_the_key_or_a_signed_url(avala: Emulator, connect: Connect) -> None:
    finished = avala.add_export()
    told = [event_of(trigger(finished)), event_of(trigger(avala.add_export(status="processing"), seconds=-1))]
    connect(avala, password="avk_of_somebody_else")
    told.append(event_of(trigger(finished)))
    text = json.dumps(told)
    assert avala.api_key not in text
    assert "avk_" not in text
    assert "://" not in text


def test_nothing_stands_still_while_the_server_hangs(avala: Emulator, connect: Connect) -> None:
    connect(avala, timeout=0.8, max_retry_seconds=0)
    export_id = avala.add_export()
    avala.inject(faults.hang_before_commit(3), path="/exports/")

    async def beats_and_event() -> tuple[float, object]:
        longest, waiting = 0.0, asyncio.create_task(first_event(trigger(export_id)))
        before = time.monotonic()
        while not waiting.done():
            await asyncio.wait([waiting], timeout=0.01)
            now = time.monotonic()
            longest, before = max(longest, now - before), now
        return longest, await waiting

    longest, event = asyncio.run(beats_and_event())
    assert event == {"status": "finished", "export_id": export_id}
    assert len(avala.requests) == 2
    assert longest < 0.2


def test_the_connection_is_read_off_the_loop(avala: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[threading.Thread] = []
    read = AvalaHook.get_connection

    def reading(conn_id: str) -> object:
        readers.append(threading.current_thread())
        return read(conn_id)

    monkeypatch.setattr(AvalaHook, "get_connection", staticmethod(reading))
    assert event_of(trigger(avala.add_export()))["status"] == "finished"
    assert readers
    assert threading.main_thread() not in readers


def test_a_cancelled_trigger_ends_at_once_and_touches_nothing(avala: Emulator) -> None:
    export_id = avala.add_export(status="processing")

    async def cancelled() -> float:
        waiting = asyncio.create_task(first_event(AvalaExportTrigger(export_id, "avala_default", 600, 2e9)))
        while not avala.requests:
            await asyncio.wait([waiting], timeout=0.01)
        begin = time.monotonic()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return time.monotonic() - begin

    assert asyncio.run(cancelled()) < 1
    assert {request.method for request in avala.requests} == {"GET"}
