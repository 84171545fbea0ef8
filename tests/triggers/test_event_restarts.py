"""Through restarts of the triggerer, an event comes neither twice nor never."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.triggers import export_readings
from airflow_provider_avala.triggers.export_readings import Reading, SharedReadings
from tests.airflow_support import CONN_ID
from tests.triggers.event_support import INTERVAL, AssetState, Watch, trigger, watching
from tests.triggers.hub_support import lists, until


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
