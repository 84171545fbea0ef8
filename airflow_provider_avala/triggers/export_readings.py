"""Looking at an account's exports again and again, once for all that watch them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from copy import copy
from functools import partial
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_avala.api.errors import AvalaError, AvalaNotFoundError, is_transient
from airflow_provider_avala.api.models import Export
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.triggers.export_cursor import BREATH, Cursor, pause_after
from airflow_provider_avala.triggers.opening import open_hook

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Reading:
    """One look at the exports of a connection, as deep as its watchers need: each request is sent once for all of them.

    :param hook: the hook of the connection.
    :param threads: where requests are sent; one thread, because pages come one after the other.
    :ivar is_unfinished: whether a watcher wants to see it :meth:`again`.
    """

    def __init__(self, hook: AvalaHook, threads: ThreadPoolExecutor) -> None:
        self._hook = hook
        self._threads = threads
        self._pages: Iterator[Sequence[Export]] | None = None
        self._answers: dict[Hashable, asyncio.Task[Any]] = {}
        self._when_delivered: list[Callable[[], Awaitable[None]]] = []
        self.is_unfinished = False

    def again(self) -> Reading:
        """The same look, with all that was read, for further events."""
        twin = copy(self)
        twin._when_delivered = []
        twin.is_unfinished = False
        return twin

    async def page(self, number: int) -> Sequence[Export]:
        """A page of the list, newest first; empty behind the last one.

        :param number: counted from 0; the pages before it must have been read.
        :raises AvalaError: if the request failed.
        """
        return await self._once(number, self._next_page)

    async def listed(self, cursor: Cursor) -> list[Export]:
        """The list, newest first, down to where a cursor says that it is settled.

        :param cursor: the cursor.
        :raises AvalaError: if a request failed.
        """
        found: list[Export] = []
        number = 0
        while page := await self.page(number):
            found += page
            number += 1
            if cursor.is_reached_by(page):
                break
        return found

    async def asked(self, export_ids: Sequence[str]) -> dict[str, Export | None]:
        """Exports by id, asked for one by one; None for what is gone. What could not be asked for is missing.

        :param export_ids: their ids.
        """
        found: dict[str, Export | None] = {}
        for export_id in export_ids:
            try:
                found[export_id] = await self._once(export_id, partial(self._hook.poll_export, export_id))
            except AvalaNotFoundError:
                log.warning("Export %s is gone, so it is not waited for any more.", export_id)
                found[export_id] = None
            except AvalaError as error:
                log.info("Export %s cannot be looked at for now: %s", export_id, error)
        return found

    def when_delivered(self, call: Callable[[], Awaitable[None]]) -> None:
        """Do something once Airflow has stored all events that came of this reading.

        :param call: what to do; must not raise.
        """
        self._when_delivered.append(call)

    async def delivered(self) -> None:
        """Do what was to be done once all events are stored."""
        while self._when_delivered:
            await self._when_delivered.pop(0)()

    def _next_page(self) -> Sequence[Export]:
        self._pages = self._pages or self._hook.poll_exports()
        return next(self._pages, [])

    async def _once(self, what: Hashable, call: Callable[[], _T]) -> _T:
        if what not in self._answers:
            # In an empty context, and shielded: it is for all watchers, and not only for the one that asks first.
            answer = asyncio.get_running_loop().create_task(
                _in_thread(self._threads, call), context=Context()
            )
            self._answers[what] = answer
        found: _T = await asyncio.shield(self._answers[what])
        return found


async def readings(conn_id: str, interval: float) -> AsyncIterator[Reading]:
    """Look at the exports of a connection for ever, and outlast every error.

    Airflow begins a watcher that has ended anew, within seconds and for ever; so pauses are made here. After an error
    that does not pass by itself, the connection is read again.

    :param conn_id: id of the Airflow connection.
    :param interval: seconds between two looks, give or take a tenth, so that triggerers do not look in step.
    """
    threads = ThreadPoolExecutor(1, thread_name_prefix="avala-watch")
    hook: AvalaHook | None = None
    failures, told = 0, ""
    try:
        while True:
            try:
                if hook is None:
                    hook = await open_hook(conn_id, threads)
                reading = Reading(hook, threads)
                await reading.page(0)
            except Exception as error:
                failures += 1
                is_foreseen = isinstance(error, AvalaError | AirflowNotFoundException)
                fatal = is_foreseen and not is_transient(error)
                if type(error).__name__ != told:
                    message = "Exports of connection %s cannot be watched for now: %s"
                    log.warning(message, conn_id, error, exc_info=not is_foreseen)
                told = type(error).__name__
                if fatal and hook:
                    threads.submit(hook.client.close)
                    hook = None
                await asyncio.sleep(pause_after(failures, interval, fatal, random.random()))
                continue
            if failures:
                log.info("Exports of connection %s are watched again.", conn_id)
            failures, told = 0, ""
            pause = interval * random.uniform(0.9, 1.1)
            breath = min(pause, BREATH)
            yield reading
            await asyncio.sleep(breath)
            while reading.is_unfinished:
                reading = reading.again()
                yield reading
                await asyncio.sleep(breath)
            await asyncio.sleep(pause - breath)
    finally:
        if hook:
            threads.submit(hook.client.close)
        threads.shutdown(wait=False)


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[], _T]) -> _T:
    return await asyncio.get_running_loop().run_in_executor(threads, call)


class SharedReadings:
    """What Airflow 3.3 wants of a stream that several watchers share; has the shape of its SharedStreamProducer.

    Older versions do not know that class, so this cannot be derived from it.

    :param conn_id: id of the Airflow connection.
    :param interval: seconds between two looks.
    """

    def __init__(self, conn_id: str, interval: float) -> None:
        self._readings = partial(readings, conn_id, interval)

    async def open_stream(self) -> AsyncIterator[tuple[Reading, Reading]]:
        """Yield readings, for the watchers and, once they are done with it, for :meth:`advance`."""
        async for reading in self._readings():
            yield reading, reading

    def get_advance_lane(self, reading: Reading) -> None:
        """All readings are to be stored in their order.

        :param reading: one of them.
        """

    async def advance(self, batch: Sequence[tuple[Reading, Any]]) -> None:
        """Let the watchers store their cursors, because all their events are stored.

        Where that is in doubt for one of them, none does: the next reading will, and one too early would lose events.

        :param batch: readings, and how the watchers got on with them.
        """
        for reading, outcome in batch:
            if outcome.is_clean:
                await reading.delivered()

    async def aclose(self) -> None:
        """Nothing is left to be done."""
