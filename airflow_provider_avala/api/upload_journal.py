"""What is remembered of an upload from one attempt of a task to the next.

The journal is small whatever the upload's size: of the parts that were accepted, ranges of their numbers with the
digests of each range folded into one (which tells whether all of it is still the same), and those that were being
sent, one by one. It is written before a part is sent and after its outcome is known, so that whatever kills the
process leaves at worst a part of unknown outcome, never a forgotten one.

An upload that did not finish is gone on with by whoever comes next, under the scope that it began with, so that its
parts keep their Idempotency-Keys. One that finished is over: only a repetition of the attempt that finished it may take
it for its own.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_avala.api.jsonl import Part
from airflow_provider_avala.api.state_dir import StateDir, file_name

_VERSION = 2
_KIND = "upload"
#: Seconds after which the file of an upload that nobody went on with is removed.
_FORGOTTEN = 30 * 86400.0

log = logging.getLogger(__name__)


class JournalStore(Protocol):
    """Keeps one JSON value from one attempt to the next."""

    def load(self) -> Any:
        """What was saved last, or None."""

    def save(self, value: Mapping[str, Any]) -> None:
        """Keep a value instead of the one before: all of it, or nothing."""


class FileStore:
    """Keeps the journal in a private file, for retries on the same host.

    :param state_dir: directory of the file, see :mod:`.state_dir`.
    :param scope: what sets the upload apart from others.
    """

    def __init__(self, state_dir: str, *scope: str) -> None:
        self._dir = StateDir(state_dir)
        self._name = file_name(_KIND, *scope)

    @property
    def path(self) -> Path:
        """The file."""
        return self._dir.path / self._name

    def load(self) -> Any:
        """What was saved last, or None."""
        try:
            return json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.warning("How far an earlier attempt of this upload came cannot be read: %s", error)
            return None

    def save(self, value: Mapping[str, Any]) -> None:
        """Keep a value instead of the one before.

        :raises OSError: if the file cannot be written.
        """
        if not self.path.exists():
            self._tidy_up()
        draft = f"{self._name}.draft"
        with os.fdopen(self._dir.open(draft), "wb") as file:
            file.truncate()
            file.write(json.dumps(value).encode())
        (self._dir.path / draft).replace(self.path)

    def remove(self) -> None:
        """Forget what was saved."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _tidy_up(self) -> None:
        for path in self._dir.path.glob(f"*.{_KIND}"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _FORGOTTEN:
                    path.unlink()


@dataclass(frozen=True)
class Range:
    """Neighbouring parts that Avala has accepted.

    :param first: number of the first.
    :param last: number of the last.
    :param digest: the digests of all of them, folded into one.
    :param items: how many items they hold.
    :param bytes: of JSONL.
    """

    first: int
    last: int
    digest: int
    items: int
    bytes: int

    @classmethod
    def of(cls, part: Part) -> Range:
        """The range of a single part."""
        return cls(part.number, part.number, int(part.digest, 16), part.items, part.size)

    def __or__(self, other: Range) -> Range:
        # A part's digest depends on its position, so the order in which they are folded does not matter.
        return Range(
            min(self.first, other.first),
            max(self.last, other.last),
            self.digest ^ other.digest,
            self.items + other.items,
            self.bytes + other.bytes,
        )


def with_part(ranges: tuple[Range, ...], part: Range) -> tuple[Range, ...]:
    """Add a range that none of the others holds, and join neighbours.

    :param ranges: disjoint ranges, in order.
    :param part: what is to be added.
    """
    joined: list[Range] = []
    for each in sorted((*ranges, part), key=lambda one: one.first):
        if joined and joined[-1].last + 1 == each.first:
            joined[-1] |= each
        else:
            joined.append(each)
    return tuple(joined)


@dataclass(frozen=True)
class Progress:
    """How far an upload has come.

    :param accepted: what Avala has accepted, disjoint and in order.
    :param sending: number and digest of the parts that are being sent.
    :param total_before: how many items the dataset had before, if it was asked.
    :param done: whether all of it was accepted.
    :param part_size: the most bytes in a part; 0 if nothing is known.
    """

    accepted: tuple[Range, ...] = ()
    sending: Mapping[int, str] = field(default_factory=dict)
    total_before: int | None = None
    done: bool = False
    part_size: int = 0

    @property
    def last(self) -> int:
        """The last part that anything is known of."""
        return max((*(each.last for each in self.accepted), *self.sending), default=0)

    @property
    def items(self) -> int:
        """How many items were accepted."""
        return sum(each.items for each in self.accepted)

    @property
    def bytes(self) -> int:
        """How many bytes of JSONL were accepted."""
        return sum(each.bytes for each in self.accepted)

    @property
    def parts(self) -> int:
        """How many parts were accepted."""
        return sum(each.last - each.first + 1 for each in self.accepted)

    def range_of(self, number: int) -> Range | None:
        """The accepted range that a part is in, if it is in one.

        :param number: of the part.
        """
        return next((each for each in self.accepted if each.first <= number <= each.last), None)


def _without(part: Part, sending: Mapping[int, str]) -> dict[int, str]:
    return {number: digest for number, digest in sending.items() if number != part.number}


class Journal:
    """Writes down how far one upload has come. Safe to be used by several threads.

    :param store: where to; None to write nothing down.
    :param dataset_id: where the upload goes: notes about another dataset are not its own.
    :param run: whose attempt this is; the same for retries, another one once the task is cleared.
    :param part_size: the most bytes in a part.
    :ivar scope: what sets the upload apart from others: the run that began it.
    :ivar earlier: what an earlier attempt has noted.
    """

    def __init__(self, store: JournalStore | None, dataset_id: str, run: str, part_size: int) -> None:
        self._store, self._run = store, run
        self._identity = {"version": _VERSION, "dataset_id": dataset_id}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._changes = self._written = 0
        self.scope, self.earlier = self._read()
        self._now = replace(self.earlier, part_size=part_size)

    @property
    def is_kept(self) -> bool:
        """Whether a later attempt will know how far this one came."""
        return self._store is not None

    @property
    def total_before(self) -> int | None:
        """How many items the dataset had before the upload, if it was noted."""
        return self._now.total_before

    @property
    def accepted_items(self) -> int:
        """How many items were accepted, by this attempt and earlier ones."""
        return self._now.items

    def note_total(self, total: int) -> None:
        """Note how many items the dataset has before the upload.

        :param total: as Avala tells.
        """
        self._note(lambda now: replace(now, total_before=total))

    def begin(self, part: Part) -> None:
        """Note that a part is about to be sent."""
        self._note(lambda now: replace(now, sending={**now.sending, part.number: part.digest}))

    def accept(self, part: Part) -> None:
        """Note that a part was accepted."""
        self._note(
            lambda now: replace(
                now, accepted=with_part(now.accepted, Range.of(part)), sending=_without(part, now.sending)
            )
        )

    def forget(self, part: Part) -> None:
        """Note that a part was certainly not accepted by this attempt."""
        if part.number in self.earlier.sending:  # but perhaps by the one before
            return
        self._note(lambda now: replace(now, sending=_without(part, now.sending)))

    def close(self) -> None:
        """Note that everything was accepted."""
        self._note(lambda now: replace(now, sending={}, done=True))

    def _note(self, change: Callable[[Progress], Progress]) -> None:
        """Change what is known, and return once that is kept.

        A store may be an API call away: the threads that wait for one write are served by the next, all together.
        """
        with self._lock:
            self._now = change(self._now)
            self._changes += 1
            mine = self._changes
        with self._writing:
            if self._written >= mine:
                return
            with self._lock:
                now, changes = self._now, self._changes
            self._write(now)
            self._written = changes

    def _write(self, now: Progress) -> None:
        if self._store is None:
            return
        value = {
            **self._identity,
            "run": self._run,
            "scope": self.scope,
            "accepted": [
                [one.first, one.last, f"{one.digest:032x}", one.items, one.bytes] for one in now.accepted
            ],
            "sending": [[number, digest] for number, digest in sorted(now.sending.items())],
            "total_before": now.total_before,
            "done": now.done,
            "part_size": now.part_size,
        }
        try:
            self._store.save(value)
        except Exception as error:  # whatever keeps it from being kept, the upload itself can go on
            self._store = None
            log.warning(
                "How far the upload has come cannot be noted (%s): if it stops, no retry can go on with it.",
                error,
            )

    def _read(self) -> tuple[str, Progress]:
        value = self._store.load() if self._store else None
        if not isinstance(value, Mapping) or any(
            value.get(name) != known for name, known in self._identity.items()
        ):
            return self._run, Progress()
        try:
            if value["done"] and value["run"] != self._run:
                return self._run, Progress()
            return _scope(value), _progress(value)
        except (KeyError, TypeError, ValueError) as error:
            log.warning(
                "How far an earlier attempt of this upload came cannot be read, its notes are damaged (%s: %s).",
                type(error).__name__,
                error,
            )
            return self._run, Progress()


def _scope(value: Mapping[str, Any]) -> str:
    if not isinstance(value["scope"], str):
        raise TypeError("its scope is no text")
    return value["scope"]


def _progress(value: Mapping[str, Any]) -> Progress:
    found = Progress(
        accepted=tuple(
            Range(_count(first, 1), _count(last, first), int(digest, 16), _count(items), _count(size))
            for first, last, digest, items, size in value["accepted"]
        ),
        sending={_count(number, 1): str(digest) for number, digest in value["sending"]},
        total_before=None if value["total_before"] is None else _count(value["total_before"]),
        done=value["done"] is True,
        part_size=_count(value["part_size"]),
    )
    if any(before.last >= after.first for before, after in pairwise(found.accepted)):
        raise ValueError("its ranges overlap")
    return found


def _count(value: Any, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{str(value)[:20]!r} is not a number from {least} on")
    return value
