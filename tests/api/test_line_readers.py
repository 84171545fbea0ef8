"""Whole lines, a block at a time: of a file and of a stream alike."""

import io
import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api import line_readers
from airflow_provider_avala.api.line_readers import FileLines, StreamLines

MARK = b"\xef\xbb\xbf"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """So that a few bytes already make several blocks."""
    monkeypatch.setattr(line_readers, "_BLOCK", 16)
    monkeypatch.setattr(line_readers, "_WINDOW", 4)


def of_file(data):
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        yield FileLines(file.fileno())


def of_stream(data):
    yield StreamLines(io.BytesIO(data).read)


def of_drops(data):
    """A stream that gives less than it is asked for."""
    source = io.BytesIO(data)
    yield StreamLines(lambda size: source.read(min(size, 3)))


def of_slow_file(data):
    """A file system that gives less than it is asked for, which it may."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        patch.setattr(os, "pread", lambda *args, pread=os.pread: pread(args[0], min(args[1], 3), args[2]))
        yield FileLines(file.fileno())


readers = pytest.mark.parametrize("reader", [of_file, of_slow_file, of_stream, of_drops])
lines = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"-") + b"\n"), max_size=20)


@readers
@given(lines=lines, last_ends=st.booleans(), mosts=st.lists(st.integers(0, 60), min_size=1))
def test_what_is_taken_is_whole_lines_and_all_of_them(reader, lines, last_ends, mosts):
    data = b"".join(lines) if last_ends else b"".join(lines)[:-1]
    left = io.BytesIO(data).readlines()
    for subject in reader(data):
        while True:
            most = mosts.pop(0) if mosts else 100
            taken = subject.take(most)
            if taken is None:
                break
            if not taken:
                assert not left or len(left[0]) > most
            assert len(taken) <= most
            while taken:
                assert taken.startswith(left[0])
                taken = taken[len(left.pop(0)) :]
    assert not left


@readers
@given(lines=lines, size=st.integers(len(MARK), 50))
def test_what_is_peeked_at_stays_until_it_is_skipped(reader, lines, size):
    data = MARK + b"".join(lines)
    for subject in reader(data):
        assert subject.peek(size) == subject.peek(size) == data[:size]
        subject.skip(len(MARK))
        taken = []
        while (found := subject.take(100)) is not None:
            taken.append(found)
    assert MARK + b"".join(taken) == data


@readers
@pytest.mark.parametrize("last", [b"y" * 50 + b"\n", b""])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_just_fits_is_taken(reader, last, end):
    for size in range(2, 40):
        line = b"x" * (size - 1) + (end if not last else b"\n")
        for most in range(len(line) - 1, len(line) + 20):
            for subject in reader(line + last):
                assert subject.take(most) == (line if most >= len(line) else b"")


def test_a_long_line_is_not_looked_through_again_and_again(monkeypatch):
    read, pread = 0, os.pread

    def counted(*args):
        nonlocal read
        found = pread(*args)
        read += len(found)
        return found

    monkeypatch.setattr(os, "pread", counted)
    data = b"x" * 10_000 + b"\n"
    for subject in of_file(data):
        assert subject.take(20_000) == data

    assert read < 10 * len(data)


def test_a_file_that_gets_shorter_while_it_is_read_ends_there():
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"12345\n" * 10)
        subject = FileLines(file.fileno())
        subject.take(12)
        file.truncate(18)

        assert (subject.take(100), subject.take(100)) == (b"12345\n", None)

        file.truncate(6)
        assert subject.take(100) is None


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_file_that_grows_while_it_is_read_is_not_cut_within_a_line(monkeypatch, moment):
    reads, pread = 0, os.pread
    with tempfile.TemporaryFile(buffering=0) as file:

        def grown(*args):
            nonlocal reads
            reads += 1
            found = pread(*args)
            if reads == moment:
                file.write(b"67890123\n" * 3)
            return found

        file.write(b"12345\n" * 2)
        subject = FileLines(file.fileno())
        monkeypatch.setattr(os, "pread", grown)
        taken = list(iter(lambda: subject.take(100), None))

    assert taken
    assert all(lines.endswith(b"\n") for lines in taken)
