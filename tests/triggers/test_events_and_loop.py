"""Watching exports leaves the event loop to the other triggers."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_avala.emulator import Emulator
from tests.triggers.event_support import AssetState, Watch, trigger
from tests.triggers.hub_support import until
from tests.triggers.test_loop_guard import LONGEST_STEP, own_garbage_only, state_on_disk, watched

__all__ = ["own_garbage_only", "state_on_disk"]


@pytest.mark.usefixtures("state_on_disk")
def test_catching_up_neither_blocks_nor_keeps_the_loop(avala: Emulator) -> None:
    state = AssetState()
    exports = [avala.add_export(status="processing") for _ in range(20)]

    async def begin() -> None:
        await (await Watch(trigger(state), avala).begun()).looked()

    async def catch_up() -> None:
        found = Watch(trigger(state), avala)
        await until(lambda: found.task.done() or len(found.events) >= 1020)
        assert not found.task.done()

    asyncio.run(begin())
    for each in exports:
        avala.finish_export(each)
    for _ in range(1000):
        avala.add_export(status="exported")
    blocked, longest = asyncio.run(watched(catch_up))
    assert blocked == []
    assert longest < LONGEST_STEP
