"""Everything the emulator remembers, in memory: a table for each row of :data:`~.resources.RESOURCES`, and items."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.resources import RESOURCES
from airflow_provider_avala.emulator.schema import Record, Resource

View = Callable[[Record], Json]


def encode_row(row: Mapping[str, Any]) -> bytes:
    """Write a row as one line of JSONL."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


class Store:
    """The tables and the items.

    :param now: the clock, unix seconds.

    Every method takes the lock; callers that read and then write hold :attr:`lock` around both.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            self.tables: dict[str, dict[str, Record]] = {name: {} for name in RESOURCES}
            self.rows: dict[str, list[bytes]] = {}
            self._position = 0

    def insert(self, kind: Resource, fields: Mapping[str, Any]) -> Record:
        """Add a record; ``uid`` is made up unless given."""
        with self.lock:
            self._position += 1
            now = self.now()
            record: Record = {"uid": str(uuid.uuid4()), **fields, "_position": self._position}
            record.update(created_at=now, updated_at=now)
            self.tables[kind.name][record["uid"]] = record
            return record

    def remove(self, kind: Resource, uid: str) -> None:
        """Forget a record and everything that is a part of it."""
        with self.lock:
            self.tables[kind.name].pop(uid, None)
            for part in RESOURCES.values():
                if kind.name in [link.table for link in part.parents]:
                    for record in self.among(part, **{f"_{kind.name}": uid}):
                        self.remove(part, record["uid"])

    def find(self, kind: Resource, uid: str) -> Record:
        """Return the live record.

        :raises ApiError: 404 when there is none.
        """
        with self.lock:
            if uid not in self.tables[kind.name]:
                raise ApiError.missing(kind.label)
            return self.tables[kind.name][uid]

    def known(self, kind: Resource, uid: Any) -> bool:
        """Say whether there is such a record; any JSON value may be asked about."""
        with self.lock:
            return isinstance(uid, str) and uid in self.tables[kind.name]

    def among(self, kind: Resource, **fields: Any) -> list[Record]:
        """Return the records with these values, oldest first."""
        with self.lock:
            records = list(self.tables[kind.name].values())
        if not fields:
            return records
        return [
            record for record in records if all(record.get(name) == value for name, value in fields.items())
        ]

    def first(self, kind: Resource, **fields: Any) -> Record | None:
        """Return the oldest record with these values, if any."""
        return next(iter(self.among(kind, **fields)), None)

    def listing(
        self, kind: Resource, query: Mapping[str, str], view: View | None = None, **fields: Any
    ) -> Listing:
        """Show the records with these values that pass the filters of the query, in the order that it asks for."""
        view, wanted = view or kind.show, kind.filters_of(query)
        records = self.among(kind, **fields)
        if wanted:
            records = [record for record in records if kind.admits(view(record), wanted)]
        ordering = query.get("ordering", "")
        name = ordering.removeprefix("-")
        if name not in kind.orderings or ordering == "-created_at":
            return Listing([record["_position"] for record in records], lambda index: view(records[index]))
        # A page is rendered from its end, so the order is turned round here. Positions of an order by creation
        # stay with their records when more arrive; those of any other order are ranks.
        if name == "created_at":
            records.reverse()
            return Listing([-record["_position"] for record in records], lambda index: view(records[index]))
        records.sort(
            key=lambda record: _sortable(view(record).get(name)), reverse=not ordering.startswith("-")
        )
        return Listing(range(len(records)), lambda index: view(records[index]))

    def append_rows(self, dataset: str, rows: list[bytes]) -> int:
        """Add the rows of one upload, all of them at once, and return the new total."""
        with self.lock:
            stored = self.rows.setdefault(dataset, [])
            stored.extend(rows)
            self.tables["datasets"][dataset]["updated_at"] = self.now()
            return len(stored)

    def rows_of(self, dataset: str, count: int | None = None) -> list[bytes]:
        """Return the first ``count`` rows of a dataset (default: all), as JSON text."""
        with self.lock:
            return self.rows.get(dataset, [])[:count]


def _sortable(value: Any) -> tuple[bool, float, str]:
    if isinstance(value, int | float):
        return True, float(value), ""
    return value is not None, 0.0, "" if value is None else str(value).lower()
