"""What is to happen at a time of the emulator's clock, which tests can move."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Timeline:
    """Callbacks with a due time. Safe to use from several threads.

    :param now: the clock, unix seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, due: float, callback: Callable[[], None]) -> None:
        """Call back at ``due`` (unix seconds), at the next :meth:`run` if that is past."""
        with self._lock:
            heapq.heappush(self._due, (due, next(self._numbers), callback))

    def run(self) -> None:
        """Call whatever is due by now, in order of its time."""
        while True:
            with self._lock:
                if not self._due or self._due[0][0] > self.now():
                    return
                _, _, callback = heapq.heappop(self._due)
            try:
                callback()
            except Exception:
                logger.exception("The emulator itself failed on its clock")

    def clear(self) -> None:
        """Forget everything that is still to happen."""
        with self._lock:
            self._due.clear()
