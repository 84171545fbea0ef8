"""Which exports have finished since the last look at the list: pure decisions.

The API has neither a feed nor the time at which an export finished, only a list, newest first. So a cursor remembers
up to where the list is settled, and which exports below that still ran. An export that began before another one and
finishes after it is news then, as is one that began and finished while nobody looked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow_provider_avala.api.models import Export, State

#: An export may turn up in the list so much later than its ``created_at`` says.
OVERLAP = timedelta(minutes=5)
#: Ids of exports whose age the API does not tell, that are remembered: twice as many as a page shows.
MOST_UNDATED = 200
#: Running exports that are remembered. Avala runs five at a time, so that these are far more than there can be.
MOST_RUNNING = 200
#: Running exports below the list's settled part that are asked for in one look; the others have their turn in the next.
MOST_ASKS = 10
#: Events of one watcher in one go. Where there are more, the others follow when Airflow has had time to confirm these:
#: so a triggerer that ends in the middle has few to send again.
MOST_EVENTS = 10
#: Seconds that Airflow gets for that.
BREATH = 1.0
#: Seconds between two looks when they go on failing.
LONGEST_PAUSE = 300.0
#: The same when somebody has to mend the connection first.
LONGEST_PAUSE_FATAL = 600.0

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Cursor:
    """How far the list is settled, as JSON of a few kilobytes at most.

    :param since: every export created until then is settled, except the running ones.
    :param known: ids of what was seen above that, settled or running.
    :param running: ids of the exports of interest that had not finished, those first that are to be asked for first.
    """

    since: datetime = _BEGINNING
    known: tuple[str, ...] = ()
    running: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Read what :meth:`as_json` has written.

        :param value: decoded JSON.
        :returns: None if that is not what it is.
        """
        try:
            since = datetime.fromisoformat(value["since"])
            return cls(
                since.astimezone(UTC), tuple(map(str, value["known"])), tuple(map(str, value["running"]))
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def as_json(self) -> dict[str, Any]:
        """The cursor as JSON primitives."""
        return {
            "since": self.since.isoformat(),
            "known": list(self.known),
            "running": list(self.running),
        }

    def is_reached_by(self, page: Sequence[Export]) -> bool:
        """Whether the list below this page is settled.

        :param page: a page of the list.
        """
        known = {*self.known}
        return any(
            export.created_at <= self.since if export.created_at else export.id in known for export in page
        )

    def to_ask(self, listed: Iterable[Export]) -> list[str]:
        """The ids of running exports that the list did not show, as many as are to be asked for in one look.

        :param listed: what the list has shown.
        """
        shown = {export.id for export in listed if export.status}  # without, the list does not say how it is
        return [one for one in self.running if one not in shown][:MOST_ASKS]

    def after(self, told: Iterable[Export]) -> Cursor:
        """The cursor when only some of what has finished was told; the same look at the list shows the others again.

        :param told: the oldest of them.
        """
        ids = [export.id for export in told]
        running = tuple(one for one in self.running if one not in ids)
        return Cursor(self.since, (*self.known, *ids), running)

    def _unknown(self, listed: Iterable[Export]) -> list[Export]:
        known = {*self.known, *self.running}
        unknown, is_settled = [], False
        for export in listed:
            is_settled = is_settled or export.id in self.known
            is_old = export.created_at <= self.since if export.created_at else is_settled
            if not is_old and export.id not in known:
                unknown.append(export)
        return unknown


def first_cursor(page: Sequence[Export], concerns: Callable[[Export], bool]) -> Cursor:
    """Where to start: nothing that has finished by now is news, everything that is seen to run will be.

    :param page: the first page of the list.
    :param concerns: whether an export is of interest.
    """
    ages = [export.created_at for export in page if export.created_at]
    since = max(min(ages), max(ages) - OVERLAP) if ages else _BEGINNING
    return Cursor(
        since, _known(page, since), _running(each for each in page if each.status and concerns(each))
    )


def advanced(
    cursor: Cursor,
    listed: Iterable[Export],
    asked: Mapping[str, Export | None],
    concerns: Callable[[Export], bool],
) -> tuple[list[Export], Cursor]:
    """The exports of interest that have finished since, oldest first, and the cursor after that.

    :param cursor: where the last look has ended.
    :param listed: the list, newest first, as far down as :meth:`Cursor.is_reached_by` says.
    :param asked: what came of asking for the ids in :meth:`Cursor.to_ask`; None for an export that is gone. An id
        that is missing here could not be asked for, and is asked for again.
    :param concerns: whether an export is of interest.
    """
    listed = list(
        {export.id: export for export in listed}.values()
    )  # a page may show the end of the one before
    looked: dict[str, Export | None] = {
        export.id: export for export in listed if export.status and export.id in cursor.running
    }
    looked.update(asked)
    candidates = [export for export in reversed(cursor._unknown(listed)) if concerns(export)]
    candidates += [export for export in looked.values() if export]
    finished = [export for export in candidates if export.state is not State.RUNNING]
    finished.sort(key=lambda export: export.created_at or _BEGINNING)
    newest = max((export.created_at for export in listed if export.created_at), default=_BEGINNING)
    since = max(cursor.since, newest - OVERLAP) if newest > _BEGINNING else cursor.since
    waiting = tuple(one for one in cursor.running if one not in looked)
    running = (*waiting, *_running(candidates))[-MOST_RUNNING:]
    return finished, Cursor(since, _known(listed, since), running)


def _known(listed: Iterable[Export], since: datetime) -> tuple[str, ...]:
    listed = list(listed)
    dated = [export.id for export in listed if export.created_at and export.created_at > since]
    undated = [export.id for export in listed if not export.created_at]
    return (*dated, *undated[:MOST_UNDATED])


def _running(exports: Iterable[Export]) -> tuple[str, ...]:
    return tuple(export.id for export in exports if export.state is State.RUNNING)


def targets(export: Export, kind: str) -> Collection[str] | None:
    """The ids of what an export is made from; None if Avala does not say.

    :param export: the export.
    :param kind: ``project`` or ``dataset``.
    """
    raw = export.raw
    if not {kind, f"{kind}s", f"{kind}_id"} & raw.keys():
        return None
    several = raw.get(f"{kind}s")
    found = [*(several if isinstance(several, list) else []), raw.get(kind), raw.get(f"{kind}_id")]
    return {_id(one) for one in found if one}


def _id(target: Any) -> str:
    return str((target.get("uid") or target.get("id")) if isinstance(target, Mapping) else target)


def pause_after(failures: int, interval: float, fatal: bool, chance: float) -> float:
    """Seconds until the next look after some that failed.

    :param failures: how many have failed in a row.
    :param interval: seconds between two looks when all is well.
    :param fatal: whether the last error is one that somebody has to mend. The first look after one comes as soon as
        any, because it reads the connection again.
    :param chance: a random number between 0 and 1, for jitter of a quarter.
    """
    doubled = min(interval * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
    pause = LONGEST_PAUSE_FATAL if fatal and failures > 1 else doubled
    return max(interval, pause) * (0.75 + chance / 2)
