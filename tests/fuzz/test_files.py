"""Files that a server sends or a user has: JSONL, gzip and zip, whole, damaged, or made to do harm."""

from __future__ import annotations

import gzip
import io
import tempfile
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api import archives, unpacking
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaDownloadError
from airflow_provider_avala.api.jsonl import cut_source
from airflow_provider_avala.api.sources import Source
from tests.fuzz.hostile import bodies, bounded, outcome

PART = 4096


def cut(content: bytes) -> int:
    """Cut a file into parts; how many bytes they have in all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.jsonl"
        path.write_bytes(content)
        size = 0
        for part in cut_source(Source(path, "items.jsonl"), PART):
            assert part.size <= PART
            assert sum(map(len, part.chunks())) == part.size
            size += part.size
            part.content.close()
        return size


@bounded
@given(st.lists(bodies(), max_size=4), st.sampled_from([b"\n", b"\r\n", b"\r", b"\x00"]))
def test_jsonl_is_taken_whole_or_refused(lines: list[bytes], end: bytes) -> None:
    content = end.join(lines)
    size, words = outcome(partial(cut, content), AvalaConfigurationError)
    assert len(words) < 1000
    assert words or size <= len(content)


@bounded
@given(st.lists(bodies(), max_size=3), st.data())
def test_a_damaged_gzip_file_is_refused_as_such(lines: list[bytes], data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(b"\n".join(lines), mtime=0))
    for _ in range(data.draw(st.integers(0, 3))):
        packed[data.draw(st.integers(2, len(packed) - 1))] = data.draw(st.integers(0, 255))
    outcome(partial(cut, bytes(packed[: data.draw(st.integers(2, len(packed)))])), AvalaConfigurationError)


def test_a_gzip_bomb_is_refused_at_its_first_line_and_takes_no_memory() -> None:
    bomb = gzip.compress(b'{"a": "' + b"x" * 50_000_000, compresslevel=1)
    tracemalloc.start()
    try:
        with pytest.raises(AvalaConfigurationError, match="line 1"):
            cut(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@bounded
@given(st.data())
def test_a_damaged_zip_is_refused_and_leaves_nothing_outside_of_its_folder(data: st.DataObject) -> None:
    method = data.draw(
        st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    )
    names = data.draw(
        st.lists(st.sampled_from(["a", "b/c", "../d", "/e", "f/", "ü", "g\\h", "x" * 300]), unique=True)
    )
    content = bytearray(zipped(dict.fromkeys(names, b"[1]" * 20), method))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "export.zip"
        path.write_bytes(content)
        outcome(partial(archives.check, path, zip_announced=True), AvalaDownloadError)
        outcome(partial(unpacking.unpack, path, folder / "out"), AvalaDownloadError, OSError)
        assert {each.name for each in folder.iterdir()} <= {"export.zip", "out"}


def test_a_zip_of_deep_folders_is_planned_in_little_memory() -> None:
    members = [zipfile.ZipInfo(f"{number}/" + "a/" * 2000 + "b") for number in range(200)]
    tracemalloc.start()
    try:
        assert len(unpacking.plan(members)) == 200
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_name_that_is_longer_than_any_path_is_refused() -> None:
    with pytest.raises(AvalaDownloadError, match="longer than any path"):
        unpacking.plan([zipfile.ZipInfo("a/" * 2500 + "b")])
