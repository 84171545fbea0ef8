"""The key's request budget: exact sliding windows, first come first served, no polling.

A caller books the earliest time at which every limit permits one more request, under a lock, and then sleeps once until
that time, outside the lock. So the wait is known before it begins, and nobody competes again after waking up.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaRateLimitTimeout

#: The client stamps a request before it is sent, the server when it arrives: every window is kept this much longer.
MARGIN = 0.25
#: No pause holds longer than this many seconds, whatever a server asks for.
MAX_PAUSE = 3600.0


@dataclass(frozen=True)
class Limit:
    """At most ``requests`` in any ``seconds``.

    :param requests: how many.
    :param seconds: the length of the sliding window.
    """

    requests: int
    seconds: float

    def share(self, fraction: float) -> Limit:
        """Split the limit among several hosts; below one request, the window grows instead.

        :param fraction: this host's part, above 0 and at most 1.
        """
        part = self.requests * fraction
        return Limit(int(part), self.seconds) if part >= 1 else Limit(1, self.seconds / part)

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds:g}"


def parse_limits(text: str, field: str = "rate_limits") -> tuple[Limit, ...]:
    """Read limits such as ``100/60,20/1``: requests per seconds, separated by commas.

    :param text: the limits.
    :param field: the connection's field they come from, for the error.
    :raises AvalaConfigurationError: if the text is not of that form.
    """
    limits = []
    for part in text.split(","):
        requests, slash, seconds = part.strip().partition("/")
        try:
            limit = Limit(int(requests), float(seconds))
        except ValueError:
            limit = Limit(0, 0)
        if not slash or limit.requests < 1 or not 0 < limit.seconds <= MAX_PAUSE:
            raise AvalaConfigurationError(
                f"{field}: {part.strip()!r} is not a limit; write requests/seconds, both above 0 and at most"
                f" {MAX_PAUSE:.0f} seconds, several separated by commas, for example '100/60,20/1'"
            )
        limits.append(limit)
    return tuple(sorted(limits, key=lambda limit: limit.seconds, reverse=True))


def next_slot(
    booked: Sequence[float], limits: Iterable[Limit], now: float, blocked: float = 0.0, margin: float = MARGIN
) -> float:
    """The earliest time, from ``now`` on, at which one more request keeps every limit.

    :param booked: the times booked so far, oldest first.
    :param limits: the limits to keep.
    :param now: the present, on the clock of ``booked``.
    :param blocked: before this time nobody may send.
    :param margin: seconds by which each window is kept longer.
    """
    at = max(now, blocked)
    for limit in limits:
        if len(booked) >= limit.requests:
            at = max(at, booked[-limit.requests] + limit.seconds + margin)
    return at


class Limiter(Protocol):
    """Keeps the limits of one key."""

    def acquire(self, timeout: float) -> float:
        """Wait for a slot and return how many seconds that took.

        :param timeout: the longest wait in seconds.
        :raises AvalaRateLimitTimeout: at once, if the wait would be longer; no slot is used up then.
        """

    def pause(self, seconds: float) -> None:
        """Let nobody send for so many seconds, because the server said so."""


class MemoryLimiter:
    """The limits of one key within one process; safe for threads.

    :param limits: the limits to keep, all of them at once.
    :param clock: the time to live by.
    """

    def __init__(self, limits: Sequence[Limit], clock: Clock = SYSTEM_CLOCK) -> None:
        self.limits = tuple(limits)
        self._clock = clock
        self._lock = threading.Lock()
        self._booked: deque[float] = deque(maxlen=max(limit.requests for limit in limits))
        self._blocked = 0.0

    def acquire(self, timeout: float) -> float:
        """Wait for a slot and return how many seconds that took.

        :param timeout: the longest wait in seconds.
        :raises AvalaRateLimitTimeout: at once, if the wait would be longer; no slot is used up then.
        """
        begin = self._clock.monotonic()
        end = begin + timeout
        while True:
            at = self._reserve(end)
            while (rest := at - self._clock.monotonic()) > 0:
                self._clock.sleep(rest)
            if self._blocked <= self._clock.monotonic():
                return self._clock.monotonic() - begin
            # Somebody was told to slow down while we slept: this slot is stale, take a later one.

    def pause(self, seconds: float) -> None:
        """Let nobody send for so many seconds, because the server said so.

        :param seconds: how long, cut at an hour.
        """
        with self._lock:
            self._blocked = max(self._blocked, self._clock.monotonic() + min(seconds, MAX_PAUSE))

    def _reserve(self, end: float) -> float:
        with self._lock:
            now = self._clock.monotonic()
            at = next_slot(self._booked, self.limits, now, self._blocked)
            if at > end and at > now:
                raise AvalaRateLimitTimeout(
                    f"the key's request budget ({', '.join(map(str, self.limits))} s) is used up:"
                    f" the next free slot is {at - now:.1f} s away, longer than this call may wait"
                )
            self._booked.append(at)
            return at


class _Registry:
    """The limiters of this process: one for each key and set of limits, shared by all who use that key."""

    def __init__(self) -> None:
        self._limiters: dict[tuple[str, tuple[Limit, ...]], MemoryLimiter] = {}
        self._lock = threading.Lock()

    def get(self, owner: str, limits: tuple[Limit, ...]) -> MemoryLimiter:
        with self._lock:
            return self._limiters.setdefault((owner, limits), MemoryLimiter(limits))


_registry = _Registry()


def _forget_parent() -> None:
    # A fork may happen while another thread holds one of the locks, which nobody would ever release in the child.
    global _registry
    _registry = _Registry()


os.register_at_fork(after_in_child=_forget_parent)


def shared_limiter(owner: str, limits: tuple[Limit, ...]) -> Limiter:
    """The limiter that everyone in this process shares who uses the same key with the same limits.

    :param owner: a digest that stands for base URL, key and endpoint class.
    :param limits: the limits to keep.
    """
    return _registry.get(owner, limits)
