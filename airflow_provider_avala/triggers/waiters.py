"""Who waits for what in a poll hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_avala.api.models import Resource
from airflow_provider_avala.triggers.poll_plan import NOT_LISTED

#: The progress of what nobody has looked at.
UNKNOWN = "unknown"


class Waiter:
    """One trigger's view of what it waits for.

    :param resource_id: its id.
    :param interval: seconds between two looks.
    :param hurry: makes the hub look at this one as soon as possible.
    :ivar outcome: the resource when it has finished, well or badly, or the error that ended the wait.
    :ivar progress: status and counts as last seen, for people.
    :ivar failed_polls: how many looks have failed.
    :ivar last_error: why the last look failed; empty if it did not.
    """

    __slots__ = (
        "_hurry",
        "_looked",
        "depth",
        "due",
        "failed_polls",
        "id",
        "interval",
        "last_error",
        "outcome",
        "progress",
    )

    def __init__(self, resource_id: str, interval: float, hurry: Callable[[Waiter], None]) -> None:
        loop = asyncio.get_running_loop()
        self._hurry = hurry
        self.id = resource_id
        self.interval = interval
        self.due = loop.time()
        self.depth = 0.0
        self.progress = UNKNOWN
        self.failed_polls = 0
        self.last_error = ""
        self.outcome: asyncio.Future[Resource | Exception] = loop.create_future()
        self._looked: asyncio.Future[None] | None = None

    async def ended(self, timeout: float) -> bool:
        """Wait for the outcome and say whether there is one.

        :param timeout: seconds after which to return anyhow.
        """
        await asyncio.wait([self.outcome], timeout=max(0.0, timeout))
        return self.outcome.done()

    async def last_look(self, timeout: float) -> bool:
        """Have the hub look once more, as soon as possible, and say whether there is an outcome.

        :param timeout: seconds after which to return anyhow.
        """
        self._hurry(self)
        self._looked = self.outcome.get_loop().create_future()
        either: list[asyncio.Future[Any]] = [self.outcome, self._looked]
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return self.outcome.done()

    def settle(self, due: float, error: str = "") -> None:
        """Note that a look is over.

        :param due: when the next one is due.
        :param error: why it failed, if it did.
        """
        self.due = due
        self.last_error = error
        self.failed_polls += bool(error)
        if self._looked and not self._looked.done():
            self._looked.set_result(None)

    def end(self, outcome: Resource | Exception) -> None:
        """Say how it ended.

        :param outcome: the finished resource, or the error.
        """
        if not self.outcome.done():
            self.outcome.set_result(outcome)


@dataclass
class Group:
    """All that is waited for of one kind.

    :param waiters: by the id that they wait for; rarely more than one.
    :param given_up: see :func:`.poll_plan.deserve_another_walk`.
    :param list_again: when the list may be read again.
    """

    waiters: dict[str, list[Waiter]] = field(default_factory=dict)
    given_up: int = 0
    list_again: float = 0.0

    def __iter__(self) -> Iterator[Waiter]:
        for waiters in self.waiters.values():
            yield from waiters

    def unlisted(self) -> list[Waiter]:
        """Those that the list did not show."""
        return [waiter for waiter in self if waiter.depth == NOT_LISTED]
