"""An event for each export that has finished, whoever started it: nothing twice, nothing missed."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, Emulator, faults
from airflow_provider_avala.triggers import export_cursor, export_readings
from airflow_provider_avala.triggers.avala import AvalaExportEventTrigger
from airflow_provider_avala.triggers.export_readings import Reading, SharedReadings
from tests.airflow_support import CONN_ID, Connect, stored_and_loaded
from tests.triggers.hub_support import lists, until

INTERVAL = 0.02


class AssetState:
    """Stands in for the state that Airflow 3.3 keeps with an asset."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.broken = False

    async def aget(self, key: str, default: Any = None) -> Any:
        if self.broken:
            raise RuntimeError("the database is busy")
        return json.loads(self.rows[key]) if key in self.rows else default

    async def aset(self, key: str, value: Any) -> None:
        if self.broken:
            raise RuntimeError("the database is busy")
        self.rows[key] = json.dumps(value)


def trigger(state: AssetState | None = None, **options: Any) -> AvalaExportEventTrigger:
    made = AvalaExportEventTrigger(**{"poll_interval": INTERVAL, **options})
    made.asset_state_store = state
    return made


class Watch:
    """A trigger that runs, and the events that it has sent."""

    def __init__(self, watcher: AvalaExportEventTrigger, avala: Emulator) -> None:
        self.events: list[dict[str, Any]] = []
        self.task = asyncio.create_task(self._collect(watcher))
        self._watcher, self._avala = watcher, avala

    async def _collect(self, watcher: AvalaExportEventTrigger) -> None:
        async for event in watcher.run():
            self.events.append(json.loads(json.dumps(event.payload)))

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    async def begun(self) -> Watch:
        """Wait until the first look is over."""
        await until(lambda: self._watcher._cursor)
        return self

    async def looked(self, times: int = 2) -> None:
        """Wait until what happens now has been looked at."""
        before = lists(self._avala)
        await until(lambda: self.task.done() or lists(self._avala) >= before + times + 1)
        assert not self.task.done(), self.task

    async def stop(self) -> None:
        """End as Airflow ends a trigger."""
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()


def watching(watch: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(watch())


# Arguments


FILLED = {
    "avala_conn_id": "avala_other",
    "project_id": "a project",
    "dataset_id": "a dataset",
    "name_pattern": "nightly-*",
    "include_failed": True,
    "poll_interval": 12.5,
}


@pytest.mark.parametrize("arguments", [{}, FILLED])
def test_it_survives_airflows_table_row(arguments: dict[str, Any]) -> None:
    before = AvalaExportEventTrigger(**arguments)
    after = stored_and_loaded(before)
    assert type(after) is AvalaExportEventTrigger
    classpath, kept = after.serialize()
    assert classpath == "airflow_provider_avala.triggers.avala.AvalaExportEventTrigger"
    assert json.loads(json.dumps(kept)) == before.serialize()[1]
    assert kept.items() >= arguments.items()
    assert kept.keys() == inspect.signature(AvalaExportEventTrigger).parameters.keys()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("avala_conn_id", ""),
        ("avala_conn_id", None),
        ("project_id", ""),
        ("project_id", ["a"]),
        ("dataset_id", " "),
        ("name_pattern", 5),
        ("include_failed", "no"),
        ("poll_interval", 0),
        ("poll_interval", "60"),
        ("poll_interval", float("inf")),
    ],
)
def test_a_bad_argument_is_named(field: str, value: Any) -> None:
    with pytest.raises(AvalaConfigurationError, match=f"^{field}: "):
        AvalaExportEventTrigger(**{field: value})


# What fires


def test_it_fires_once_for_each_export_that_finishes_from_now_on(avala: Emulator) -> None:
    async def watch() -> None:
        avala.add_export(status="exported")
        early = avala.add_export(status="processing")
        found = await Watch(trigger(), avala).begun()
        late = avala.add_export(status="processing")
        await found.looked()
        assert found.ids == []
        avala.finish_export(late)
        await until(lambda: found.ids == [late])
        avala.finish_export(early)
        between = avala.add_export(status="exported")  # began and finished between two looks
        await until(lambda: len(found.ids) == 3)
        await found.looked()
        assert sorted(found.ids[1:]) == sorted([early, between])

    watching(watch)


