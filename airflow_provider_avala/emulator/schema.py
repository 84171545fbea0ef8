"""What one kind of resource is: its paths, fields, filters and paging. Everything else is derived from such rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from airflow_provider_avala.emulator.envelopes import ApiError, Json

Record = dict[str, Any]

KIND_WORDS = {
    str: "string",
    int: "integer",
    float: "number",
    list: "list of items",
    dict: "dictionary of items",
    bool: "boolean",
}
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def is_url(text: str) -> bool:
    """Say whether this is an absolute http(s) URL with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_uuid(text: str) -> bool:
    """Say whether this is a UUID, in any of its spellings."""
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def is_moment(text: str) -> bool:
    """Say whether this is a date with a time."""
    try:
        return bool(datetime.fromisoformat(text)) and ":" in text
    except ValueError:
        return False


FORMATS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "uri": (is_url, "Enter a valid URL."),
    "email": (EMAIL.fullmatch, "Enter a valid email address."),
    "date-time": (is_moment, "Datetime has wrong format."),
    "uuid": (is_uuid, "Must be a valid UUID."),
}


@dataclass(frozen=True)
class Field:
    """One field of a resource.

    :param kind: the JSON type it must have; ``object`` takes any.
    :param required: a create body must hold it, and it is never blank.
    :param default: its value when it was not sent; a callable makes a new one each time.
    :param choices: the only values allowed, if given; of a list: for its elements.
    :param max_length: of a string.
    :param minimum: of a number.
    :param maximum: of a number.
    :param format: ``uri``, ``email``, ``uuid`` or ``date-time``; unix seconds of a ``date-time`` are shown as text.
    :param of: the JSON type of a list's elements.
    :param access: ``rw``; ``read`` is computed, a body cannot set it; ``write`` is never shown; ``once`` is shown
        in the answer to the creation only.
    """

    kind: type = str
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    format: str | None = None
    of: type | None = None
    access: str = "rw"

    @property
    def nullable(self) -> bool:
        """Whether null is a value of it."""
        return not self.required and self.default is None

    def initial(self) -> Any:
        """Return the value it has when it was not sent."""
        return self.default() if callable(self.default) else self.default

    def blank(self) -> Any:
        """Return a value for a record that is made without a request: the default, or the simplest one allowed."""
        if not self.required or self.default is not None:
            return self.initial()
        if self.choices and self.kind is str:
            return self.choices[0]
        return self.kind()

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value that was sent, or None."""
        if value is None:
            return None if self.nullable else "This field may not be null."
        if not _is_a(value, self.kind):
            return f"Not a valid {KIND_WORDS.get(self.kind, self.kind.__name__)}."
        if isinstance(value, str):
            return self._text_problem(value)
        if isinstance(value, list):
            return self._list_problem(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and not value >= self.minimum:
                return f"Ensure this value is greater than or equal to {self.minimum:g}."
            if self.maximum is not None and not value <= self.maximum:
                return f"Ensure this value is less than or equal to {self.maximum:g}."
        return None

    def _text_problem(self, value: str) -> str | None:
        if self.required and not value.strip():
            return "This field may not be blank."
        if self.max_length is not None and len(value) > self.max_length:
            return f"Ensure this field has no more than {self.max_length} characters."
        if self.choices and value not in self.choices:
            return f'"{value}" is not a valid choice.'
        check, complaint = FORMATS.get(self.format or "", (bool, ""))
        return complaint if complaint and not check(value) else None

    def _list_problem(self, value: list[Any]) -> str | None:
        if self.required and self.choices and not value:
            return "This list may not be empty."
        for element in value:
            if self.of is not None and not _is_a(element, self.of):
                return f"Not a valid {KIND_WORDS.get(self.of, self.of.__name__)}."
            if self.choices and element not in self.choices:
                return f'"{element}" is not a valid choice.'
        return None


def _is_a(value: Any, kind: type) -> bool:
    if kind is object:
        return True
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def problems_of(fields: Mapping[str, Field], body: Mapping[str, Any], *, partial: bool) -> dict[str, str]:
    """Return what is wrong with a body, per field; what the table does not know is ignored."""
    problems = {}
    for name, rule in fields.items():
        if rule.access == "read":
            continue
        if name in body:
            problem = rule.problem(body[name])
        else:
            problem = "This field is required." if rule.required and not partial else None
        if problem:
            problems[name] = problem
    return problems


@dataclass(frozen=True)
class Shape:
    """A body or an answer that is no stored resource.

    :param name: as the schema calls it.
    :param fields: what it holds.
    """

    name: str
    fields: Mapping[str, Field]

    def validate(self, body: Any, *, partial: bool = False) -> Record:
        """Read a body; of a partial one, only what was sent.

        :raises ApiError: 400 naming every field that is missing or wrong.
        """
        if not isinstance(body, dict):
            raise ApiError.invalid(non_field_errors="Invalid data. Expected a dictionary.")
        problems = problems_of(self.fields, body, partial=partial)
        if problems:
            raise ApiError.invalid(**problems)
        settable = {name: rule for name, rule in self.fields.items() if rule.access != "read"}
        return {
            name: body.get(name, rule.initial())
            for name, rule in settable.items()
            if name in body or not partial
        }


@dataclass(frozen=True)
class Link:
    """The parent that a path names, such as the project in ``/projects/{project}/quality-targets``.

    :param table: the parent's kind.
    :param by: placeholder of the path -> the parent's field that it addresses.
    """

    table: str
    by: Mapping[str, str]


@dataclass(frozen=True)
class Resource(Shape):
    """One kind of resource, stored in the table ``name``.

    :param label: singular, as error messages say it.
    :param list_path: of the collection, below the base URL and without a trailing slash; None for none.
    :param item_path: of one; its placeholders are in ``key`` or in ``parents``.
    :param create_path: where POST goes, if not to ``list_path``.
    :param methods: of ``list get create patch put delete``, those there are.
    :param key: placeholder of ``item_path`` -> the field that it addresses.
    :param parents: of which it is a part, outermost first.
    :param paging: ``cursor``, ``numbered`` or ``array`` (no envelope).
    :param scope: what a key needs to read it.
    :param write_scope: what a key needs to change it.
    :param filters: query parameter -> ``exact``, ``contains`` (any case) or ``search``; ``search`` looks into every
        text field, the others into the field of the same name.
    :param orderings: fields that ``ordering=`` takes, with or without a minus.
    :param unique: no two records (of one parent) have the same values in these fields.
    """

    label: str = ""
    list_path: str | None = None
    item_path: str | None = None
    create_path: str | None = None
    methods: Sequence[str] = ("list", "get")
    key: Mapping[str, str] = field(default_factory=lambda: {"uid": "uid"})
    parents: tuple[Link, ...] = ()
    paging: str = "cursor"
    scope: str | None = None
    write_scope: str | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    orderings: tuple[str, ...] = ("created_at", "updated_at", "name")
    unique: tuple[str, ...] = ()

    def filters_of(self, query: Mapping[str, str]) -> dict[str, str]:
        """Pick the filters out of a query; an empty value filters nothing."""
        return {name: query[name] for name in self.filters if query.get(name)}

    def admits(self, shown: Json, wanted: Mapping[str, str]) -> bool:
        """Say whether a resource passes these filters."""
        for name, text in wanted.items():
            way, text = self.filters[name], text.lower()
            if way == "search":
                if not any(text in value.lower() for value in shown.values() if isinstance(value, str)):
                    return False
                continue
            value = str(shown.get(name) if shown.get(name) is not None else "").lower()
            if text not in value if way == "contains" else text != value:
                return False
        return True

    def check_query(self, query: Mapping[str, str]) -> None:
        """Refuse what the reference does not allow; the strict mode asks for it.

        :raises ApiError: 400 naming every parameter with a value that it cannot have.
        """
        problems = {}
        for name, value in self.filters_of(query).items():
            rule = self.fields.get(name)
            if rule is not None and rule.choices and value not in rule.choices:
                problems[name] = f"Select a valid choice. {value} is not one of the available choices."
        ordering = query.get("ordering", "")
        if ordering and ordering.removeprefix("-") not in self.orderings:
            problems["ordering"] = f"Select a valid choice. {ordering} is not one of the available choices."
        limit = query.get("limit", "1")
        if not (limit.isascii() and limit.isdigit() and int(limit) > 0):
            problems["limit"] = "A positive integer is required."
        if problems:
            raise ApiError.invalid(**problems)

    def show(self, record: Record) -> Json:
        """Show a record: private names (a leading underscore) and what is write-only stay inside, times are text."""
        hidden = {name for name, rule in self.fields.items() if rule.access in ("write", "once")}
        shown = {name: value for name, value in record.items() if name[0] != "_" and name not in hidden}
        for name, rule in self.fields.items():
            if name in hidden:
                continue
            if name not in shown:
                shown[name] = rule.initial()
            if rule.format == "date-time" and isinstance(shown[name], int | float):
                shown[name] = timestamp(shown[name])
        for name in ("created_at", "updated_at"):
            shown[name] = timestamp(record[name])
        return shown


def timestamp(seconds: float) -> str:
    """Write unix seconds as the API writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
