"""Rate limits as true sliding windows: at most n requests in any period, not n per calendar minute."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace

Windows = tuple[tuple[int, float], ...]

STANDARD_LIMITS: Windows = ((100, 60.0), (20, 1.0))
INFERENCE_LIMITS: Windows = ((10, 60.0),)


def parse_limits(limits: str | Iterable[tuple[int, float]] | None) -> Windows:
    """Read rate limits as the command line and the tests write them.

    :param limits: ``"100/60,20/1"`` (requests/seconds, comma separated), pairs of the same, or ``"none"``,
        ``""`` or ``None`` for no limit.
    :raises ValueError: names the piece that is not ``requests/seconds`` with both above zero.
    """
    if limits is None:
        return ()
    if not isinstance(limits, str):
        pairs = [(int(count), float(seconds)) for count, seconds in limits]
    elif limits.strip().lower() in ("", "none"):
        return ()
    else:
        pairs = [_parse_pair(piece.strip()) for piece in limits.split(",")]
    for count, seconds in pairs:
        if count < 1 or not seconds > 0:
            raise ValueError(f"rate limit {count}/{seconds:g}: both numbers must be above zero")
    return tuple(pairs)


def _parse_pair(piece: str) -> tuple[int, float]:
    count, _, seconds = piece.partition("/")
    try:
        return int(count), float(seconds)
    except ValueError:
        raise ValueError(f"rate limit {piece!r}: write requests/seconds, such as 100/60, or none") from None


@dataclass(frozen=True)
class Verdict:
    """What the limiter says about one request.

    :param allowed: the request took a slot (or the limits are off).
    :param limit: requests allowed in the window the headers speak about; None when the limits are off.
    :param remaining: requests left in that window.
    :param reset_at: unix seconds at which that window has room again.
    :param retry_after: seconds to wait; 0 when allowed.
    """

    allowed: bool
    limit: int | None = None
    remaining: int = 0
    reset_at: float = 0.0
    retry_after: float = 0.0

    def headers(self) -> dict[str, str]:
        """Render the three documented headers; none when the limits are off."""
        if self.limit is None:
            return {}
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.reset_at)),
        }


class SlidingWindows:
    """Several windows over one history of admitted requests; a refused request costs nothing.

    The headers speak about the window that holds the client back longest, and about the first one given
    while none is used up.
    """

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self._admitted: list[float] = []

    def admit(self, now: float) -> Verdict:
        """Take a slot at ``now`` (unix seconds) if every window has room."""
        verdict = self.peek(now)
        if not verdict.allowed or not self.windows:
            return verdict
        self._admitted.append(now)
        longest = max(period for _, period in self.windows)
        del self._admitted[: bisect_right(self._admitted, now - longest)]
        return replace(self.peek(now), allowed=True, retry_after=0.0)

    def peek(self, now: float) -> Verdict:
        """Say what :meth:`admit` would say, without taking a slot."""
        verdicts = [self._one(count, period, now) for count, period in self.windows]
        if not verdicts:
            return Verdict(allowed=True)
        return max(verdicts, key=lambda verdict: verdict.retry_after)

    def _one(self, count: int, period: float, now: float) -> Verdict:
        oldest = bisect_right(self._admitted, now - period)
        used = len(self._admitted) - oldest
        if used < count:
            reset = self._admitted[oldest] + period if used else now + period
            return Verdict(True, count, count - used, reset)
        free_at = self._admitted[-count] + period
        return Verdict(False, count, 0, free_at, free_at - now)


class RateLimiter:
    """The windows of every API key, one set per kind of request. Safe to use from several threads."""

    def __init__(self, **limits: Windows) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], SlidingWindows] = {}

    def admit(self, key: str, kind: str, now: float) -> Verdict:
        """Take a slot of ``key`` for a request of this kind (``standard`` or ``inference``)."""
        with self._lock:
            return self._of(key, kind).admit(now)

    def peek(self, key: str, kind: str, now: float) -> Verdict:
        """Look at the windows without taking a slot."""
        with self._lock:
            return self._of(key, kind).peek(now)

    def reset(self) -> None:
        """Forget every request seen so far."""
        with self._lock:
            self._windows.clear()

    def _of(self, key: str, kind: str) -> SlidingWindows:
        return self._windows.setdefault((key, kind), SlidingWindows(self._limits[kind]))
