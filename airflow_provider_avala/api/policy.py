"""Pure decisions about a failed attempt: try again or not, and how long to wait before.

No I/O and no clock of its own: everything a decision depends on is an argument, so that each is one row of a table in
the tests. The rules follow the API's errors page and its section on rate limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

#: The longest single wait that back-off alone may choose, in seconds.
BACKOFF_CAP = 30.0
#: Waits that a server asks for are lengthened by up to this much, so that its clients do not come back all at once.
SPREAD = 1.0
#: No hint is longer than this many seconds, a year, whatever a server asks for.
FAR_AWAY = 366 * 86400.0

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")

#: Methods whose requests have the same effect whether they are sent once or twice.
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True)
class Failure:
    """One failed attempt, as far as decisions need it.

    :param status: HTTP status, or None if no complete answer arrived.
    :param sent: whether the request may have reached the server.
    :param transient: for a failure without status, whether trying again can help.
    :param hint: seconds that the server asked to wait, see :func:`server_hint`.
    """

    status: int | None = None
    sent: bool = True
    transient: bool = True
    hint: float | None = None

    @property
    def outcome_unknown(self) -> bool:
        """Whether the server may have acted on the request although it did not say so."""
        return self.sent if self.status is None else self.status >= 500


@dataclass(frozen=True)
class Verdict:
    """What to do after a failed attempt.

    :param wait: seconds to wait before the next attempt, or None to give up.
    :param reason: why, for the log.
    """

    wait: float | None
    reason: str


def is_idempotent(method: str) -> bool:
    """Whether sending a request of this method twice has the effect of sending it once.

    :param method: HTTP method.
    """
    return method.upper() in IDEMPOTENT_METHODS


def is_retryable(failure: Failure, *, repeatable: bool) -> bool:
    """Whether another attempt is right at all: transport errors, 408, 429 and 5xx, as long as nothing can double.

    :param failure: the failed attempt.
    :param repeatable: whether the request may take effect twice without harm.
    """
    if failure.status is None:
        return failure.transient and (repeatable or not failure.sent)
    if failure.status >= 500:
        return repeatable
    return failure.status in (408, 429)


def decide(
    failure: Failure, *, attempt: int, elapsed: float, max_elapsed: float, repeatable: bool, chance: float
) -> Verdict:
    """Decide what follows a failed attempt.

    A wait that would pass the bound gives up at once instead of sleeping in vain.

    :param failure: the failed attempt.
    :param attempt: how many attempts were made so far, 1 or more.
    :param elapsed: seconds since the first attempt began.
    :param max_elapsed: seconds after which no attempt may begin; 0 means one attempt.
    :param repeatable: whether the request may take effect twice without harm.
    :param chance: a random number between 0 and 1, the jitter.
    """
    if not is_retryable(failure, repeatable=repeatable):
        return Verdict(None, "not retryable")
    wait = wait_before(attempt, failure.hint, chance)
    if max_elapsed <= 0 or elapsed + wait > max_elapsed:
        return Verdict(None, f"the next attempt would be {elapsed + wait:.0f} s after the first")
    return Verdict(wait, "as the server asked" if failure.hint else "back-off")


def wait_before(attempt: int, hint: float | None, chance: float) -> float:
    """Seconds to wait after the given attempt: the server's hint, or exponential back-off with full jitter.

    A hint of zero (a ``Retry-After`` in the past) says nothing about when the server recovers: back-off applies.

    :param attempt: how many attempts were made so far, 1 or more.
    :param hint: seconds that the server asked to wait.
    :param chance: a random number between 0 and 1, the jitter.
    """
    if hint:
        return hint + SPREAD * chance
    return min(BACKOFF_CAP, 2.0 ** min(attempt - 1, 10)) * chance


def server_hint(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that an answer asks us to wait: ``Retry-After``, or on a 429 ``X-RateLimit-Reset``.

    :param status: HTTP status of the answer.
    :param headers: its headers; their names in any case.
    :param now: the time, in seconds since the epoch.
    """
    lowered = {name.lower(): value.strip() for name, value in headers.items()}
    hint = _retry_after(lowered.get("retry-after", ""), now)
    if hint is None and status == 429:
        reset = number(lowered.get("x-ratelimit-reset", ""))
        hint = None if reset is None else reset - now
    return None if hint is None else min(max(0.0, hint), FAR_AWAY)


def _retry_after(value: str, now: float) -> float | None:
    seconds = number(value)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now


def number(value: str) -> float | None:
    """Read a number from a header; None if there is none.

    :param value: the header's value.
    """
    return float(value) if _SECONDS.fullmatch(value) else None
