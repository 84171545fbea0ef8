"""The limiters that callers use: one for each key, kept where the connection says.

Where the bookings are kept decides who shares the budget: a file for every process of a host (``ring``), Redis for
every host (``redis_ring``), or this process's memory (``booking``).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from airflow_provider_avala.api.booking import Limiter, LimiterStatus, LimitStatus, MemoryLimiter
from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaConnectionError,
    AvalaRateLimitTimeout,
)
from airflow_provider_avala.api.limits import MAX_PAUSE, Limit, parse_limits

__all__ = [
    "MAX_PAUSE",
    "Limit",
    "LimitStatus",
    "Limiter",
    "LimiterStatus",
    "MemoryLimiter",
    "Portion",
    "WithFallback",
    "open_limiter",
    "parse_limits",
    "shared_limiter",
]

log = logging.getLogger(__name__)

#: The stores of a ``rate_limit_store`` that are Redis.
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
#: A store that failed is tried again after this many seconds.
SECOND_CHANCE = 30.0
#: The part of the limits that a :class:`Portion` gets however busy the key is.
TRICKLE = 0.1

_T = TypeVar("_T")


class WithFallback:
    """Uses one limiter until it fails, then another one for a while, and warns once in this process.

    :param first: the limiter to use.
    :param second: the one to use while the first fails.
    :param failures: what the first raises when it fails.
    :param warning: what that means for the user, with ``%s`` for the failure.
    :param clock: the time to live by.
    """

    def __init__(
        self,
        first: Limiter,
        second: Limiter,
        *,
        failures: type[Exception],
        warning: str,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._first = first
        self._second = second
        self._failures = failures
        self._warning = warning
        self._clock = clock
        self._second_until = 0.0

    def acquire(self, timeout: float) -> float:
        """See :meth:`Limiter.acquire`."""
        return self._call(lambda limiter: limiter.acquire(timeout))

    def pause(self, seconds: float) -> None:
        """See :meth:`Limiter.pause`."""
        self._call(lambda limiter: limiter.pause(seconds))

    def announce(self, requests: int) -> None:
        """See :meth:`Limiter.announce`."""
        self._call(lambda limiter: limiter.announce(requests))

    def wait(self, fraction: float = 1.0) -> float:
        """See :meth:`Limiter.wait`."""
        return self._call(lambda limiter: limiter.wait(fraction))

    def status(self) -> LimiterStatus:
        """See :meth:`Limiter.status`; that of the limiter in use."""
        return self._call(lambda limiter: limiter.status())

    def _call(self, do: Callable[[Limiter], _T]) -> _T:
        if self._clock.monotonic() >= self._second_until:
            try:
                return do(self._first)
            except self._failures as error:
                self._second_until = self._clock.monotonic() + SECOND_CHANCE
                self._say(error)
        return do(self._second)

    def _say(self, error: Exception) -> None:
        level = logging.DEBUG if self._warning in _said else logging.WARNING
        _said.add(self._warning)
        log.log(level, self._warning, error)


class Portion:
    """A part of a budget, for calls that must not keep others waiting, such as polls.

    A call takes a slot of the part first, so a long line of polls stands there and nobody else queues behind it. It
    takes one of the whole only while the whole is quiet: as long as less than the part is used up, by whomever. When
    work keeps it busy, a trickle remains, so that polls are slow then but do not starve.

    :param whole: keeps all of the limits.
    :param part: keeps a part of them.
    :param trickle: keeps a small part of them.
    :param fraction: the size of the part.
    :param clock: the time to live by.
    """

    def __init__(
        self,
        whole: Limiter,
        part: Limiter,
        trickle: Limiter,
        fraction: float,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._whole = whole
        self._part = part
        self._trickle = trickle
        self._fraction = fraction
        self._clock = clock

    def acquire(self, timeout: float) -> float:
        """See :meth:`Limiter.acquire`; if the whole is too busy, a slot of the part stays taken."""
        begin = self._clock.monotonic()
        self._part.acquire(timeout)
        while (wait := self._whole.wait(self._fraction)) > 0:
            rest = begin + timeout - self._clock.monotonic()
            wait = min(wait, self._trickle.wait())
            if wait <= 0:
                self._trickle.acquire(max(0.0, rest))
                break
            if wait > rest:
                raise AvalaRateLimitTimeout(
                    f"the key's request budget is busy with work: polls have their turn in {wait:.1f} s, later than"
                    f" this one may wait ({timeout:.1f} s)"
                )
            self._clock.sleep(wait)
        self._whole.acquire(max(0.0, begin + timeout - self._clock.monotonic()))
        return self._clock.monotonic() - begin

    def pause(self, seconds: float) -> None:
        """See :meth:`Limiter.pause`; it holds for the whole."""
        self._whole.pause(seconds)

    def announce(self, requests: int) -> None:
        """See :meth:`Limiter.announce`."""
        self._whole.announce(requests)
        self._part.announce(max(1, int(requests * self._fraction)))

    def wait(self, fraction: float = 1.0) -> float:
        """See :meth:`Limiter.wait`; that of the whole."""
        return self._whole.wait(fraction)

    def status(self) -> LimiterStatus:
        """See :meth:`Limiter.status`; that of the part."""
        return self._part.status()


def open_limiter(
    owner: str,
    limits: tuple[Limit, ...],
    *,
    store: str = "",
    state_dir: str = "",
    fallback: bool = False,
    portion: float = 1.0,
    clock: Clock = SYSTEM_CLOCK,
) -> Limiter:
    """The limiter that keeps the limits of a key.

    Within a process, everyone who opens the same one shares it; it may be used by any thread and after a fork.

    :param owner: a digest that stands for base URL, key and endpoint class; never the key.
    :param limits: the limits to keep, all of them at once.
    :param store: where the bookings are kept: empty for a file that all processes of this host share, ``memory`` for
        this process alone, or a ``redis://``, ``rediss://`` or ``unix://`` URL for all hosts that use it.
    :param state_dir: directory of the file, see :mod:`state_dir`.
    :param fallback: whether to use the host's file, with one warning, while Redis cannot be used.
    :param portion: the part of the budget that the caller may use, for calls such as polls; see :class:`Portion`.
    :param clock: the time to live by.
    :raises AvalaConfigurationError: if an argument cannot be used, naming it.
    """
    if portion != 1:
        part = tuple(limit.share(portion, "portion") for limit in limits)
        trickle = tuple(limit.share(min(portion, TRICKLE)) for limit in limits)
        alike = partial(open_limiter, store=store, state_dir=state_dir, fallback=fallback, clock=clock)
        return Portion(
            alike(owner, limits),
            alike(f"{owner}, portion {portion:g}", part),
            alike(f"{owner}, trickle", trickle),
            portion,
            clock,
        )
    key = (owner, limits, store, state_dir, fallback, clock)
    with _registry_lock:
        if key not in _registry:
            _registry[key] = _open(owner, limits, store, state_dir, fallback, clock)
        return _registry[key]


def shared_limiter(owner: str, limits: tuple[Limit, ...]) -> Limiter:
    """The limiter that everyone in this process shares who uses the same key with the same limits.

    :param owner: a digest that stands for base URL, key and endpoint class.
    :param limits: the limits to keep.
    """
    return open_limiter(owner, limits, store="memory")


def _open(
    owner: str, limits: tuple[Limit, ...], store: str, state_dir: str, fallback: bool, clock: Clock
) -> Limiter:
    if store == "memory":
        return MemoryLimiter(limits, clock)
    if not store:
        return _host_wide(owner, limits, state_dir, clock)
    if not store.startswith(REDIS_SCHEMES):
        scheme = store.partition("://")[0] if "://" in store else store
        raise AvalaConfigurationError(
            f"rate_limit_store: {scheme!r} is not a known store; leave it empty (this host), or set it to 'memory'"
            f" (this process) or to a URL that begins with {', '.join(REDIS_SCHEMES)}"
        )
    from airflow_provider_avala.api.redis_ring import RedisRing

    redis = RedisRing(owner, limits, store, clock)
    if not fallback:
        return redis
    return WithFallback(
        redis,
        _host_wide(owner, limits, state_dir, clock),
        failures=AvalaConnectionError,
        warning=f"The rate limits are shared within this host only until {redis.address} answers again: %s.",
        clock=clock,
    )


def _host_wide(owner: str, limits: tuple[Limit, ...], state_dir: str, clock: Clock) -> Limiter:
    from airflow_provider_avala.api.ring import FileRing

    ring = FileRing(owner, limits, state_dir, clock)
    return WithFallback(
        ring,
        MemoryLimiter(limits, clock),
        failures=OSError,
        warning=f"The rate limits are kept within this process only, because the directory {ring.directory} cannot be"
        " used (%s). Set [avala] state_dir to a directory on a local disk that this process can write to.",
        clock=clock,
    )


_said: set[str] = set()
_registry: dict[tuple[object, ...], Limiter] = {}
_registry_lock = threading.Lock()


def _renew_lock() -> None:
    # A fork may happen while another thread holds the lock, which nobody would ever release in the child.
    global _registry_lock
    _registry_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
