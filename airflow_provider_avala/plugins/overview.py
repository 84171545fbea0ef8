"""What Avala does for this Airflow at the moment: read connection by connection, seldom, and without a secret."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_avala.api.errors import AvalaError
from airflow_provider_avala.api.models import Export, State
from airflow_provider_avala.api.slots import Slots
from airflow_provider_avala.hooks.avala import AvalaHook

if TYPE_CHECKING:
    from airflow_provider_avala.api.limiter import LimiterStatus
    from airflow_provider_avala.api.settings import Settings

log = logging.getLogger(__name__)

#: For so many seconds what was read is shown again, so that a page that is reloaded costs the key one request each.
FRESH_SECONDS = 15.0
#: The longest wait for the key's rate limit, in seconds: people wait for the page.
PATIENCE = 2.0
CONNECTIONS_AT_A_TIME = 8


@dataclass(frozen=True)
class Overview:
    """One connection, as it was at one moment.

    :param conn_id: id of the connection.
    :param read_at: when that was.
    :param exports: the newest of the account, at most a hundred.
    :param limits: what is used of the key's limits, by class of endpoint.
    :param uploads: how many run on this host.
    :param max_uploads: how many may.
    :param error: why the rest could not be read, in words.
    """

    conn_id: str
    read_at: datetime
    exports: tuple[Export, ...] = ()
    limits: dict[str, LimiterStatus] = field(default_factory=dict)
    uploads: int = 0
    max_uploads: int = 0
    error: str = ""

    @property
    def in_flight(self) -> list[Export]:
        """The exports that still run."""
        return [export for export in self.exports if export.state is State.RUNNING]

    @property
    def finished(self) -> list[Export]:
        """The exports that have succeeded or failed."""
        return [export for export in self.exports if export.state is not State.RUNNING]


class Overviews:
    """Reads overviews, and keeps each for a while.

    :param read: reads one connection.
    :param now: seconds on a clock that never goes back.
    """

    def __init__(
        self, read: Callable[[str], Overview] | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read or read_overview
        self._now = now
        self._known: dict[str, tuple[float, Overview]] = {}
        self._locks: dict[str, threading.Lock] = {}

    def of(self, conn_ids: Iterable[str]) -> list[Overview]:
        """The overviews of some connections, in their order.

        :param conn_ids: their ids.
        """
        with ThreadPoolExecutor(CONNECTIONS_AT_A_TIME) as pool:
            return list(pool.map(self._one, conn_ids))

    def _one(self, conn_id: str) -> Overview:
        with self._locks.setdefault(conn_id, threading.Lock()):  # whoever comes second finds it read
            moment, overview = self._known.get(conn_id, (0.0, None))
            if overview is None or self._now() - moment >= FRESH_SECONDS:
                overview = self._read(conn_id)
                self._known[conn_id] = (self._now(), overview)
            return overview


def read_overview(conn_id: str) -> Overview:
    """Read one connection: one request, as a poll, which gives way to work; never raises.

    :param conn_id: its id.
    """
    overview = Overview(conn_id, datetime.now(UTC))
    try:
        hook = AvalaHook(conn_id)
        try:
            overview = replace(overview, exports=_newest_exports(hook))
        except AvalaError as error:
            overview = replace(overview, error=str(error))
        return replace(
            overview,
            limits=hook.rate_limit_status(),
            uploads=_uploads(hook.settings),
            max_uploads=hook.settings.max_concurrent_uploads,
        )
    except AvalaError as error:
        return replace(overview, error=str(error))
    except Exception as error:
        log.exception("The connection %s cannot be read", conn_id)
        return replace(
            overview, error=f"cannot be read ({type(error).__name__}); the API server's log tells more"
        )


def _newest_exports(hook: AvalaHook) -> tuple[Export, ...]:
    try:
        pages = hook.client.pages("/exports/", poll=True, max_retry_seconds=0, slot_timeout=PATIENCE)
        return tuple(map(Export.read, next(pages, [])))
    finally:
        hook.client.close()


def _uploads(settings: Settings) -> int:
    count = settings.max_concurrent_uploads
    return Slots(settings.owner("slots"), "uploads", count, state_dir=settings.state_dir).in_use()


def connection_ids() -> list[str]:
    """The connections of this provider in Airflow's database and in the environment."""
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = set(
            session.scalars(select(Connection.conn_id).where(Connection.conn_type == AvalaHook.conn_type))
        )
    for name in os.environ:
        if name.startswith("AIRFLOW_CONN_"):
            conn_id = name.removeprefix("AIRFLOW_CONN_").lower()
            if _is_ours(conn_id):
                found.add(conn_id)
    return sorted(found)


def _is_ours(conn_id: str) -> bool:
    try:
        return AvalaHook.get_connection(conn_id).conn_type == AvalaHook.conn_type
    except Exception:
        return False  # of whatever type it is, it is not for us to say what is wrong with it