def test_the_payload_is_the_export_without_any_url(avala: Emulator) -> None:
    async def watch() -> None:
        found = await Watch(trigger(), avala).begun()
        export_id = avala.add_export(status="exported", name="nightly", projects=[SEED_PROJECT_ID])
        await until(lambda: found.events)
        [payload] = found.events
        assert (
            payload.items()
            >= {
                "id": export_id,
                "name": "nightly",
                "status": "exported",
                "state": "succeeded",
                "projects": [SEED_PROJECT_ID],
                "deduplication_key": f"{CONN_ID}/{export_id}/succeeded",
            }.items()
        )
        assert "http" not in json.dumps(payload)

    watching(watch)


@pytest.mark.parametrize("include_failed", [False, True])
def test_a_failed_export_fires_only_if_that_is_wanted(include_failed: bool, avala: Emulator) -> None:
    async def watch() -> None:
        found = await Watch(trigger(include_failed=include_failed), avala).begun()
        failed, good = avala.add_export(status="processing"), avala.add_export(status="processing")
        avala.fail_export(failed)
        await found.looked()
        avala.finish_export(good)
        await until(lambda: good in found.ids)
        assert found.ids == ([failed, good] if include_failed else [good])

    watching(watch)


@pytest.mark.parametrize(
    "filters",
    [
        {"project_id": SEED_PROJECT_ID},
        {"dataset_id": SEED_DATASET_ID},
        {"name_pattern": "nightly-*"},
        {"project_id": SEED_PROJECT_ID, "name_pattern": "*-7"},
    ],
)
def test_it_fires_only_for_what_passes_all_filters(filters: dict[str, str], avala: Emulator) -> None:
    async def watch() -> None:
        found = await Watch(trigger(**filters), avala).begun()
        avala.add_export(status="exported", name="weekly", projects=["other"], datasets=["other"])
        wanted = avala.add_export(
            status="exported", name="nightly-7", projects=[SEED_PROJECT_ID], datasets=[SEED_DATASET_ID]
        )
        avala.add_export(status="exported", name="Nightly-8", projects=["other"], datasets=["other"])
        await until(lambda: found.events)
        await found.looked()
        assert found.ids == [wanted]

    watching(watch)


def test_it_works_in_the_legacy_dialect(legacy: Emulator) -> None:
    async def watch() -> None:
        found = await Watch(trigger(), legacy).begun()
        export_id = legacy.add_export(status="completed")
        await until(lambda: found.ids == [export_id])

    watching(watch)


def test_an_export_that_runs_far_below_in_the_list_fires(avala: Emulator) -> None:
    async def watch() -> None:
        slow = avala.add_export(status="processing")
        found = await Watch(trigger(), avala).begun()
        avala.advance(3600)
        quick = [avala.add_export(status="exported") for _ in range(150)]
        await until(lambda: len(found.ids) == 150)
        assert found.ids == quick  # oldest first
        avala.advance(3600)
        avala.add_export(status="exported")
        await until(lambda: len(found.ids) == 151)
        avala.finish_export(slow)
        await until(lambda: found.ids[151:] == [slow])

    watching(watch)


# Restarts


def test_what_finishes_during_a_restart_fires_once_and_nothing_else_again(avala: Emulator) -> None:
    async def watch() -> None:
        state = AssetState()
        running = avala.add_export(status="processing")
        first = await Watch(trigger(state), avala).begun()
        done = avala.add_export(status="exported")
        await until(lambda: first.ids == [done])
        await first.looked()
        await first.stop()
        avala.finish_export(running)
        new = avala.add_export(status="exported")
        second = await Watch(trigger(state), avala).begun()
        await until(lambda: len(second.ids) >= 2)
        await second.looked()
        assert sorted(second.ids) == sorted([running, new])

    watching(watch)


def test_a_quiet_first_look_is_remembered_too(avala: Emulator) -> None:
    async def watch() -> None:
        state = AssetState()
        first = await Watch(trigger(state), avala).begun()
        await until(lambda: state.rows)
        await first.stop()
        new = avala.add_export(status="exported")
        second = Watch(trigger(state), avala)
        await until(lambda: second.ids == [new])

    watching(watch)


def test_without_a_place_for_a_cursor_a_restart_begins_anew(avala: Emulator) -> None:
    async def watch() -> None:
        first = await Watch(trigger(), avala).begun()
        await first.stop()
        avala.add_export(status="exported")
        second = await Watch(trigger(), avala).begun()
        new = avala.add_export(status="exported")
        await until(lambda: second.events)
        await second.looked()
        assert second.ids == [new]

    watching(watch)


