"""Where in an AIRFLOW_HOME a secret is found: every column of every table, the raw bytes of every file."""

from __future__ import annotations

import base64
import json
import sqlite3
import urllib.parse
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path


def places_of(home: Path, secrets: Iterable[str]) -> list[str]:
    """Every place that holds one of the secrets, plain or in a usual encoding.

    :param home: AIRFLOW_HOME; its database is read while Airflow may be running
    """
    needles = {needle for secret in secrets for needle in spellings(secret)}
    found = [place for place, content in contents(home) if any(needle in content for needle in needles)]
    return sorted(set(found))


def spellings(secret: str) -> set[bytes]:
    """A secret as text, escaped for URLs and JSON, and in base64 at each of its three alignments."""
    texts = {secret, urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1]}
    plain = {text.encode() for text in texts}
    encoded = set()
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + secret.encode())
        encoded.add(whole[4 if shift else 0 : len(whole) // 4 * 4 - 4])
    return plain | encoded


def contents(home: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all table columns and all files."""
    for path in sorted(home.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(home)), path.read_bytes()
    yield from rows(home / "airflow.db")


def rows(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every value in every table, SQLite's own overflow pages and the write-ahead log resolved."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        tables = [
            name.decode()
            for (name,) in connection.execute("select name from sqlite_master where type='table'")
        ]
        for table in tables:
            cursor = connection.execute(f'select * from "{table}"')
            columns = [column[0] for column in cursor.description]
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    if value is not None:
                        yield f"{table}.{column}", value if isinstance(value, bytes) else str(value).encode()
