"""One poller for all that waits on one connection in a triggerer, however much that is.

Triggers join the hub of their event loop and connection and are told what came of it. The hub starts with the first of
them and ends with the last. It reads the list where that is cheaper than asking one by one; :mod:`.poll_plan` decides.
The connection is read and requests are sent in the hub's own threads, never on the loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import partial
from typing import TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaAuthenticationError,
    AvalaError,
    AvalaProtocolError,
    AvalaServerError,
    is_transient,
)
from airflow_provider_avala.api.models import Resource, State
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.kinds import Kind
from airflow_provider_avala.triggers import poll_plan as plan
from airflow_provider_avala.triggers.opening import open_hook
from airflow_provider_avala.triggers.waiters import Group, Waiter

log = logging.getLogger(__name__)

#: The first round waits for so many seconds, so that triggers that start together share it.
GATHER = 0.02
#: Requests in flight at a time, so that one that hangs does not keep all others waiting.
THREADS = 4
#: Seconds for which a list that cannot be read (no permission, unknown shape) is left alone.
LIST_REST = 300.0
#: How often the connection is read before an error that may be passing (a busy database) is believed.
READING_ATTEMPTS = 3

_T = TypeVar("_T")


class PollHub:
    """The poller of one connection on one event loop; see :func:`waiting`.

    :param conn_id: id of the Airflow connection.
    :param loop: the running event loop.
    """

    def __init__(self, conn_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self.conn_id = conn_id
        self.groups: dict[Kind, Group] = {}
        self._loop = loop
        self._phase = random.random()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="avala-polls")
        self._hook: AvalaHook | None = None
        self._reading_failures = 0
        self._spacing = 0.0
        self._sent = 0
        self._shown = 0
        self._trouble = ""
        self._failing = False
        self._wake = asyncio.Event()
        self._not_before = self._planned = loop.time() + GATHER
        # In an empty context: Airflow binds the log of a trigger to its context, and this is not the first one's.
        self._task = loop.create_task(self._run(), name=f"avala-polls-{conn_id}", context=Context())

    def join(self, kind: Kind, waiter: Waiter) -> None:
        """Begin to look at something; the first look is due at once.

        :param kind: what it is.
        :param waiter: who wants to know.
        """
        self.groups.setdefault(kind, Group()).waiters.setdefault(waiter.id, []).append(waiter)
        self._wake_for(waiter)

    def hurry(self, waiter: Waiter) -> None:
        """Look as soon as possible.

        :param waiter: who wants to know.
        """
        waiter.due = min(waiter.due, self._loop.time())
        self._wake_for(waiter)

    def leave(self, kind: Kind, waiter: Waiter) -> None:
        """Stop looking; with the last one, the poller ends.

        :param kind: what it is.
        :param waiter: who does not want to know any more.
        """
        waiters = self.groups[kind].waiters
        if waiter in waiters.get(waiter.id, ()):
            waiters[waiter.id].remove(waiter)
            if not waiters[waiter.id]:
                del waiters[waiter.id]
        if not any(group.waiters for group in self.groups.values()):
            self.close()

    def close(self) -> None:
        """End the poller; requests in flight end by themselves, in their threads."""
        if _hubs.get((self._loop, self.conn_id)) is self:
            del _hubs[self._loop, self.conn_id]
            if not self._loop.is_closed():
                self._task.cancel()
            if self._hook:
                self._threads.submit(self._hook.client.close)
            self._threads.shutdown(wait=False)

    # When to look

    def _wake_for(self, waiter: Waiter) -> None:
        if max(waiter.due, self._not_before) < self._planned:
            self._wake.set()

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            first = min(
                (waiter.due for group in self.groups.values() for waiter in group), default=float("inf")
            )
            self._planned = max(first, self._not_before)
            if (rest := self._planned - self._loop.time()) <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(None if rest == float("inf") else rest):
                    await self._wake.wait()

    async def _run(self) -> None:
        try:
            while True:
                await self._until_due()
                begin, self._sent, self._shown, self._trouble = self._loop.time(), 0, 0, ""
                await self._round(begin)
                self._tell()
                # What a round has cost decides when the next may begin: so intervals stretch when the budget is short.
                self._not_before = begin + self._sent * self._spacing
        except Exception as error:
            # The connection cannot be used, or there is a mistake in here: nobody shall wait in vain.
            log.warning("Waiting on connection %s ended: %s", self.conn_id, error)
            waiting = [waiter for group in self.groups.values() for waiter in group]
            self.close()
            for waiter in waiting:
                waiter.end(error)

    def _tell(self) -> None:
        """Log when nothing succeeds any more, and when something does again."""
        if self._trouble and not self._shown and not self._failing:
            log.warning("Polls on connection %s fail, polling goes on: %s", self.conn_id, self._trouble)
            self._failing = True
        elif self._shown and self._failing:
            log.info("Polls on connection %s succeed again.", self.conn_id)
            self._failing = False

    # How to look

    async def _round(self, begin: float) -> None:
        if not self._hook and not await self._connect(begin):
            return
        try:
            for kind in list(self.groups):
                await self._look(kind, begin)
        except AvalaAuthenticationError as refused:
            await self._reconnect(refused)

    async def _look(self, kind: Kind, begin: float) -> None:
        group = self.groups[kind]
        unseen = {waiter.id: waiter for waiter in group if waiter.due <= begin}
        trouble = await self._read_list(kind, unseen, begin) if begin >= group.list_again else None
        if trouble and not isinstance(trouble, AvalaServerError):
            self._failed([*unseen], kind, begin, trouble)
            return
        asked = plan.to_ask(waiter for waiter in unseen.values() if waiter.id in group.waiters)
        found = await asyncio.gather(
            *(self._ask(kind, resource_id, begin) for resource_id in asked), return_exceptions=True
        )
        for error in found:
            if isinstance(error, BaseException):
                raise error
        if trouble and any(found):  # neither list nor single answers: let it rest
            self._failed([one for one in unseen if one not in asked], kind, begin, trouble)

    async def _read_list(self, kind: Kind, unseen: dict[str, Waiter], begin: float) -> Exception | None:
        """Read the list as far as it is worth it, take what it shows out of ``unseen``, and return what went wrong."""
        group = self.groups[kind]
        unlisted = group.unlisted()
        group.given_up = min(group.given_up, len(unlisted))
        if plan.deserve_another_walk(len(unlisted), group.given_up):
            for waiter in unlisted:
                waiter.depth = 0
        read, pages = 0, None
        try:
            while plan.worth_another_page(read, [waiter.depth for waiter in unseen.values()]):
                pages = pages or kind.pages(self._connected)
                page = await self._request(partial(next, pages, None))
                if page is None:
                    break
                read += 1
                for resource in page:
                    if resource.status:  # without, the list says nothing about its state
                        unseen.pop(resource.id, None)
                        self._show(kind, resource, begin, read)
        except AvalaAuthenticationError:
            raise
        except Exception as error:
            if is_transient(error) and not isinstance(error, AvalaProtocolError):
                return error
            log.warning("The list of %ss cannot be read, each is asked for instead: %s", kind.name, error)
            group.list_again = begin + LIST_REST
        for waiter in unseen.values():
            waiter.depth = plan.depth_after(read, waiter.depth)
        if read:
            group.given_up = max(group.given_up, len(group.unlisted()))
        return None

    async def _ask(self, kind: Kind, resource_id: str, begin: float) -> bool:
        """Ask for one, and return whether that failed in a way that passes."""
        try:
            resource = await self._request(partial(kind.ask, self._connected, resource_id))
        except AvalaAuthenticationError:
            raise
        except Exception as error:
            if is_transient(error):
                self._failed([resource_id], kind, begin, error)
                return True
            for waiter in self.groups[kind].waiters.pop(resource_id, ()):
                waiter.end(error)
        else:
            self._show(kind, resource, begin, asked_for=resource_id)
        return False

    def _show(
        self, kind: Kind, resource: Resource, begin: float, depth: float | None = None, asked_for: str = ""
    ) -> None:
        self._shown += 1
        waiters = self.groups[kind].waiters
        for waiter in waiters.get(asked_for or resource.id, ()):
            waiter.depth = waiter.depth if depth is None else depth
            waiter.progress = resource.progress
            waiter.settle(plan.next_look(begin, waiter.interval, self._phase))
            if resource.state is not State.RUNNING:
                waiter.end(resource)
        if resource.state is not State.RUNNING:
            waiters.pop(asked_for or resource.id, None)

    def _failed(self, ids: Sequence[str], kind: Kind, begin: float, error: Exception) -> None:
        self._trouble = str(error)
        for resource_id in ids:
            for waiter in self.groups[kind].waiters.get(resource_id, ()):
                waiter.settle(plan.next_look(begin, waiter.interval, self._phase), str(error))

    # In threads

    @property
    def _connected(self) -> AvalaHook:
        assert self._hook is not None  # noqa: S101  # a round begins with connecting
        return self._hook

    async def _request(self, call: Callable[[], _T]) -> _T:
        self._sent += 1
        return await self._loop.run_in_executor(self._threads, call)

    async def _connect(self, begin: float) -> bool:
        """Read the connection; an error that may pass counts as a failed poll."""
        try:
            hook = await open_hook(self.conn_id, self._threads)
        except AirflowNotFoundException:
            raise
        except Exception as error:
            self._reading_failures += 1
            if not is_transient(error) and (
                isinstance(error, AvalaError) or self._reading_failures >= READING_ATTEMPTS
            ):
                raise
            for kind, group in self.groups.items():
                self._failed([*group.waiters], kind, begin, error)
            return False
        self._reading_failures = 0
        self._hook = hook
        settings = hook.settings
        self._spacing = plan.seconds_per_request(settings.rate_limits, settings.poll_share)
        return True

    async def _reconnect(self, refused: AvalaApiError) -> None:
        """After a 401, take the key that the connection holds by now; if it is the same one, that was it."""
        before = self._connected
        self._hook = None
        if await self._connect(self._loop.time()):
            if self._connected.settings.owner("polls") == before.settings.owner("polls"):
                raise refused
            log.info("Connection %s has another key by now; polling goes on with it.", self.conn_id)
        self._threads.submit(before.client.close)


_hubs: dict[tuple[asyncio.AbstractEventLoop, str], PollHub] = {}


@contextmanager
def waiting(conn_id: str, kind: Kind, resource_id: str, interval: float) -> Iterator[Waiter]:
    """Let the hub of this connection look at something for the length of the block.

    :param conn_id: id of the Airflow connection.
    :param kind: what to look at.
    :param resource_id: its id.
    :param interval: seconds between two looks; kept unless the key's budget is too short for it.
    """
    loop = asyncio.get_running_loop()
    for dead in [key for key in _hubs if key[0].is_closed()]:
        _hubs[dead].close()
    hub = _hubs.get((loop, conn_id))
    if hub is None:
        hub = _hubs[loop, conn_id] = PollHub(conn_id, loop)
    waiter = Waiter(resource_id, interval, hub.hurry)
    hub.join(kind, waiter)
    try:
        yield waiter
    finally:
        hub.leave(kind, waiter)
