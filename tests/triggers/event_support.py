"""Watching exports as the triggerer does it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.triggers.avala import AvalaExportEventTrigger
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
