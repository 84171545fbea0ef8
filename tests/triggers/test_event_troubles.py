"""A watcher outlasts every error, and asks no more than it must."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
from typing import Any

import pytest

from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.triggers import export_cursor
from airflow_provider_avala.triggers.avala import AvalaExportEventTrigger
from tests.airflow_support import Connect
from tests.triggers.event_support import INTERVAL, AssetState, Watch, trigger, watching
from tests.triggers.hub_support import lists, until


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(500),
        faults.status(429, headers={"Retry-After": "0"}),
        faults.html(502),
        faults.reset_before_commit(),
    ],
    ids=lambda fault: "",
)
def test_it_outlasts_errors_that_pass_and_says_so_once(
    fault: Any, avala: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_cursor, "LONGEST_PAUSE", INTERVAL)

    async def watch() -> None:
        found = await Watch(trigger(), avala).begun()
        avala.inject(fault, path="/exports", times=5)
        await found.looked(5)
        new = avala.add_export(status="exported")
        await until(lambda: found.ids == [new])

    with caplog.at_level(logging.INFO):
        watching(watch)
    said = [record.message for record in caplog.records if "watched" in record.message]
    assert [each.rsplit(":")[0].endswith("for now") for each in said] == [True, False], said


def test_it_takes_the_key_that_the_connection_holds_after_a_refusal(
    avala: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_cursor, "LONGEST_PAUSE_FATAL", INTERVAL)

    async def watch() -> None:
        found = await Watch(trigger(), avala).begun()
        avala.api_key, old = "avk_rotated", avala.api_key
        try:
            await found.looked(3)
            connect(avala)
            new = avala.add_export(status="exported")
            await until(lambda: found.ids == [new])
        finally:
            avala.api_key = old

    watching(watch)


def test_a_key_that_stays_wrong_is_not_tried_again_soon(avala: Emulator, connect: Connect) -> None:
    async def watch() -> None:
        connect(avala, password="avk_wrong")
        found = Watch(trigger(), avala)
        await until(lambda: lists(avala) >= 2)
        begin = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > begin + 0.5)  # as long as 25 intervals
        assert lists(avala) == 2
        assert not found.task.done()

    watching(watch)


def test_a_connection_that_does_not_exist_yet_is_waited_for(
    avala: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_cursor, "LONGEST_PAUSE_FATAL", INTERVAL)
    told = []
    monkeypatch.setattr(
        "airflow_provider_avala.triggers.export_readings.log.warning", lambda *said, **_: told.append(said)
    )

    async def watch() -> None:
        found = Watch(trigger(avala_conn_id="avala_later"), avala)
        await until(lambda: told)
        connect(avala, conn_id="avala_later")
        await found.begun()
        new = avala.add_export(status="exported")
        await until(lambda: found.ids == [new])
        assert len(told) == 1

    watching(watch)


def test_an_export_that_is_gone_or_cannot_be_read_holds_up_nothing(avala: Emulator) -> None:
    async def watch() -> None:
        slow, gone = avala.add_export(status="processing"), avala.add_export(status="processing")
        found = await Watch(trigger(), avala).begun()
        del avala.store.tables["exports"][gone]
        avala.inject(faults.status(403), path=f"/exports/{slow}", times=3)
        avala.advance(3600)
        for _ in range(100):
            avala.add_export(status="exported")
        avala.advance(3600)
        new = avala.add_export(status="exported")
        await until(lambda: new in found.ids)
        avala.finish_export(slow)
        await until(lambda: slow in found.ids)
        assert len(found.ids) == 102

    watching(watch)


# Sharing, from Airflow 3.3 on


if importlib.util.find_spec("airflow.triggers.shared_stream"):

    def test_all_triggers_of_a_connection_share_one_poller_and_each_keeps_its_own_cursor(
        avala: Emulator,
    ) -> None:
        from airflow.triggers.shared_stream import SharedStreamManager

        async def watch() -> None:
            manager = SharedStreamManager()
            states = [AssetState(), AssetState(), AssetState()]
            triggers = [
                trigger(states[0], poll_interval=0.1),
                trigger(states[1], poll_interval=0.1, name_pattern="nightly-*"),
                trigger(states[2], poll_interval=0.1, include_failed=True),
            ]
            sent: list[list[str]] = [[], [], []]

            async def run(number: int) -> None:
                key = triggers[number].shared_stream_key()
                stream = manager.subscribe(trigger_id=number, trigger=triggers[number], key=key)
                async for event in triggers[number].filter_shared_stream(stream):
                    seq = manager.bind_pending_event(trigger_id=number, key=key)
                    sent[number].append(event.payload["name"])
                    asyncio.get_running_loop().call_later(0.01, manager.confirm_persisted, [seq])

            tasks = [asyncio.create_task(run(number)) for number in range(3)]
            await until(lambda: all(state.rows for state in states))
            polled = lists(avala)
            avala.add_export(status="exported", name="weekly-1")
            avala.add_export(status="exported", name="nightly-1")
            avala.add_export(status="failed", name="nightly-2")
            first = ["weekly-1", "nightly-1"]
            await until(lambda: sent == [first, ["nightly-1"], [*first, "nightly-2"]])
            await until(lambda: all(len(json.loads(*state.rows.values())["known"]) == 3 for state in states))
            assert lists(avala) - polled <= 4  # and not three times as many
            tasks[0].cancel()
            avala.add_export(status="exported", name="nightly-3")
            await until(lambda: sent[1:] == [["nightly-1", "nightly-3"], [*first, "nightly-2", "nightly-3"]])
            assert sent[0] == first
            await manager.stop_all()

        watching(watch)


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ({"project_id": "a", "include_failed": True}, True),
        ({"avala_conn_id": "avala_other"}, False),
        ({"poll_interval": 30}, False),
    ],
)
def test_the_same_connection_and_interval_share_a_stream(options: dict[str, Any], shared: bool) -> None:
    same = (
        AvalaExportEventTrigger().shared_stream_key()
        == AvalaExportEventTrigger(**options).shared_stream_key()
    )
    assert same is shared
