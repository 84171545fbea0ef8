"""Book, sleep, send: what every limiter does, wherever it keeps its bookings.

A caller books the earliest time at which every limit permits one more request, under a lock, and then sleeps once until
that time, outside the lock. So the wait is known before it begins, and nobody competes again after waking up.
"""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaRateLimitTimeout
from airflow_provider_avala.api.limits import (
    MARGIN,
    MAX_PAUSE,
    MAX_WAIT,
    Limit,
    announcement,
    believed,
    next_slot,
)


@dataclass(frozen=True)
class LimitStatus:
    """How much of one limit is used.

    :param limit: the limit as it is kept at present.
    :param booked: requests sent in the window that ends now, and those that wait for their turn.
    """

    limit: Limit
    booked: int

    @property
    def free(self) -> int:
        """Requests that may be sent at once, as far as this limit goes."""
        return max(0, self.limit.requests - self.booked)


@dataclass(frozen=True)
class LimiterStatus:
    """The budget of a key, for people.

    :param kept_in: where the bookings are kept, without secrets, and who shares them.
    :param limits: each limit and how much of it is used.
    :param wait: seconds that the next caller would wait.
    :param paused: seconds for which nobody may send, because the server said so.
    :param announced: a limit lower than configured that the server has announced, for the longest window.
    """

    kept_in: str
    limits: tuple[LimitStatus, ...]
    wait: float
    paused: float
    announced: int | None

    def __str__(self) -> str:
        used = ", ".join(f"{each.booked} of {each.limit}" for each in self.limits)
        notes = [f"next call in {self.wait:.1f} s"] if self.wait else []
        notes += [f"paused for {self.paused:.1f} s"] if self.paused else []
        notes += [f"the server announced {self.announced}"] if self.announced else []
        return f"{used} requests/seconds used ({'; '.join([*notes, f'kept in {self.kept_in}'])})"


class Limiter(Protocol):
    """Keeps the limits of one key."""

    def acquire(self, timeout: float) -> float:
        """Wait for a slot and return how many seconds that took.

        :param timeout: the longest wait in seconds; above a day counts as a day.
        :raises AvalaRateLimitTimeout: at once, if the wait would be longer; nothing is booked then.
        """

    def pause(self, seconds: float) -> None:
        """Let nobody who shares the store send for so many seconds, because the server said so.

        :param seconds: how long, cut at an hour.
        """

    def announce(self, requests: int) -> None:
        """Believe the server's ``X-RateLimit-Limit`` if it is lower than what is configured for the longest window.

        All who share the store believe it, until the server announces the higher number again. A number that is
        configured for a shorter window says nothing about the longest.

        :param requests: the number announced; where the limits are a share of the key's, the same share of it.
        """

    def wait(self, fraction: float = 1.0) -> float:
        """Seconds until one more request would keep the limits, or a part of them, as the bookings are at present.

        :param fraction: which part of the limits.
        """

    def status(self) -> LimiterStatus:
        """What is used of the budget at present, for people."""


@dataclass(frozen=True)
class Ledger:
    """What a store holds about a key, on the clock of the store.

    :param now: the present.
    :param booked: the times booked last, in the order of booking.
    :param blocked: before this time nobody may send.
    :param announced: the lower limit that the server has announced, or 0.
    """

    now: float
    booked: Sequence[float]
    blocked: float
    announced: int

    def withdraws(self, at: float) -> bool:
        """Whether a pause holds at present that goes beyond a booked time.

        :param at: the booked time.
        """
        return max(at, self.now) < self.blocked <= self.now + MAX_PAUSE


class Booking(NamedTuple):
    """A slot.

    :param at: its time on the clock of the store.
    :param due: the same moment on this machine's monotonic clock.
    """

    at: float
    due: float


