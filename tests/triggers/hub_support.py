"""Waiting in a poll hub, as triggers do it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from airflow_provider_avala.api.models import Resource
from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.kinds import EXPORTS, Kind
from airflow_provider_avala.triggers import poll_hub
from tests.airflow_support import CONN_ID

T = TypeVar("T")

#: Nothing here takes that long; a wait that does has failed.
PATIENCE = 20.0


async def outcome(
    resource_id: str, *, kind: Kind = EXPORTS, interval: float = 0.02, conn_id: str = CONN_ID
) -> Resource | Exception:
    """Wait for something in the hub until it has an outcome."""
    with poll_hub.waiting(conn_id, kind, resource_id, interval) as waiter:
        assert await waiter.ended(PATIENCE), (
            f"{resource_id} has no outcome: {waiter.progress} {waiter.last_error}"
        )
        return waiter.outcome.result()


async def status(resource_id: str, **options: Any) -> str:
    """The status that a wait ended with, or the error as text."""
    found = await outcome(resource_id, **options)
    return found.status if isinstance(found, Resource) else f"{type(found).__name__}: {found}"


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop run until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await pause(0.005)


async def pause(seconds: float) -> None:
    """Let the loop run for a while."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


def start(*waits: Coroutine[Any, Any, T]) -> list[asyncio.Task[T]]:
    """Run waits side by side, as a triggerer does."""
    return [asyncio.create_task(wait) for wait in waits]


def lists(avala: Emulator) -> int:
    """How many pages of lists were asked for."""
    return sum(request.path.count("/") == 2 for request in avala.requests)


def asks(avala: Emulator) -> int:
    """How many single resources were asked for."""
    return sum(request.path.count("/") > 2 for request in avala.requests)


def running(avala: Emulator, count: int) -> list[str]:
    """Exports that run until they are told to finish."""
    return [avala.add_export(status="processing") for _ in range(count)]


def finish(avala: Emulator, ids: list[str]) -> None:
    """End exports with success."""
    for each in ids:
        avala.finish_export(each)
