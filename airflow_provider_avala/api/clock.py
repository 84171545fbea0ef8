"""Time as an argument, so that tests can drive it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the code needs of time."""

    def time(self) -> float:
        """Seconds since the epoch, comparable with what servers send."""

    def monotonic(self) -> float:
        """Seconds that only ever grow, for measuring how long something took."""

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""


class SystemClock:
    """The machine's own time."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that is never set back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for ``seconds``."""
        time.sleep(seconds)


SYSTEM_CLOCK: Clock = SystemClock()
