"""Everything the emulator remembers, in memory.

A kind of resource is one row of :data:`RESOURCES`: its paths, fields, filters and paging. What has behaviour of its
own (datasets that get ready, exports that run) adds a view in :mod:`datasets` or :mod:`exports`, and handlers in
:mod:`app`.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing

Record = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of a create body.

    :param kind: the JSON type it must have.
    :param choices: the only values allowed, if given.
    :param max_length: of a string.
    """

    kind: type = str
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    max_length: int | None = None

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value that was sent, or None."""
        if value is None:
            return "This field may not be null." if self.required else None
        if not isinstance(value, self.kind) or (isinstance(value, bool) and self.kind is not bool):
            words = {str: "string", list: "list of items", dict: "dictionary of items", bool: "boolean"}
            return f"Not a valid {words.get(self.kind, self.kind.__name__)}."
        if isinstance(value, str):
            if self.required and not value.strip():
                return "This field may not be blank."
            if self.max_length is not None and len(value) > self.max_length:
                return f"Ensure this field has no more than {self.max_length} characters."
        if self.choices and value not in self.choices:
            return f'"{value}" is not a valid choice.'
        return None


@dataclass(frozen=True)
class Resource:
    """One kind of resource.

    :param name: the table.
    :param label: singular, as error messages say it.
    :param list_path: of the list endpoint, below the base URL and without a trailing slash; None for no such endpoint.
    :param item_path: of the endpoint of one, with ``{uid}`` in it.
    :param numbered: the list has page numbers instead of cursors.
    :param scope: what a key needs to read it.
    :param fields: what a create body may hold; the rest of the body is ignored.
    :param filters: query parameter -> ``exact`` or ``contains`` (any case), on the field of the same name.
    """

    name: str
    label: str
    list_path: str | None = None
    item_path: str | None = None
    numbered: bool = False
    scope: str | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)

    def validate(self, body: Any) -> Record:
        """Read a create body.

        :raises ApiError: 400 naming every field that is missing or wrong.
        """
        if not isinstance(body, dict):
            raise ApiError.invalid(non_field_errors="Invalid data. Expected a dictionary.")
        problems, values = {}, {}
        for name, rule in self.fields.items():
            if name not in body:
                values[name] = rule.default() if callable(rule.default) else rule.default
                problem = "This field is required." if rule.required else None
            else:
                values[name] = body[name]
                problem = rule.problem(body[name])
            if problem:
                problems[name] = problem
        if problems:
            raise ApiError.invalid(**problems)
        return values

    def admits(self, shown: Json, query: Mapping[str, str]) -> bool:
        """Say whether a resource passes the filters of a list request."""
        for name, way in self.filters.items():
            if name not in query:
                continue
            value, wanted = str(shown.get(name) or "").lower(), query[name].lower()
            if wanted not in value if way == "contains" else wanted != value:
                return False
        return True


DATA_TYPES = ("image", "image_3d", "video", "lidar", "mcap", "splat")
VISIBILITIES = ("private", "public", "unlisted")

DATASETS = Resource(
    "datasets",
    "Dataset",
    list_path="/datasets",
    item_path="/datasets/{uid}",
    scope="datasets.read",
    fields={
        "name": Field(required=True, max_length=255),
        "slug": Field(required=True, max_length=100),
        "data_type": Field(required=True, choices=DATA_TYPES),
        "visibility": Field(default="private", choices=VISIBILITIES),
        "is_sequence": Field(bool, default=False),
        "metadata": Field(dict, default=dict),
        "owner_name": Field(),
        "provider_config": Field(dict),
    },
    filters={"name": "contains", "data_type": "exact", "status": "exact", "visibility": "exact"},
)
EXPORTS = Resource(
    "exports",
    "Export",
    list_path="/exports",
    item_path="/exports/{uid}",
    scope="exports.create",
    filters={"status": "exact"},
)
PROJECTS = Resource(
    "projects",
    "Project",
    list_path="/users/me/projects",
    item_path="/users/me/projects/{uid}",
    scope="projects.read",
    filters={"name": "contains", "status": "exact"},
)
SLICES = Resource("slices", "Slice", list_path="/slices/{owner}/list", numbered=True, scope="datasets.read")
ORGANIZATIONS = Resource("organizations", "Organization", list_path="/organizations", numbered=True)
RESOURCES = {kind.name: kind for kind in (DATASETS, EXPORTS, PROJECTS, SLICES, ORGANIZATIONS)}

View = Callable[[Record], Json]


def timestamp(seconds: float) -> str:
    """Write unix seconds as the API writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode_row(row: Mapping[str, Any]) -> bytes:
    """Write a row as one line of JSONL."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def plain_view(record: Record) -> Json:
    """Show a record: private fields (a leading underscore) stay inside, times are text."""
    shown = {name: value for name, value in record.items() if not name.startswith("_")}
    for name in ("created_at", "updated_at"):
        shown[name] = timestamp(shown[name])
    return shown


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

    def first(self, kind: Resource, **fields: Any) -> Record | None:
        """Return the oldest record with these values, if any."""
        with self.lock:
            for record in self.tables[kind.name].values():
                if all(record.get(name) == value for name, value in fields.items()):
                    return record
        return None

    def listing(self, kind: Resource, query: Mapping[str, str], view: View = plain_view) -> Listing:
        """Show all records that pass the filters of the query."""
        with self.lock:
            shown = [(record["_position"], view(record)) for record in self.tables[kind.name].values()]
        kept = [(position, resource) for position, resource in shown if kind.admits(resource, query)]
        return Listing([position for position, _ in kept], lambda index: kept[index][1])

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
