"""Sources of items: what is accepted, what is refused and in which words, how it is cut."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api import sources
from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.jsonl import SourceChangedError, cut_source, too_long
from airflow_provider_avala.api.sources import find_sources
from airflow_provider_avala.api.spool import spool_items
from tests.api.bodies import joined


def split(path, part_size=1000, **options):
    (source,) = find_sources(path)
    return list(cut_source(source, part_size, **options))


def content(parts):
    return [joined(part.chunks()) for part in parts]


@pytest.fixture
def file(tmp_path):
    def write(data, name="items.jsonl"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def test_a_part_knows_its_place_its_lines_and_its_digest(file):
    parts = split(file(b'{"a":1}\n{"a":2}\n{"a":3}\n'), part_size=16)

    assert [(part.offset, part.size, part.first_line, part.last_line, part.items) for part in parts] == [
        (0, 16, 1, 2, 2),
        (16, 8, 3, 3, 1),
    ]
    assert content(parts) == [b'{"a":1}\n{"a":2}\n', b'{"a":3}\n']


@pytest.mark.parametrize(
    ("data", "sent", "items"),
    [
        pytest.param(b'{"a":1}', b'{"a":1}', 1, id="last line without an end"),
        pytest.param(b'{"a":1}\r\n{"a":2}\r\n', b'{"a":1}\r\n{"a":2}\r\n', 2, id="CRLF"),
        pytest.param(b'\xef\xbb\xbf{"a":1}\n', b'{"a":1}\n', 1, id="byte order mark is left out"),
        pytest.param(
            b'\n{"a":1}\n  \n\r\n{"a":2}\n\n', b'\n{"a":1}\n  \n\r\n{"a":2}\n\n', 2, id="blank lines"
        ),
        pytest.param('{"é":"\u2028"}\n'.encode(), '{"é":"\u2028"}\n'.encode(), 1, id="other line separators"),
        pytest.param(b' {"a": {"b": [1, null]}} \n', b' {"a": {"b": [1, null]}} \n', 1, id="space around"),
    ],
)
def test_what_is_sent_and_what_is_counted(file, data, sent, items):
    parts = split(file(data))

    assert b"".join(content(parts)) == sent
    assert sum(part.items for part in parts) == items


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b'{"a":1}\n{"a":\n', 2, "not JSON: Expecting value"),
        (b'{"a":1}\n\n{"a":1},\n', 3, "something follows"),
        (b"[1]\n", 1, "looks like one JSON document"),
        (b'{\n"a":1}\n', 1, "looks like one JSON document"),
        (b'{"a":1}\n"text"\n', 2, "expected a JSON object, got a str"),
        (b"null\n", 1, "got a NoneType"),
        (b'{"a":NaN}\n', 1, "NaN is not a JSON value"),
        (b'{"a":-Infinity}\n', 1, "-Infinity is not a JSON value"),
        (b'{"a":1}\n{"a":"\xff"}\n', 2, "byte 0xff at position 7 is not UTF-8"),
        ('{"a":1}\n'.encode("utf-16"), 1, "not UTF-8"),
        (b'{"a":' * 100_000 + b"\n", 1, "is longer than the 1000 bytes"),
        (b'{"a":"' + b"x" * 1000 + b'"}\n', 1, "raise part_size (at most"),
        (b'{"a":1}\r{"a":2}\n', 1, "something follows"),
    ],
)
def test_the_first_bad_line_is_named_with_its_reason(file, data, line, reason):
    with pytest.raises(AvalaConfigurationError) as caught:
        split(file(data))

    assert f"line {line} of " in str(caught.value)
    assert "items.jsonl" in str(caught.value)
    assert reason in str(caught.value)


class Endless:
    """A line without an end, in a handle that can do no more than it has to."""

    blocks = 0

    def open(self, mode):
        return contextlib.nullcontext(self)

    def seek(self, offset):
        return offset

    def read(self, size):
        self.blocks += 1
        assert self.blocks < 20
        return b"x" * size


def test_a_line_without_an_end_is_not_read_to_its_end():
    with pytest.raises(AvalaConfigurationError, match="is longer than the 5000000 bytes"):
        split(Endless(), part_size=5_000_000)


def test_deep_nesting_is_refused_not_fatal(file):
    with pytest.raises(AvalaConfigurationError, match=r"line 1 of .*not usable JSON"):
        split(file(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), part_size=1_000_000)


@pytest.mark.parametrize("beside", [b"", b"\n"], ids=["alone", "beside a blank line"])
def test_a_number_may_have_any_length(file, beside):
    data = b'{"a":%s}\n' % (b"1" * 5000) + beside

    assert content(split(file(data), 10_000)) == [data]


def test_a_line_that_just_fits_is_a_part(file):
    line = b'{"a":"' + b"x" * 100 + b'"}\n'

    assert content(split(file(line * 2), part_size=len(line))) == [line, line]


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("part_size", [4 * 96 * 1024 - 1, 300_000, 200_000])
def test_a_line_that_just_fits_may_follow_a_byte_order_mark(file, part_size, validate):
    first = b'{"a":"' + b"x" * (part_size - 9) + b'"}\n'
    data = first + b'{"b":1}\n' * 1000

    pieces = content(split(file(b"\xef\xbb\xbf" + data), part_size, validate=validate))
    assert (len(pieces[0]), b"".join(pieces)) == (part_size, data)


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("validate", [True, False])
def test_a_file_without_items_is_refused(file, data, validate):
    with pytest.raises(AvalaConfigurationError, match=r"items\.jsonl .*holds no items"):
        split(file(data), validate=validate)


def test_blank_lines_alone_make_no_part(file):
    parts = split(file(b'{"a":1}\n' + b"\n" * 30 + b'{"a":2}\n' + b"\n" * 30), part_size=10)

    assert b"".join(content(parts)).split() == [b'{"a":1}', b'{"a":2}']
    assert all(part.items for part in parts)
    assert (parts[-1].first_line, parts[-1].last_line) >= (21, 32)


rows = st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none(), max_size=3)


@given(
    st.lists(rows, min_size=1, max_size=30),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
    st.integers(100, 2000),
)
def test_parts_are_whole_lines_and_together_the_file(rows, end, last_end, ascii_only, part_size):
    lines = [json.dumps(row, ensure_ascii=ascii_only) + end for row in rows]
    data = "".join(lines).encode()
    data = data if last_end else data[: -len(end)]
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(data)
        file.flush()
        longest = max(len(line.encode()) for line in lines)
        parts = split(file.name, max(part_size, longest))
        pieces = content(parts)

    assert b"".join(pieces) == data
    assert all(len(piece) <= max(part_size, longest) for piece in pieces)
    assert [json.loads(line) for piece in pieces for line in piece.splitlines()] == rows
    assert [part.first_line for part in parts[1:]] == [part.last_line + 1 for part in parts[:-1]]
    assert parts[0].first_line == 1
    assert parts[-1].last_line == len(rows)


def test_lines_longer_than_a_block_are_read_whole(file):
    data = b"".join(b'{"a":"%s"}\n' % (b"x" * size) for size in (3_000_000, 1, 1_048_568, 1_048_567, 5))

    assert b"".join(content(split(file(data), part_size=4_000_000))) == data


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("/no/such/file.jsonl", r"/no/such/file\.jsonl: No such file .*check the path"),
        ("/dev/null", "is a pipe or a device"),
        ("", "the path is empty"),
        ("nul\0byte", "cannot read"),
        ("s3://bucket/items.jsonl", "is a URL.*ObjectStoragePath"),
        ("https://host/x.jsonl?X-Amz-Signature=abc", r"x\.jsonl\?\*\*\*"),
        (42, "got int"),
        ({"a": 1}, "got dict.*items="),
        ([], "the list is empty"),
        (["/no/such/file.jsonl"], "No such file"),
    ],
)
def test_a_source_that_cannot_be_one_is_refused(source, problem):
    with pytest.raises(AvalaConfigurationError, match="^source: .*" + problem):
        find_sources(source)


def test_a_file_listed_twice_is_refused(file):
    path = file(b'{"a":1}\n')

    with pytest.raises(AvalaConfigurationError, match="listed twice"):
        find_sources([path, str(path)])


@pytest.mark.parametrize("kind", [str, Path, lambda path: [path], lambda path: (Path(path),)])
def test_paths_come_in_many_kinds(file, kind):
    path = file(b'{"a":1}\n')

    assert content(split(kind(str(path)))) == [b'{"a":1}\n']


class Remote:
    """Like a file in an object store: no stat, and a handle that only reads and seeks."""

    def __init__(self, path):
        self.path = path

    def __str__(self):
        return "s3://bucket/items.jsonl"

    def open(self, mode):
        assert mode == "rb"
        return self.path.open(mode, buffering=0)


def test_anything_that_opens_is_a_source(file):
    parts = split(Remote(file(b'{"a":1}\n{"a":2}\n')), part_size=8)

    assert content(parts) == [b'{"a":1}\n', b'{"a":2}\n']
    assert parts[0].source.label == "s3://bucket/items.jsonl"
    assert parts[0].source.stem == "items"


def test_a_part_can_be_read_again(file):
    (part,) = split(file(b'{"a":1}\n'))

    assert content([part, part]) == [b'{"a":1}\n'] * 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_bytes(b'{"a":9}\n{"a":2}\n'), id="same length"),
        pytest.param(lambda path: path.write_bytes(b'{"a"'), id="shorter"),
        pytest.param(lambda path: path.unlink(), id="gone"),
    ],
)
@pytest.mark.parametrize("tick", [3.0, -1.0], ids=["written just now", "settled"])
def test_a_file_that_changes_after_the_check_is_not_sent_to_its_end(file, change, tick, monkeypatch):
    monkeypatch.setattr(sources, "_TICK", tick)
    path = file(b'{"a":1}\n{"a":2}\n')
    part = split(path, part_size=8)[0]
    change(path)
    let_it_show(path, part.source)

    with pytest.raises(SourceChangedError, match=r"items\.jsonl"):
        list(part.chunks())


def let_it_show(path, source):
    """Set a file's time back, and have the change be of a later tick of the file system's clock."""
    _, modified, changed = source.fingerprint
    while path.exists() and path.stat().st_ctime_ns == changed:
        os.utime(path, ns=(modified, modified))


@pytest.fixture
def sent_part(file, monkeypatch):
    """The second part of a file that nobody had changed for long, and the file, written to through a function."""
    monkeypatch.setattr(sources, "_TICK", -1.0)
    path = file(b'{"a":1}\n{"a":2}\n{"a":3}\n')
    part = split(path, part_size=8)[1]

    def write(offset, data):
        with path.open("r+b") as handle:
            handle.seek(offset)
            handle.write(data)
        let_it_show(path, part.source)

    return part, write


def test_a_change_while_the_kernel_sends_keeps_the_end_from_being_sent(sent_part):
    part, write = sent_part
    chunks = part.chunks()
    assert joined([next(chunks)]) == b'{"a":2}\n'
    write(8, b"[")

    with pytest.raises(SourceChangedError, match="was changed"):
        next(chunks)


@pytest.mark.parametrize("change", [(8, b"["), None], ids=["changed", "gone"])
def test_a_change_on_the_way_is_found_afterwards(sent_part, change):
    part, write = sent_part
    part.require_unchanged()
    if change:
        write(*change)
    else:
        part.source.path.unlink()

    with pytest.raises(SourceChangedError, match="was changed"):
        part.require_unchanged()


def test_a_change_elsewhere_in_the_file_leaves_a_part_that_was_sent_as_it_was(sent_part):
    part, write = sent_part
    write(16, b"[")
    write(0, b"[")

    part.require_unchanged()


def test_what_is_sent_of_a_remote_file_is_what_was_checked(file):
    path = file(b'{"a":1}\n{"a":2}\n')
    part = split(Remote(path), part_size=8)[0]
    path.unlink()

    assert content([part, part]) == [b'{"a":1}\n'] * 2


def test_a_local_file_that_grows_after_the_check_is_noticed(file):
    path = file(b'{"a":1}\n')
    (part,) = split(path)
    path.write_bytes(b'{"a":1}\n{"a":2}\n')

    with pytest.raises(SourceChangedError, match="was changed"):
        list(part.chunks())


def spool(items, part_size=1000):
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        count = spool_items(items, file, lambda size: too_long(part_size) if size > part_size else None)
        return count, Path(file.name).read_bytes()


def test_items_are_written_as_compact_jsonl():
    assert spool({"n": n, "é": [None]} for n in range(3)) == (
        3,
        '{"n":0,"é":[null]}\n{"n":1,"é":[null]}\n{"n":2,"é":[null]}\n'.encode(),
    )


circle: dict = {}
circle["self"] = circle


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([], "there are none"),
        (iter(()), "there are none"),
        ({"a": 1}, "got dict; wrap"),
        ("items.jsonl", "got str.*source="),
        (7, "got int"),
        ([{"a": 1}, ["b"]], "item 2: expected a dict, got list"),
        ([None], "item 1: expected a dict, got NoneType"),
        ([{"a": float("nan")}], "item 1: JSON cannot express it: Out of range float"),
        ([{"a": {1, 2}}], "item 1: JSON cannot express it: .*set"),
        ([{(1, 2): 1}], "item 1: JSON cannot express it"),
        ([{"a": "\ud800"}], "item 1: JSON cannot express it: .*surrogates"),
        ([circle], "item 1: JSON cannot express it: Circular"),
        ([{"a": "x" * 1000}], "item 1: it is longer than the 1000 bytes"),
    ],
)
def test_items_that_cannot_be_sent_are_refused(items, problem):
    with pytest.raises(AvalaConfigurationError, match="^items: .*" + problem):
        spool(items)


def test_an_error_of_the_generator_is_its_own():
    def items():
        yield {"a": 1}
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="database"):
        spool(items())
