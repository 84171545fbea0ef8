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
from airflow_provider_avala.api.transport import failure_of

if TYPE_CHECKING:
    from airflow_provider_avala.api.client import AvalaClient

log = logging.getLogger(__name__)

#: An export that is looked for by name is expected among this many newest ones, ...
LOOK_BACK = 1000
#: ... and, if it is to be created now, not to be older than this, which leaves room for clocks that disagree.
CLOCK_SKEW = timedelta(hours=1)


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
    """

    client: AvalaClient
    request: ExportRequest
    clock: Clock
    chance: Callable[[], float]
    reattach: bool = False
    created_after: datetime | None = None
    patient: bool = True

    def run(self) -> Export:
        """Create the export, or find the one that is there.

        :raises AvalaError: if it could not be created, or if nobody can tell whether it was.
        """
        if not self.reattach and self.created_after is None:
            self.created_after = datetime.fromtimestamp(self.clock.time(), UTC) - CLOCK_SKEW
        known: frozenset[str] = frozenset()
        if name := self._given_name():
            namesakes = list(self._named(name))
            alive = next((export for export in namesakes if export.state is not State.FAILED), None)
            if self.reattach and alive:
                log.info(
                    "Export %s of this task run exists already (%s): reattached.", alive.id, alive.progress
                )
                return alive
            known = frozenset(export.id for export in namesakes)
        elif self.request.payload is None:
            self.request = replace(self.request, name=f"airflow-{uuid4().hex}")
        return self._create(known)

    def _given_name(self) -> str:
        if not self.client.dialect.names_exports:
            return ""
        if self.request.payload is not None:
            return str(self.request.payload.get("name") or "")
        return self.request.name

    def _create(self, known: frozenset[str]) -> Export:
        begin = self.clock.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return self.client.post_export(self.request)
            except AvalaRateLimitError as error:
                if not self.patient:
                    raise
                self._pause(error, attempt, begin)
                continue
            except AvalaError as error:
                if not _outcome_unknown(error):
                    raise
                lost = error
            log.warning("Whether the export was created is unknown, so it is looked for first: %s", lost)
            may_repeat = _has_given_up(lost)
            while True:
                self._pause(lost, attempt, begin)
                if found := self._find_created(known, lost):
                    return found
                if may_repeat:
                    break
                attempt += 1

    def _pause(self, lost: AvalaError, attempt: int, begin: float) -> None:
        hint = lost.retry_after if isinstance(lost, AvalaApiError) else None
        wait = policy.wait_before(attempt, hint, self.chance())
        if self.clock.monotonic() - begin + wait > self.client.settings.max_retry_seconds:
            raise _unknown(lost) if _outcome_unknown(lost) else lost
        self.clock.sleep(wait)

    def _find_created(self, known: frozenset[str], lost: AvalaError) -> Export | None:
        name = self._given_name()
        if not name:
            raise _unknown(lost)
        try:
            return next((export for export in self._named(name) if export.id not in known), None)
        except AvalaError:
            raise _unknown(lost) from None

    def _named(self, name: str) -> Iterator[Export]:
        for position, export in enumerate(self.client.list_exports()):
            too_old = self.created_after and export.created_at and export.created_at < self.created_after
            if too_old or position >= LOOK_BACK:
                return
            if export.name == name:
                yield export


def _outcome_unknown(error: AvalaError) -> bool:
    if isinstance(error, AvalaApiError | AvalaConnectionError):
        return failure_of(error).outcome_unknown
    return isinstance(error, AvalaProtocolError)


def _has_given_up(error: AvalaError) -> bool:
    """Whether the server is done with the request, so that what is not there by now will not come any more."""
    if isinstance(error, AvalaConnectionError):
        return not error.still_running
    return isinstance(error, AvalaApiError) and error.status_code != 504


def _unknown(lost: AvalaError) -> AvalaError:
    words = (
        "Whether the export was created is unknown: look at the list of exports before you create another."
    )
    if isinstance(lost, AvalaApiError):
        lost.add_detail(words)
    else:
        lost.args = (f"{str(lost).rstrip('.')}. {words}",)
    return lost
