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

EXPORT_STATES = ("requested", "pending", "processing", "exported", "completed", "failed")
DATASET_STATES = ("creating", "created")
STATES = {"exports": EXPORT_STATES, "datasets": DATASET_STATES}
NAMES = ("uid", "slug", "name")  # by which an entry can be referred to
NAMESPACE = uuid.UUID("0a7a1a00-0000-5000-8000-000000000000")


@dataclass(frozen=True)
class Entry:
    """One entry of a seed.

    :param place: where it stands, such as ``seed.yaml: projects[0]``.
    """

    kind: Resource
    place: str
    fields: Record


def plant(emulator: Contents, seed: Seed) -> None:
    """Put what a seed describes into an emulator.

    :raises ValueError: names the place and what is wrong there; the emulator may hold a part of the seed then.
    """
    entries = [*_entries(seed)]
    directory = _directory(emulator, entries)
    resolved = [_resolve(entry, directory) for entry in entries]
    # Rows are counted when an export is added, and projects and slices are how it finds them.
    for entry in sorted(resolved, key=lambda entry: entry.kind.name == "exports"):
        _insert(emulator, seed, entry)


def _entries(seed: Seed) -> Iterator[Entry]:
    for table, entries in seed.content.items():
        if table not in RESOURCES:
            raise ValueError(f"{seed.source}: {table!r} is no resource; there are {', '.join(RESOURCES)}")
        if not isinstance(entries, list):
            raise ValueError(f"{seed.source}: {table}: must be a list of entries")
        for index, fields in enumerate(entries):
            place = f"{seed.source}: {table}[{index}]"
            if not isinstance(fields, Mapping):
                raise ValueError(f"{place}: must be an object with fields, such as 'name'")
            yield Entry(RESOURCES[table], place, _checked(RESOURCES[table], place, fields, index))


def _checked(kind: Resource, place: str, given: Mapping[str, Any], index: int) -> Record:
    fields = dict(given)
    for name, value in fields.items():
        if not isinstance(name, str) or name.startswith("_"):
            raise ValueError(f"{place}: {name!r} is no name for a field")
        rule = kind.fields.get(name)
        problem = rule.problem(value) if rule is not None and rule.access != "read" else None
        if problem:
            raise ValueError(f"{place}.{name}: {problem}")
    for name in NAMES:
        if name in fields and not (isinstance(fields[name], str) and fields[name]):
            raise ValueError(f"{place}.{name}: must be text, and not empty")
    states = STATES.get(kind.name)
    if states and fields.get("status", states[0]) not in states:
        raise ValueError(f"{place}.status: must be one of {', '.join(states)}")
    fields.setdefault("uid", str(uuid.uuid5(NAMESPACE, f"{kind.name}/{index}")))
    return fields


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
        table, many = (name, True) if name in directory else (f"{name}s", False)
        if table not in directory or value is None or isinstance(value, Mapping):
            continue
        if many:
            if not isinstance(value, list):
                raise ValueError(f"{entry.place}.{name}: must be a list of {table}")
            fields[name] = [
                _look_up(directory, table, called, f"{entry.place}.{name}[{index}]")
                for index, called in enumerate(value)
            ]
        else:
            fields[name] = _look_up(directory, table, value, f"{entry.place}.{name}")
    return Entry(entry.kind, entry.place, fields)


def _look_up(directory: Directory, table: str, called: Any, place: str) -> str:
    names = directory[table]
    found = names.get(called, []) if isinstance(called, str) else []
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{place}: {called!r} is the name of {len(found)} {table}; say which by uid or slug")
    known = ", ".join(sorted(names)) or "none"
    raise ValueError(f"{place}: there is no {table[:-1]} {called!r}; there are {known}")


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
