"""Which part of the key's budget a request comes out of, and what the answers say about it.

Inference calls have limits of their own. Polls take a slot of a smaller budget first, so that a long line of them never
stands before an upload or the creation of an export.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from airflow_provider_avala.api import policy
from airflow_provider_avala.api.clock import Clock
from airflow_provider_avala.api.limiter import Limiter, LimiterStatus, open_limiter
from airflow_provider_avala.api.limits import MAX_PAUSE
from airflow_provider_avala.api.settings import Settings

log = logging.getLogger(__name__)

#: Waits for a turn that are longer than this many seconds are worth a line in the log.
LONG_WAIT = 3.0
#: Seconds of a pause for which the server has named no length.
_SHORT_PAUSE = 1.0
# Where a refusal although requests are left is about the number of exports or uploads at a time, not about their rate.
_LIMITED_IN_NUMBER = ("/exports", "/items")


class Budget:
    """The limits of one key, by class of endpoint.

    :param settings: the connection.
    :param clock: the time to live by.
    :param count: told of ``requests``, ``waits`` and ``throttled``, one at a time.
    """

    def __init__(self, settings: Settings, clock: Clock, count: Callable[[str], None]) -> None:
        limiter = partial(
            open_limiter,
            store=settings.rate_limit_store,
            state_dir=settings.state_dir,
            fallback=settings.rate_limit_store_fallback,
            clock=clock,
        )
        owner = settings.owner("standard")
        self._limiters: dict[str, Limiter] = {
            "standard": limiter(owner, settings.rate_limits),
            "polls": limiter(owner, settings.rate_limits, portion=settings.poll_share),
            "inference": limiter(settings.owner("inference"), settings.inference_rate_limits),
        }
        self._share = settings.rate_limit_share
        self._window = max(limit.seconds for limit in settings.rate_limits + settings.inference_rate_limits)
        self._clock = clock
        self._count = count

    def take(self, request: str, path: str, *, poll: bool, timeout: float) -> None:
        """Wait for a slot.

        :param request: method and path, for the log.
        :param path: path of the request, which tells the class of the endpoint.
        :param poll: whether this is one of many polls.
        :param timeout: the longest wait in seconds.
        :raises AvalaRateLimitTimeout: at once, if the wait would be longer.
        """
        waited = self._limiter(path, poll).acquire(timeout)
        self._count("requests")
        if waited > LONG_WAIT:
            self._count("waits")
            log.info("%s waited %.1f s for the key's rate limit.", request, waited)

    def heed(self, path: str, status: int, headers: Mapping[str, str], hint: float | None) -> None:
        """Learn from an answer: a lower limit, a budget that is used up, a refusal.

        :param path: path of the request.
        :param status: HTTP status of the answer.
        :param headers: its headers; their names in any case.
        :param hint: seconds that the server asked to wait, see :func:`policy.server_hint`.
        """
        limiter = self._limiter(path, poll=True)  # what is said to it reaches the whole of the budget
        if (limit := policy.number(headers.get("X-RateLimit-Limit", ""))) and limit >= 1:
            limiter.announce(max(1, int(min(limit, 1e6) * self._share)))
        remaining = policy.number(headers.get("X-RateLimit-Remaining", ""))
        if status == 429:
            self._count("throttled")
            if not (remaining and path.rstrip("/").endswith(_LIMITED_IN_NUMBER)):
                limiter.pause(self._pause(hint))
        elif remaining == 0 and (reset := policy.number(headers.get("X-RateLimit-Reset", ""))):
            # No window is longer than the longest limit's: what lies further ahead is not a time we understand.
            limiter.pause(min(max(0.0, reset - self._clock.time()), self._window))

    def _pause(self, hint: float | None) -> float:
        # Nobody asks for more than an hour in earnest; without a hint, a moment's pause is better than none.
        if hint is None:
            return _SHORT_PAUSE
        return hint if hint <= MAX_PAUSE else self._window

    def status(self) -> dict[str, LimiterStatus]:
        """What is used of each part of the budget at present, for people."""
        return {name: limiter.status() for name, limiter in self._limiters.items()}

    def _limiter(self, path: str, poll: bool) -> Limiter:
        if "/inference/invoke" in path:
            return self._limiters["inference"]
        return self._limiters["polls" if poll else "standard"]
