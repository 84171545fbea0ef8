"""What a crash, or somebody's editor, may leave behind in our own notes and state files."""

from __future__ import annotations

import json
import struct
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.checksums import check
from airflow_provider_avala.api.errors import AvalaRateLimitTimeout
from airflow_provider_avala.api.ledger import pack, unpack
from airflow_provider_avala.api.limits import MAX_PAUSE, Limit
from airflow_provider_avala.api.partfile import PartFile
from airflow_provider_avala.api.ring import FileRing
from airflow_provider_avala.api.upload_journal import _VERSION, FileStore, Journal, Progress
from airflow_provider_avala.triggers.export_cursor import Cursor
from tests.api.loopback import Clock
from tests.fuzz.hostile import bodies, bounded, nested, outcome, values

NOTES = ["etag", "total", "checksums", "accepted", "sending", "total_before", "done", "part_size"]
notes = st.dictionaries(st.sampled_from(NOTES), values, max_size=8)


def part_file(note: bytes) -> tuple[str | None, int | None, dict[str, str]]:
    """What a part file of three bytes believes, given its note; and it must be able to go on."""
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "export.zip"
        with PartFile(target, "e") as part:
            part.append(b"abc")
        part._note.write_bytes(note)
        with PartFile(target, "e") as again:
            found = again.etag, again.total, dict(again.checksums)
            again.etag and again.etag.encode("latin-1")
            again.append(b"d")
            outcome(partial(check, again.path, again.checksums), Exception) if again.checksums else None
            check(again.path, {})
        return found


@bounded
@given(st.one_of(bodies(), notes.map(lambda note: json.dumps(note).encode())))
def test_a_download_begins_anew_beside_a_note_that_is_not_ours(note: bytes) -> None:
    etag, total, checksums = part_file(note)
    assert etag is None or etag.isprintable()
    assert total is None or total >= 0
    assert set(checksums) <= {"crc32", "md5", "sha1", "sha256", "sha512"}


SOUND = {"etag": '"a"', "total": 9, "checksums": {"md5": "00" * 16}}


@pytest.mark.parametrize(
    "change",
    [
        {"etag": 'W/"a"'},
        {"etag": '"a\r\nb"'},
        {"etag": '"\ud800"'},
        {"etag": 7},
        {"total": -1},
        {"total": True},
        {"total": 9.5},
        {"checksums": {"rot13": "00"}},
        {"checksums": {"md5": "xyz"}},
        {"checksums": {"md5": None}},
        {"checksums": [["md5"]]},
    ],
)
def test_a_note_with_one_wrong_value_is_not_believed_at_all(change: dict[str, Any]) -> None:
    assert part_file(json.dumps(SOUND).encode())[0] == '"a"'
    assert part_file(json.dumps(SOUND | change).encode()) == (None, None, {})


def test_a_note_that_is_nested_without_end_is_not_believed() -> None:
    assert part_file(nested(100_000)) == (None, None, {})


class Kept:
    """A store that holds what a test puts into it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def load(self) -> Any:
        return self.value

    def save(self, value: Any) -> None:
        self.value = json.loads(json.dumps(value))


@bounded
@given(notes)
def test_a_damaged_journal_is_none(note: dict[str, Any]) -> None:
    journal = Journal(
        Kept({"version": _VERSION, "dataset_id": "d", "scope": "r", "run": "r", **note}), "d", "r", 10
    )
    assert journal.earlier == Progress() or journal.earlier.last >= 0
    journal.note_total(5)
    assert Journal(journal._store, "d", "r", 10).total_before == 5


@pytest.mark.parametrize(
    "accepted",
    [
        [[1, 2]],
        [[2, 1, "0", 1, 1]],
        [[1, 2, "0", 1, 1], [2, 3, "0", 1, 1]],
        [[0, 2, "0", 1, 1]],
        [[1, 2, "x", 1, 1]],
        [["1", 2, "0", 1, 1]],
        7,
    ],
)
def test_a_journal_with_ranges_that_cannot_be_is_none_and_says_so(
    accepted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    value = {
        "version": _VERSION,
        "dataset_id": "d",
        "run": "r",
        "scope": "r",
        "accepted": accepted,
        "sending": [],
        "total_before": None,
        "done": False,
        "part_size": 1,
    }
    assert Journal(Kept(value), "d", "r", 10).earlier == Progress()
    assert "damaged" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b'{"version": 1', nested(100_000), b"\xff"])
def test_a_journal_file_that_cannot_be_read_is_none_and_says_so(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FileStore(str(tmp_path), "scope")
    store.save({"version": 1})
    store.path.write_bytes(content)
    assert store.load() is None
    assert "cannot be read" in caplog.text


@bounded
@given(st.one_of(values, st.text(max_size=40), st.sets(st.integers(0, 99)).map(lambda some: pack(some, 100))))
def test_any_ledger_gives_numbers_of_files_that_there_are(text: Any) -> None:
    assert unpack(text, 50) <= {*range(50)}


doubles = st.one_of(st.floats(), st.sampled_from([0.0, 1e6, 1e6 + 30, 1e6 + MAX_PAUSE + 1, -1e300, 1e300]))
counts = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 20))


@bounded
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(counts, doubles, counts, st.lists(doubles, min_size=5, max_size=5)).map(
            lambda fields: struct.pack("=8sQdQ5d", b"avalaRL1", *fields[:3], *fields[3])
        ),
    )
)
def test_a_damaged_ring_of_bookings_blocks_nobody_for_longer_than_a_day(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        ring = FileRing("owner", (Limit(5, 60),), folder, clock)
        ring.acquire(0)
        [path] = Path(folder).glob("*.ring")
        path.write_bytes(content)
        outcome(partial(ring.acquire, 0), AvalaRateLimitTimeout)
        ring.announce(3)
        ring.status()
        for _ in range(7):
            ring.acquire(86400 * 2)
        assert clock.now <= 1_000_000 + 86400 + 600
        ring.pause(10)
        assert path.stat().st_size < 1000


@bounded
@given(values)
def test_a_stored_cursor_is_read_or_is_none(value: Any) -> None:
    for given_ in (value, {"since": value, "known": value, "running": value}):
        cursor = Cursor.from_json(given_)
        assert cursor is None or json.dumps(cursor.as_json())
