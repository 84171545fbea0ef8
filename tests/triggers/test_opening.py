"""Opening a hook off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.triggers.export_readings import readings
from tests.airflow_support import CONN_ID
from tests.triggers.hub_support import status


@pytest.fixture
def asked(monkeypatch) -> list[tuple[object, threading.Thread]]:
    """On which loop, and in which thread, connections were asked for, as Airflow 3.0 and 3.1 do it in triggers."""
    found: list[tuple[object, threading.Thread]] = []
    read = AvalaHook.get_connection

    async def ask() -> object:
        return asyncio.get_running_loop()

    def get_connection(conn_id: str) -> Any:
        found.append((async_to_sync(ask)(), threading.current_thread()))
        return read(conn_id)

    monkeypatch.setattr(AvalaHook, "get_connection", staticmethod(get_connection))
    return found


@pytest.fixture(params=["poller", "watcher"])
def look(request: pytest.FixtureRequest, avala: Emulator) -> Callable[[], Awaitable[object]]:
    """Looks at an export, as triggers do."""
    export_id = avala.add_export(status="exported")

    async def first_reading() -> object:
        async with aclosing(readings(CONN_ID, 0.02)) as found:
            return await anext(found)

    return first_reading if request.param == "watcher" else partial(status, export_id)


def test_connections_are_asked_for_by_way_of_the_loop_and_off_its_thread(
    look: Callable[[], Awaitable[object]], asked: list[tuple[object, threading.Thread]]
) -> None:
    async def main() -> object:
        await look()
        return asyncio.get_running_loop()

    loop = asyncio.run(main())
    assert [(where is loop, thread is threading.main_thread()) for where, thread in asked] == [(True, False)]
