"""What a key may do, and when: exact sliding windows as pure functions, without clock, lock or file.

A caller books the earliest time at which every limit permits one more request. Given the times booked so far, that is
one comparison for each limit, because only the n-th last booking can stand in the way of a limit of n requests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_avala.api.errors import AvalaConfigurationError

#: The client stamps a request before it is sent, the server when it arrives: every window is kept this much longer.
MARGIN = 0.25
#: No pause holds longer than this many seconds, whatever a server asks for.
MAX_PAUSE = 3600.0
#: Nobody books further ahead than this many seconds; what is stored beyond it is damage, not a booking.
MAX_WAIT = 86400.0
#: The most requests that one limit can name: what is kept of each is its time, eight bytes.
MAX_REQUESTS = 100_000


@dataclass(frozen=True)
class Limit:
    """At most ``requests`` in any ``seconds``.

    :param requests: how many.
    :param seconds: the length of the sliding window.
    """

    requests: int
    seconds: float

    def share(self, fraction: float, field: str = "rate_limit_share") -> Limit:
        """A part of the limit; below one request, the window grows instead.

        :param fraction: which part, above 0 and at most 1.
        :param field: the setting that the fraction comes from, for the error.
        :raises AvalaConfigurationError: if the fraction is out of range.
        """
        if not 0 < fraction <= 1:
            raise AvalaConfigurationError(
                f"{field}: {fraction!r} is not above 0 and at most 1; 0.5 means half of every limit"
            )
        part = self.requests * fraction
        whole = math.floor(part + 1e-9)  # 0.29 of 100 is 28.999999999999996
        return Limit(whole, self.seconds) if whole else Limit(1, self.seconds / part)

    def is_implied_by(self, other: Limit) -> bool:
        """Whether keeping ``other`` keeps this limit, too, so that this one never binds.

        :param other: another limit of the same key.
        """
        return other.requests <= self.requests and other.seconds >= self.seconds

    def __str__(self) -> str:
        return f"{self.requests}/{self.seconds:g}"


def parse_limits(text: str, field: str = "rate_limits") -> tuple[Limit, ...]:
    """Read limits such as ``100/60,20/1``: requests per seconds, separated by commas.

    :param text: the limits, in any order.
    :param field: the connection's field they come from, for the error.
    :returns: the limits, the one with the longest window first.
    :raises AvalaConfigurationError: if the text is not of that form, or if one of the limits can never bind.
    """
    limits = sorted((_parse_limit(part.strip(), field) for part in text.split(",")), key=_by_window)
    for position, limit in enumerate(limits):
        for other in limits[:position] + limits[position + 1 :]:
            if limit.is_implied_by(other):
                raise AvalaConfigurationError(
                    f"{field}: {limit} can never bind beside {other}, which allows no more requests in no less time;"
                    " remove one of the two, or check that each reads requests/seconds"
                )
    return tuple(limits)


def _parse_limit(text: str, field: str) -> Limit:
    requests, slash, seconds = text.partition("/")
    try:
        limit = Limit(int(requests), float(seconds))
    except ValueError:
        limit = Limit(0, 0)
    if not slash or not 1 <= limit.requests <= MAX_REQUESTS or not 0 < limit.seconds <= MAX_PAUSE:
        raise AvalaConfigurationError(
            f"{field}: {text!r} is not a limit; write requests/seconds, both above 0, at most {MAX_REQUESTS} requests"
            f" and {MAX_PAUSE:.0f} seconds, several separated by commas, for example '100/60,20/1'"
        )
    return limit


def _by_window(limit: Limit) -> tuple[float, int]:
    return -limit.seconds, limit.requests


def believed(limits: Sequence[Limit], announced: int) -> tuple[Limit, ...]:
    """The limits to keep, given the number that the server announces in ``X-RateLimit-Limit``.

    :param limits: the configured limits.
    :param announced: what :func:`announcement` made of the server's number, 0 for nothing.
    """
    longest = max(limits, key=lambda limit: limit.seconds)
    if not 0 < announced < longest.requests:
        return tuple(limits)
    return tuple(Limit(announced, limit.seconds) if limit is longest else limit for limit in limits)


def announcement(limits: Sequence[Limit], requests: int) -> int | None:
    """What a server's ``X-RateLimit-Limit`` means beside the configured limits.

    The header names no window. A number that is one of the configured limits of a shorter window speaks of that one;
    any other is about the longest window, and is believed if it is lower than configured: never upwards.

    :param limits: the configured limits.
    :param requests: the number announced.
    :returns: the number to believe, 0 to believe the configuration (again), or None if it says nothing.
    """
    longest = max(limits, key=lambda limit: limit.seconds)
    if requests < 1 or any(requests == limit.requests for limit in limits if limit is not longest):
        return None
    return requests if requests < longest.requests else 0


def next_slot(
    booked: Sequence[float], limits: Iterable[Limit], now: float, blocked: float = 0.0, margin: float = MARGIN
) -> float:
    """The earliest time, from ``now`` on, at which one more request keeps every limit.

    First come, first served: never earlier than the last booking. Stored times that cannot be are ignored: a booking
    more than :data:`MAX_WAIT` ahead, a pause of more than :data:`MAX_PAUSE`.

    :param booked: the times booked so far, in the order of booking; the last ``max(requests)`` of them are enough.
    :param limits: the limits to keep.
    :param now: the present, on the clock of ``booked``.
    :param blocked: before this time nobody may send.
    :param margin: seconds by which each window is kept longer.
    """
    at = max(now, blocked) if blocked <= now + MAX_PAUSE else now
    if booked and at < booked[-1] <= now + MAX_WAIT:
        at = booked[-1]
    for limit in limits:
        if len(booked) >= limit.requests and booked[-limit.requests] <= now + MAX_WAIT:
            at = max(at, booked[-limit.requests] + limit.seconds + margin)
    return at
