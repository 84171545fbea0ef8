"""How many may do something at a time, on this host: one lock file for each place.

Whoever holds the lock of one of the files has a place. The kernel frees it when the holder dies, however it dies. Which
of the waiting processes gets the next place is left to chance: there is no line.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaRateLimitTimeout
from airflow_provider_avala.api.state_dir import StateDir, file_name

log = logging.getLogger(__name__)

#: How often a waiting caller looks again, in seconds: the first time, and at most.
_FIRST_LOOK, _LAST_LOOK = 0.01, 0.5


class Slots:
    """A number of places, shared by all processes of this host that use the same directory.

    If the directory cannot be used, the places are those of this process, after one warning.

    :param owner: a digest that stands for base URL and key.
    :param what: what is done in a place, in the plural, for the error: ``uploads``.
    :param count: how many places there are.
    :param state_dir: directory of the files, see :mod:`state_dir`.
    :param clock: the time to live by.
    :raises AvalaConfigurationError: if there is no place at all.
    """

    def __init__(
        self, owner: str, what: str, count: int, *, state_dir: str = "", clock: Clock = SYSTEM_CLOCK
    ) -> None:
        if count < 1:
            raise AvalaConfigurationError(f"max_concurrent_{what}: {count} is not at least 1")
        self._what = what
        self._count = count
        self._clock = clock
        self._dir = StateDir(state_dir)
        self._names = [file_name("slot", owner, what, place) for place in range(count)]

    @contextmanager
    def hold(self, timeout: float) -> Iterator[float]:
        """Hold a place while the block runs; gives the seconds that were waited for it.

        :param timeout: the longest wait in seconds; 0 means now or never.
        :raises AvalaRateLimitTimeout: if no place was free in time.
        """
        begin = self._clock.monotonic()
        free = self._wait(begin + timeout)
        try:
            yield self._clock.monotonic() - begin
        finally:
            free()

    def in_use(self) -> int:
        """How many places are taken at this moment; those that are free are held for the blink of an eye to see that.

        :raises OSError: if the directory cannot be used.
        """
        taken = 0
        for name in self._names:
            free = self._take_file(name)
            if free:
                free()
            else:
                taken += 1
        return taken

    def _wait(self, end: float) -> Callable[[], None]:
        """Wait for a place and return what frees it."""
        pause = _FIRST_LOOK
        while not (free := self._take()):
            rest = end - self._clock.monotonic()
            if rest <= 0:
                raise AvalaRateLimitTimeout(
                    f"all {self._count} places for {self._what} of this host are taken, for longer than this call may"
                    f" wait; raise max_concurrent_{self._what} only if the key's plan allows more at a time"
                )
            self._clock.sleep(min(rest, pause * random.uniform(0.5, 1.5)))
            pause = min(pause * 1.5, _LAST_LOOK)
        return free

    def _take(self) -> Callable[[], None] | None:
        names = random.sample(self._names, self._count)
        try:
            return next(filter(None, map(self._take_file, names)), None)
        except OSError as error:
            level = logging.DEBUG if self._dir.path in _said else logging.WARNING
            _said.add(self._dir.path)
            log.log(
                level,
                "How many %s run at a time is limited within this process only, because the directory %s cannot be used"
                " (%s). Set [avala] state_dir to a directory on a local disk that this process can write to.",
                self._what,
                self._dir.path,
                error,
            )
            return next(filter(None, map(_take_lock, names)), None)

    def _take_file(self, name: str) -> Callable[[], None] | None:
        descriptor = self._dir.open(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise
        _held.add(descriptor)
        return partial(_free_file, descriptor, os.getpid())


def _free_file(descriptor: int, holder: int) -> None:
    if holder == os.getpid():  # and not a child that was forked inside the block
        _held.discard(descriptor)
        os.close(descriptor)


def _take_lock(name: str) -> Callable[[], None] | None:
    lock = _locks.setdefault(name, threading.Lock())
    return lock.release if lock.acquire(blocking=False) else None


_said: set[Path] = set()
_held: set[int] = set()
_locks: dict[str, threading.Lock] = {}


def _leave_to_parent() -> None:
    # A forked child inherits the open files; as long as it had them, the parent's places would outlive the parent.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()
    _locks.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
