"""The key's limits, kept by every process of a host through one small file.

The file is a header and a ring of the last booked times, one for each request of the largest limit, so the n-th last
booking is found at once and the file never grows. Times are those of the monotonic clock, which all processes of a
host share and which nobody can set: a step of the wall clock changes nothing. That clock begins anew when the machine
starts, so the boot's id is part of the file's name.

The lock is a ``flock`` on the file itself, freed by the kernel when its holder dies. It belongs to the open file, not
to the process: each call opens the file anew, so that threads and forked children exclude each other, too.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_avala.api.booking import Booking, BookingLimiter, Ledger
from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.limits import MARGIN, MAX_PAUSE, Limit
from airflow_provider_avala.api.state_dir import StateDir, boot_id, file_name

#: Seconds after which the holder of the lock must be frozen: it needs microseconds.
LOCK_TIMEOUT = 5.0

_MAGIC = b"avalaRL1"
#: Magic, how many were ever booked, blocked until, announced limit.
_HEADER = struct.Struct("=8sQdQ")
#: No file is used so often.
_NEVER = 2**60
_SLOT = struct.Struct("=d")


class FileRing(BookingLimiter):
    """Keeps the limits of one key for all processes of this host that use the same directory.

    Every method but :meth:`acquire`'s wait takes microseconds. All raise OSError if the directory cannot be used, or if
    the lock cannot be had within :data:`LOCK_TIMEOUT`, whatever the time-out of the call.

    :param owner: a digest that stands for base URL, key and endpoint class.
    :param limits: the limits to keep, all of them at once.
    :param state_dir: directory of the file, see :mod:`state_dir`.
    :param clock: the time to live by; its monotonic clock must be the same for all processes.
    :param margin: seconds by which each window is kept longer.
    """

    def __init__(
        self,
        owner: str,
        limits: Sequence[Limit],
        state_dir: str = "",
        clock: Clock = SYSTEM_CLOCK,
        margin: float = MARGIN,
    ) -> None:
        super().__init__(limits, clock, margin)
        self._dir = StateDir(state_dir)
        self._name = file_name("ring", owner, *self.limits, boot_id())

    @property
    def directory(self) -> Path:
        """The directory of the file."""
        return self._dir.path

    @property
    def kept_in(self) -> str:
        """Where the bookings are kept, for people."""
        return f"{self._dir.path / self._name} (shared within this host)"

    def pause(self, seconds: float) -> None:
        """See :meth:`Limiter.pause`."""
        with self._locked() as page:
            now = self._clock.monotonic()
            until = now + min(seconds, MAX_PAUSE)
            page.blocked = max(page.blocked, until) if page.blocked <= now + MAX_PAUSE else until
            page.write_header()

    def _book(self, timeout: float) -> Booking:
        with self._locked() as page:
            at = self._slot(page.ledger(self._clock.monotonic()), timeout)
            page.append(at)
            return Booking(at, at)

    def _is_withdrawn(self, at: float) -> bool:
        return self._read().withdraws(at)

    def _store_announcement(self, requests: int) -> None:
        with self._locked() as page:
            page.announced = requests
            page.write_header()

    def _read(self) -> Ledger:
        with self._locked() as page:
            return page.ledger(self._clock.monotonic())

    @contextmanager
    def _locked(self) -> Iterator[_Page]:
        descriptor = self._dir.open(self._name)
        try:
            self._lock(descriptor)
            try:
                yield _Page(descriptor, self.size)
            finally:
                # Closing is not enough: a child that another thread forked meanwhile keeps the file open and locked.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        deadline = 0.0
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + LOCK_TIMEOUT
                if now >= deadline:
                    raise TimeoutError(
                        f"a frozen process has held the lock of {self._name} for {LOCK_TIMEOUT:g} s"
                    ) from None
                # Not a blocking flock: that would hang for ever behind a holder that is frozen.
                time.sleep(random.uniform(0.0005, 0.003))


class _Page:
    """The content of a ring's file, while it is locked."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        length = _HEADER.size + _SLOT.size * size
        content = os.pread(descriptor, length + 1, 0)
        self.is_new = len(content) != length or not _is_sound(content)
        if self.is_new:
            content = _MAGIC + bytes(length - len(_MAGIC))
        _, self.count, self.blocked, self.announced = _HEADER.unpack_from(content)
        self._ring = array("d", content[_HEADER.size :])

    def ledger(self, now: float) -> Ledger:
        """The content, as every limiter wants it."""
        head = self.count % self._size
        booked = self._ring[:head] if self.count < self._size else self._ring[head:] + self._ring[:head]
        return Ledger(now, booked, self.blocked, self.announced)

    def append(self, at: float) -> None:
        """Write one more booking."""
        where = _HEADER.size + _SLOT.size * (self.count % self._size)
        self.count += 1
        # The count first: if we are killed in between, a stale time stands in for a booking that was never used.
        # The other way round, the next caller would take the last booking for the oldest and wait a whole window.
        self.write_header()
        os.pwrite(self._descriptor, _SLOT.pack(at), where)

    def write_header(self) -> None:
        """Write everything but the bookings; a new file gets room for all of them, lest the disk be full later."""
        if self.is_new:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, bytes(_SLOT.size * self._size), _HEADER.size)
            self.is_new = False
        header = _HEADER.pack(_MAGIC, self.count, self.blocked, self.announced)
        os.pwrite(self._descriptor, header, 0)


def _is_sound(content: bytes) -> bool:
    """Whether this file is one of ours, as far as can be told, and not a foreign or damaged one."""
    magic, count, _, _ = _HEADER.unpack_from(content)
    return bool(magic == _MAGIC and count < _NEVER)
