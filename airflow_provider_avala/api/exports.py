"""Creating an export exactly once, although answers get lost.

Avala can delete no export and sees no duplicates. So a creation whose answer was lost is looked up by its name
before anything is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_provider_avala.api import policy
from airflow_provider_avala.api.clock import Clock
from airflow_provider_avala.api.dialects import ExportRequest
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaConnectionError,
    AvalaError,
    AvalaProtocolError,
    AvalaRateLimitError,
)
from airflow_provider_avala.api.models import Export, State
from airflow_provider_avala.api.pagination import PAGE_SIZE
from airflow_provider_avala.api.transport import failure_of

if TYPE_CHECKING:
    from airflow_provider_avala.api.client import AvalaClient

log = logging.getLogger(__name__)

#: An export that is looked for by name is expected among this many newest ones, ...
LOOK_BACK = 1000
#: ... and, if it is to be created now, not behind a whole page of exports that are older than this. That leaves room
#: for clocks and time zones that disagree, and for lists in another order.
CLOCK_SKEW = timedelta(hours=25)
#: A request whose connection broke may still be at work: nobody looks for its effect sooner than after so many seconds.
SETTLE = 1.0


# A gateway's word that it waited no longer, while the server behind it may still be at work.
_GATEWAY_TIMEOUTS = (504, 524)
# Answers that mean: exports are not listed here, or not to this key.
_NO_LIST = (403, 404, 405)


@dataclass
class ExportCreation:
    """One export to be created once.

    :param client: the API.
    :param request: what to export.
    :param clock: the time to live by.
    :param chance: gives a random number between 0 and 1, for jitter.
    :param reattach: whether an export of this name that exists already is the one, unless it failed.
    :param created_after: exports older than this are not looked at.
    :param patient: whether to wait while Avala takes no further export because too many are running.
    :param marker: an ending that only this export's name can have, so that it is known even if its beginning differs.
    :param must_look: whether not to create anything if the list of exports cannot be read before.
    """

    client: AvalaClient
    request: ExportRequest
    clock: Clock
    chance: Callable[[], float]
    reattach: bool = False
    created_after: datetime | None = None
    patient: bool = True
    marker: str = ""
    must_look: bool = False

    def run(self) -> Export:
        """Create the export, or find the one that is there.

        :raises AvalaError: if it could not be created, or if nobody can tell whether it was.
        """
        self._horizon = self.created_after
        if not self.reattach and self.created_after is None:
            self._horizon = datetime.fromtimestamp(self.clock.time(), UTC) - CLOCK_SKEW
        known: frozenset[str] = frozenset()
        if name := self._given_name():
            namesakes = [export for export in self._looked() if self._is_named(export, name)]
            alive = next((export for export in namesakes if self._is_usable(export)), None)
            if self.reattach and alive:
                log.info(
                    "Export %s of this task run exists already (%s): reattached.", alive.id, alive.progress
                )
                return alive
            known = frozenset(export.id for export in namesakes)
        elif self.request.payload is None:
            self.request = replace(self.request, name=f"airflow-{uuid4().hex}")
        return self._create(known)

    def _looked(self) -> list[Export]:
        """The newest exports; none if this key, or this server, does not list them."""
        try:
            return list(self._newest())
        except (AvalaApiError, AvalaProtocolError) as error:
            refused = isinstance(error, AvalaProtocolError) or error.status_code in _NO_LIST
            if self.must_look or not refused:
                raise
            log.warning("Whether this export exists already cannot be seen: %s", error)
            return []

    def _is_named(self, export: Export, name: str) -> bool:
        found = export.name.strip()  # servers trim names
        return found == name.strip() or bool(self.marker and found.endswith(self.marker))

    def _given_name(self) -> str:
        if not self.client.dialect.names_exports:
            return ""
        if self.request.payload is not None:
            return str(self.request.payload.get("name") or "")
        return self.request.name

    def _is_usable(self, export: Export) -> bool:
        too_old = self.created_after and export.created_at and export.created_at < self.created_after
        return not too_old and export.state is not State.FAILED

    def _create(self, known: frozenset[str]) -> Export:
        begin = self.clock.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return self.client.post_export(self.request)
            except AvalaRateLimitError as error:
                wait = self._wait(error, attempt, begin)
                if not self.patient or wait is None:
                    raise
                self.clock.sleep(wait)
                continue
            except AvalaError as error:
                if not outcome_unknown(error):
                    raise
                lost = error
            log.warning("Whether the export was created is unknown, so it is looked for first: %s", lost)
            while True:
                wait = self._wait(lost, attempt, begin)
                self.clock.sleep(max(SETTLE, wait or 0))
                if found := self._find_created(known, lost):
                    return found
                if wait is None:
                    raise self._unknown(lost)
                if _has_given_up(lost):
                    break
                attempt += 1

    def _wait(self, error: AvalaError, attempt: int, begin: float) -> float | None:
        """Seconds until the next attempt, or None if that would be too late."""
        hint = error.retry_after if isinstance(error, AvalaApiError) else None
        wait = policy.wait_before(attempt, hint, self.chance())
        in_time = self.clock.monotonic() - begin + wait <= self.client.settings.max_retry_seconds
        return wait if in_time else None

    def _find_created(self, known: frozenset[str], lost: AvalaError) -> Export | None:
        name = self._given_name()
        if not name:
            raise self._unknown(lost)
        try:
            newest = list(self._newest())
        except AvalaError:
            raise self._unknown(lost) from None
        if newest and not any(export.name for export in newest):
            raise self._unknown(lost)  # this server gives exports no names, whatever it was asked
        return next((each for each in newest if self._is_named(each, name) and each.id not in known), None)

    def _newest(self) -> Iterator[Export]:
        old = 0
        for position, export in enumerate(self.client.list_exports()):
            if position >= LOOK_BACK or old >= PAGE_SIZE:
                return
            if self._horizon and export.created_at and export.created_at < self._horizon:
                old += 1
            yield export

    def _unknown(self, lost: AvalaError) -> AvalaError:
        """Say that nobody knows, and whether a later run would find the export by its name."""
        words = "Whether the export was created is unknown: look at the list of exports before you create another."
        if isinstance(lost, AvalaApiError):
            lost.add_detail(words)
        else:
            lost.args = (f"{str(lost).rstrip('.')}. {words}",)
        lost.may_double = not (self.reattach and self._given_name())
        return lost


def outcome_unknown(error: AvalaError) -> bool:
    """Whether what was asked for may have been done although asking raised this.

    :param error: what was raised.
    """
    if isinstance(error, AvalaApiError | AvalaConnectionError):
        return failure_of(error).outcome_unknown
    return isinstance(error, AvalaProtocolError)


def _has_given_up(error: AvalaError) -> bool:
    """Whether the server is done with the request, so that what is not there by now will not come any more."""
    if isinstance(error, AvalaConnectionError):
        return not error.still_running
    return isinstance(error, AvalaApiError) and error.status_code not in _GATEWAY_TIMEOUTS
