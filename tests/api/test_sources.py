"""What ``source`` can be: files, globs, directories, plain or compressed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.jsonl import cut_source
from airflow_provider_avala.api.sources import find_sources
from tests.api.bodies import joined

LINE = b'{"a":1}\n'


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jsonl", "a.ndjson", "c.jsonl.gz", "d.ndjson.gz", "notes.txt", "e.json", "f.JSONL"):
        (tmp_path / name).write_bytes(LINE)
    (tmp_path / "sub.jsonl").mkdir()
    (tmp_path / "sub.jsonl" / "inner.jsonl").write_bytes(LINE)
    return tmp_path


def names(source):
    return [Path(each.label).name for each in find_sources(source)]


def parts_of(source, part_size=1000, **options):
    return [part for one in find_sources(source) for part in cut_source(one, part_size, **options)]


@pytest.mark.parametrize("kind", [str, Path, lambda path: [path]])
def test_of_a_directory_the_jsonl_files_are_taken_by_name(folder, kind):
    assert names(kind(folder)) == ["a.ndjson", "b.jsonl", "c.jsonl.gz", "d.ndjson.gz", "f.JSONL"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["b.jsonl"]),
        ("[ab].*", ["a.ndjson", "b.jsonl"]),
        ("?.txt", None),
        ("**/*.jsonl", ["b.jsonl", "inner.jsonl"]),
        ("*", ["a.ndjson", "b.jsonl", "c.jsonl.gz", "d.ndjson.gz", "e.json", "f.JSONL", "notes.txt"]),
    ],
)
def test_a_glob_takes_whatever_files_it_matches(folder, pattern, found):
    if found is None:
        with pytest.raises(AvalaConfigurationError, match="matches no file; check the path"):
            names(folder / pattern)
    else:
        assert names(str(folder / pattern)) == found


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path):
    (tmp_path / "a[1].jsonl").write_bytes(LINE)
    assert names(tmp_path / "a[1].jsonl") == ["a[1].jsonl"]


def test_a_directory_without_such_files_is_named(tmp_path):
    (tmp_path / "notes.txt").write_bytes(LINE)
    with pytest.raises(
        AvalaConfigurationError, match=rf"^source: there is no file \*\.jsonl.* in {tmp_path}"
    ):
        find_sources(tmp_path)


def test_an_empty_file_is_told_before_anything_is_read(folder):
    (folder / "z.jsonl").write_bytes(b"")
    with pytest.raises(AvalaConfigurationError, match=r"z\.jsonl is empty"):
        find_sources(folder)


def test_a_file_that_two_patterns_match_is_refused(folder):
    with pytest.raises(AvalaConfigurationError, match="listed twice"):
        find_sources([folder, folder / "b.jsonl"])


def test_a_file_of_two_names_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(AvalaConfigurationError, match=r"b\.jsonl, which is b\.jsonl, is listed twice"):
        find_sources(["b.jsonl", folder / "b.jsonl"])
    (folder / "latest.jsonl").symlink_to("b.jsonl")
    with pytest.raises(AvalaConfigurationError, match=r"latest\.jsonl, which is .*b\.jsonl, is listed twice"):
        find_sources(folder)


@pytest.mark.parametrize("name", ["items.jsonl.gz", "items.jsonl", "items"])
def test_gzip_is_known_by_its_content(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(LINE * 3) + gzip.compress(LINE * 2))  # two members are one file
    parts = parts_of(path, part_size=16)

    assert [(part.first_line, part.last_line) for part in parts] == [(1, 2), (3, 4), (5, 5)]
    assert [joined(part.chunks()) for part in parts for _ in range(2)] == [LINE * 2] * 4 + [LINE] * 2
    assert sum(part.weight for part in parts) == path.stat().st_size
    assert parts[0].source.stem == "items"


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:12] + b"x" * 8 + data[20:]])
def test_damaged_gzip_is_named(tmp_path, damage):
    path = tmp_path / "items.jsonl.gz"
    path.write_bytes(damage(gzip.compress(LINE * 1000)))
    with pytest.raises(AvalaConfigurationError, match=r"items\.jsonl\.gz is a damaged gzip file"):
        parts_of(path)


def test_a_bad_line_of_a_compressed_file_is_named_by_its_number(tmp_path):
    path = tmp_path / "items.jsonl.gz"
    path.write_bytes(gzip.compress(LINE * 3 + b"{\n"))
    with pytest.raises(AvalaConfigurationError, match=r"line 4 of .*items\.jsonl\.gz: not JSON"):
        parts_of(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf_16_is_told_even_where_lines_are_not_checked(tmp_path, encoding):
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"\xff\xfe" * (encoding != "utf-16") + LINE.decode().encode(encoding))
    with pytest.raises(AvalaConfigurationError, match=r"line 1 of .* is not UTF-8"):
        parts_of(path, validate=False)


def test_the_second_of_several_objects_on_a_line_is_found(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes(LINE + b'{"a":1}{"b":2}\n' + LINE)
    with pytest.raises(AvalaConfigurationError, match=r"line 2 of .*something follows"):
        parts_of(path)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1024 * 1024 - 10])
def test_a_character_on_the_edge_of_a_slice_is_no_error(tmp_path, size):
    path = tmp_path / "items.jsonl"
    line = '{{"a":"{}{}"}}\n'.format("x" * size, "€😀" * 400_000).encode()
    path.write_bytes(line + LINE)
    assert sum(part.items for part in parts_of(path, part_size=10_000_000)) == 2
    path.write_bytes(line[:-1500] + b"\xff" + line[-1500:])
    with pytest.raises(AvalaConfigurationError, match=r"line 1 of .*is not UTF-8"):
        parts_of(path, part_size=10_000_000)
