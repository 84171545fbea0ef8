"""Short, aligned progress on a terminal, and the same lines without decoration elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 66


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


_fancy = _can_print("✓✗…")
TICK, CROSS, DOTS = ("✓", "✗", "…") if _fancy else ("+", "!", ".")


def say(text: str = "") -> None:
    """Print one line at once."""
    print(text, flush=True)


def elapsed(seconds: float) -> str:
    """Seconds as they stand at the right edge of a step."""
    return f"{seconds:6.1f} s"


class Step:
    """What a running step may change about its own line."""

    def __init__(self, text: str) -> None:
        self.text = text


@contextmanager
def step(text: str) -> Iterator[Step]:
    """One line for one step: its text while it runs, a tick or a cross and the time it took at its end.

    :param text: may be replaced while the step runs, through the object that ``with`` gives
    """
    current = Step(text)
    began = time.monotonic()
    over = threading.Event()

    def line(mark: str) -> str:
        return f"  {mark} {current.text:<{WIDTH}}{elapsed(time.monotonic() - began)}"

    def tick_along() -> None:
        while not over.wait(0.5):
            print("\r" + line(DOTS), end="", flush=True)

    ticker = threading.Thread(target=tick_along, daemon=True)
    live = sys.stdout.isatty()
    if live:
        print(line(DOTS), end="", flush=True)
        ticker.start()
    mark = CROSS
    try:
        yield current
        mark = TICK
    finally:
        over.set()
        if live:
            ticker.join()
            print("\r", end="")
        say(line(mark))
