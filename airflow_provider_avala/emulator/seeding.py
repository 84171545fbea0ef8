"""Planting a seed: what it may hold, how its entries name each other, and where it is wrong.

A seed maps tables to entries::

    datasets:
      - name: Street scenes
        slug: streets
        rows: [{key: a.jpg}, {key: b.jpg}]
    projects:
      - {name: Cars, datasets: [streets]}
    exports:
      - {name: nightly, projects: [Cars], status: exported}

An entry names others by their ``uid``, ``slug`` or ``name``, in the seed or among the emulator's own seeds.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.emulator.resources import RESOURCES
from airflow_provider_avala.emulator.schema import Record, Resource
from airflow_provider_avala.emulator.seedfiles import Seed

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.contents import Contents

NAMES = ("uid", "slug", "name")  # by which an entry can be referred to
NAMESPACE = uuid.UUID("0a7a1a00-0000-5000-8000-000000000000")
BESIDE = {  # what an entry may say besides the fields that the API shows
    "datasets": ("rows", "rows_file"),
    "exports": ("seconds",),
    "slices": ("datasets",),
    "sequences": ("dataset",),
}
COMPLETED = ("datasets", "projects", "exports", "slices", "members")  # what is missing is made up
REFERENCES = {
    "subscription": "webhooks",
    "registration": "agents",
    "device": "fleet_devices",
    "recording": "fleet_recordings",
    "rule": "fleet_rules",
}
NO_REFERENCES = {("slices", "organization")}  # holds a slug


@dataclass(frozen=True)
class Entry:
    """One entry of a seed.

    :param place: where it stands, such as ``seed.yaml: projects[0]``.
    """

    kind: Resource
    place: str
    fields: Record


def plant(emulator: Contents, seed: Seed) -> dict[str, list[str]]:
    """Put what a seed describes into an emulator.

    :return: table -> the uids of its entries, in the order of the seed.
    :raises ValueError: names the place and what is wrong there; the emulator may hold a part of the seed then.
    """
    entries = [*_entries(emulator, seed)]
    directory = _directory(emulator, entries)
    resolved = [_resolve(entry, directory) for entry in entries]
    # Rows are counted when an export is added, and projects and slices are how it finds them.
    # Parents come before their parts.
    for entry in sorted(resolved, key=lambda entry: (entry.kind.name == "exports", len(entry.kind.parents))):
        _insert(emulator, seed, entry)
    planted: dict[str, list[str]] = {}
    for entry in entries:
        planted.setdefault(entry.kind.name, []).append(entry.fields["uid"])
    return planted


def _entries(emulator: Contents, seed: Seed) -> Iterator[Entry]:
    for table, entries in seed.content.items():
        if table not in RESOURCES:
            raise ValueError(f"{seed.source}: {table!r} is no resource; there are {', '.join(RESOURCES)}")
        if not isinstance(entries, list):
            raise ValueError(f"{seed.source}: {table}: must be a list of entries")
        for index, fields in enumerate(entries):
            place = f"{seed.source}: {table}[{index}]"
            if not isinstance(fields, Mapping):
                raise ValueError(f"{place}: must be an object with fields, such as 'name'")
            checked = _checked(RESOURCES[table], place, fields)
            yield Entry(RESOURCES[table], place, {"uid": _free_uid(emulator, table, index), **checked})


def _free_uid(emulator: Contents, table: str, index: int) -> str:
    """Make up a uid: the same in every run for the same place, and not one that there is."""
    taken = emulator.store.tables[table]
    numbers = itertools.count(len(taken) + index)
    uids = (str(uuid.uuid5(NAMESPACE, f"{table}/{number}")) for number in numbers)
    return next(uid for uid in uids if uid not in taken)


def _checked(kind: Resource, place: str, given: Mapping[str, Any]) -> Record:
    fields = dict(given)
    parents = tuple(_singular(link.table) for link in kind.parents)
    known = ("uid", *kind.fields, *BESIDE.get(kind.name, ()), *parents)
    for name, value in fields.items():
        if name not in known:
            raise ValueError(f"{place}: unknown field {name!r}; there are {', '.join(sorted(set(known)))}")
        problem = kind.fields[name].problem(value) if name in kind.fields else None
        if problem:
            raise ValueError(f"{place}.{name}: {problem}")
    for name in NAMES:
        if name in fields and not (isinstance(fields[name], str) and fields[name]):
            raise ValueError(f"{place}.{name}: must be text, and not empty")
    needed = [name for name, rule in kind.fields.items() if rule.required and rule.access in ("rw", "write")]
    for name in (*parents, *([] if kind.name in COMPLETED else needed)):
        if name not in fields:
            raise ValueError(f"{place}.{name}: This field is required.")
    return fields


def _singular(table: str) -> str:
    return table.removesuffix("s")


Directory = dict[str, dict[str, list[str]]]  # table -> what it is called -> uids


def _directory(emulator: Contents, entries: list[Entry]) -> Directory:
    directory: Directory = {table: {} for table in RESOURCES}
    for table, records in emulator.store.tables.items():
        for record in records.values():
            _register(directory[table], record)
    for entry in entries:
        uid = entry.fields["uid"]
        if uid in directory[entry.kind.name].get(uid, ()):
            raise ValueError(f"{entry.place}.uid: {uid!r} is taken")
        _register(directory[entry.kind.name], entry.fields)
    return directory


def _register(names: dict[str, list[str]], record: Mapping[str, Any]) -> None:
    for called in {record[name] for name in NAMES if record.get(name)}:
        names.setdefault(called, []).append(record["uid"])


def _resolve(entry: Entry, directory: Directory) -> Entry:
    fields = dict(entry.fields)
    for name, value in fields.items():
        place, table = f"{entry.place}.{name}", REFERENCES.get(name, f"{name}s")
        if value is None or (entry.kind.name, name) in NO_REFERENCES:
            continue
        if name in directory:
            if not isinstance(value, list):
                raise ValueError(f"{place}: must be a list of {name}")
            fields[name] = [
                _look_up(directory, name, called, f"{place}[{index}]") for index, called in enumerate(value)
            ]
        elif table in directory and not isinstance(value, Mapping):
            fields[name] = _look_up(directory, table, value, place)
    return Entry(entry.kind, entry.place, fields)


def _look_up(directory: Directory, table: str, called: Any, place: str) -> str:
    names = directory[table]
    found = names.get(called, []) if isinstance(called, str) else []
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{place}: {called!r} is the name of {len(found)} {table}; say which by uid or slug")
    known = ", ".join(sorted(names)) or "none"
    raise ValueError(f"{place}: there is no {_singular(table)} {called!r}; there are {known}")


def _insert(emulator: Contents, seed: Seed, entry: Entry) -> None:
    fields = dict(entry.fields)
    try:
        match entry.kind.name:
            case "datasets":
                rows = [*_rows(fields, seed, entry.place)]
                emulator.add_dataset(fields.pop("name", "Dataset"), rows=rows, **fields)
            case "projects":
                emulator.add_project(fields.pop("name", "Project"), **fields)
            case "exports":
                emulator.add_export(**fields)
            case "sequences":
                emulator.add_sequence(fields.pop("dataset"), **fields)
            case "members":
                emulator.add_member(fields.pop("organization"), **fields)
            case _:
                emulator.add(entry.kind, **fields)
    except TypeError as error:
        raise ValueError(f"{entry.place}: {error}") from None


def _rows(fields: Record, seed: Seed, place: str) -> Iterator[Mapping[str, Any]]:
    """Take ``rows`` and ``rows_file`` (JSON lines) out of the fields of a dataset."""
    rows, file = fields.pop("rows", []), fields.pop("rows_file", None)
    if not isinstance(rows, list):
        raise ValueError(f"{place}.rows: must be a list of objects")
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ValueError(f"{place}.rows[{index}]: must be an object")
        yield row
    if file is not None:
        yield from _rows_of_file(seed.folder / str(file), f"{place}.rows_file")


def _rows_of_file(path: Path, place: str) -> Iterator[Mapping[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{place}: cannot read {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ValueError(f"{place}: {path.name}:{number}: not a JSON object")
        yield row