class BookingLimiter(ABC):
    """What all limiters have in common: book, sleep, look whether the server has said something meanwhile.

    :param limits: the limits to keep, all of them at once.
    :param clock: the time to live by.
    :param margin: seconds by which each window is kept longer.
    """

    def __init__(self, limits: Sequence[Limit], clock: Clock = SYSTEM_CLOCK, margin: float = MARGIN) -> None:
        if not limits:
            raise AvalaConfigurationError("rate_limits: give at least one limit, for example '100/60'")
        self.limits = tuple(limits)
        self.size = max(limit.requests for limit in limits)
        self._clock = clock
        self._margin = margin
        self._announced = 0  # as this process has seen it last; spares most answers a look into the store

    @abstractmethod
    def _book(self, timeout: float) -> Booking:
        """Book the next slot.

        :raises AvalaRateLimitTimeout: if it is further away than ``timeout``; nothing is booked then.
        """

    @abstractmethod
    def _is_withdrawn(self, at: float) -> bool:
        """Whether a pause holds at present that goes beyond a booked time, so that it began after the booking."""

    @abstractmethod
    def _store_announcement(self, requests: int) -> None:
        """Keep the announced limit, 0 for none."""

    @abstractmethod
    def _read(self) -> Ledger:
        """What the store holds."""

    @property
    @abstractmethod
    def kept_in(self) -> str:
        """Where the bookings are kept, for people."""

    @abstractmethod
    def pause(self, seconds: float) -> None:
        """See :meth:`Limiter.pause`."""

    def acquire(self, timeout: float) -> float:
        """See :meth:`Limiter.acquire`."""
        begin = self._clock.monotonic()
        end = begin + min(timeout, MAX_WAIT)
        while True:
            at, due = self._book(max(0.0, end - self._clock.monotonic()))
            if due <= self._clock.monotonic():
                return self._clock.monotonic() - begin
            while (rest := due - self._clock.monotonic()) > 0:
                self._clock.sleep(rest)
            if not self._is_withdrawn(at):
                return self._clock.monotonic() - begin
            # Somebody was told to slow down while we slept: take a later slot.

    def announce(self, requests: int) -> None:
        """See :meth:`Limiter.announce`."""
        announced = announcement(self.limits, requests)
        if announced is not None and announced != self._announced:
            self._store_announcement(announced)
            self._announced = announced

    def wait(self, fraction: float = 1.0) -> float:
        """See :meth:`Limiter.wait`."""
        ledger = self._read()
        limits = [limit.share(fraction) for limit in believed(self.limits, ledger.announced)]
        return next_slot(ledger.booked, limits, ledger.now, ledger.blocked, self._margin) - ledger.now

    def status(self) -> LimiterStatus:
        """See :meth:`Limiter.status`."""
        ledger = self._read()
        now, limits = ledger.now, believed(self.limits, ledger.announced)
        paused = ledger.blocked - now
        return LimiterStatus(
            kept_in=self.kept_in,
            limits=tuple(
                LimitStatus(limit, sum(at + limit.seconds + self._margin > now for at in ledger.booked))
                for limit in limits
            ),
            wait=next_slot(ledger.booked, limits, now, ledger.blocked, self._margin) - now,
            paused=paused if 0 < paused <= MAX_PAUSE else 0.0,
            announced=ledger.announced or None,
        )

    def _slot(self, ledger: Ledger, timeout: float) -> float:
        """The next slot on the store's clock.

        :raises AvalaRateLimitTimeout: if it is further away than ``timeout``.
        """
        self._announced = ledger.announced
        limits = believed(self.limits, ledger.announced)
        at = next_slot(ledger.booked, limits, ledger.now, ledger.blocked, self._margin)
        if at - ledger.now > timeout:
            raise self._too_long(at - ledger.now, timeout)
        return at

    def _too_long(self, wait: float, timeout: float) -> AvalaRateLimitTimeout:
        limits = ", ".join(map(str, believed(self.limits, self._announced)))
        return AvalaRateLimitTimeout(
            f"the key's request budget ({limits} requests/seconds) is used up, or paused because the server asked for"
            f" it: the next free slot is {wait:.1f} s away, longer than this call may wait ({timeout:.1f} s)"
        )


class MemoryLimiter(BookingLimiter):
    """The limits of one key within one process; safe for threads.

    :param limits: the limits to keep, all of them at once.
    :param clock: the time to live by.
    :param margin: seconds by which each window is kept longer.
    """

    kept_in = "memory (shared within this process only)"

    def __init__(self, limits: Sequence[Limit], clock: Clock = SYSTEM_CLOCK, margin: float = MARGIN) -> None:
        super().__init__(limits, clock, margin)
        self._lock = threading.Lock()
        self._booked: deque[float] = deque(maxlen=self.size)
        self._blocked = 0.0
        self._believed = 0
        _in_memory.add(self)

    def pause(self, seconds: float) -> None:
        """See :meth:`Limiter.pause`."""
        with self._lock:
            self._blocked = max(self._blocked, self._clock.monotonic() + min(seconds, MAX_PAUSE))

    def _book(self, timeout: float) -> Booking:
        with self._lock:
            ledger = Ledger(self._clock.monotonic(), self._booked, self._blocked, self._believed)
            at = self._slot(ledger, timeout)
            self._booked.append(at)
            return Booking(at, at)

    def _is_withdrawn(self, at: float) -> bool:
        return self._read().withdraws(at)

    def _store_announcement(self, requests: int) -> None:
        self._believed = requests

    def _read(self) -> Ledger:
        with self._lock:
            return Ledger(self._clock.monotonic(), tuple(self._booked), self._blocked, self._believed)


_in_memory: weakref.WeakSet[MemoryLimiter] = weakref.WeakSet()


def _renew_locks() -> None:
    # A fork may happen while another thread holds one of the locks, which nobody would ever release in the child.
    for limiter in _in_memory:
        limiter._lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)