def test_triggers_with_other_filters_keep_cursors_of_their_own(avala: Emulator) -> None:
    async def watch() -> None:
        state = AssetState()
        await Watch(trigger(state), avala).begun()
        await Watch(trigger(state, name_pattern="a*"), avala).begun()
        await until(lambda: len(state.rows) == 2)
        await Watch(trigger(state, poll_interval=0.03), avala).begun()
        assert len(state.rows) == 2

    watching(watch)


def test_a_trigger_of_several_assets_keeps_its_cursor_with_each(avala: Emulator) -> None:
    async def watch() -> None:
        one, other = AssetState(), AssetState()
        both = SimpleNamespace(_by_name={"one": one, "other": other})
        first = await Watch(trigger(both), avala).begun()
        await until(lambda: other.rows)
        await first.stop()
        one.rows.clear()  # as if that asset were new
        new = avala.add_export(status="exported")
        second = Watch(trigger(both), avala)
        await until(lambda: second.ids == [new])
        await until(lambda: one.rows == other.rows)

    watching(watch)


def test_it_waits_for_a_cursor_that_cannot_be_read_or_stored_at_the_moment(avala: Emulator) -> None:
    async def watch() -> None:
        state = AssetState()
        first = await Watch(trigger(state), avala).begun()
        await until(lambda: state.rows)
        await first.stop()
        new = avala.add_export(status="exported")
        state.broken = True
        second = Watch(trigger(state), avala)
        await second.looked(4)
        assert second.ids == []
        state.broken = False
        await until(lambda: second.ids == [new])
        state.broken, before = True, dict(state.rows)
        last = avala.add_export(status="exported")
        await until(lambda: second.ids == [new, last])
        await second.looked(4)
        state.broken = False
        await until(lambda: state.rows != before)
        await second.looked()
        assert second.ids == [new, last]

    watching(watch)


def test_the_cursor_moves_on_only_when_airflow_has_stored_the_events(avala: Emulator) -> None:
    async def watch() -> None:
        state = AssetState()
        stream = SharedReadings(CONN_ID, INTERVAL)
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def queued() -> Any:
            while True:
                yield await queue.get()

        source = stream.open_stream()
        events = trigger(state).filter_shared_stream(queued())
        upcoming = asyncio.ensure_future(anext(events))
        for clean in (True, True, False, True):  # the first look sends nothing
            reading, payload = await anext(source)
            queue.put_nowait(reading)
            if avala.exports:
                await upcoming
                upcoming = asyncio.ensure_future(anext(events))
            await until(partial(getattr, reading, "_when_delivered"))
            before = dict(state.rows)
            await stream.advance([(payload, SimpleNamespace(is_clean=clean))])
            assert (state.rows != before) is clean
            avala.add_export(status="exported")
        upcoming.cancel()

    watching(watch)


def test_many_events_come_in_small_lots_each_stored_before_the_next(
    avala: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_readings, "BREATH", INTERVAL)

    async def watch() -> None:
        state = AssetState()
        first = await Watch(trigger(state, poll_interval=0.1), avala).begun()
        await until(lambda: state.rows)
        await first.stop()
        exports = [avala.add_export(status="exported") for _ in range(95)]
        second = Watch(trigger(state, poll_interval=30), avala)
        await until(lambda: len(second.events) >= 50)
        await second.stop()
        polled = lists(avala)
        third = Watch(trigger(state, poll_interval=30), avala)
        await until(lambda: [*second.ids, *third.ids][-1] == exports[-1])
        assert lists(avala) - polled <= 2  # all lots come from the same look
        sent = [*second.ids, *third.ids]
        assert {*sent} == {*exports}
        assert len(sent) <= 95 + 10  # at most the lot in doubt comes twice

    watching(watch)


def test_the_lots_of_a_look_are_confirmed_one_by_one() -> None:
    done: list[str] = []

    async def note(lot: str) -> None:
        done.append(lot)

    async def confirm() -> None:
        first = Reading(SimpleNamespace(), SimpleNamespace())
        first.when_delivered(partial(note, "first"))
        second = first.again()
        second.when_delivered(partial(note, "second"))
        await first.delivered()
        assert done == ["first"]
        await second.delivered()
        assert done == ["first", "second"]

    watching(confirm)


# Troubles


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
