"""The journal of an upload: ranges, what is read back, and what is not believed."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.upload_journal import FileStore, Journal, Range, with_part

IDENTITY = ("ds", "run")


class FakePart:
    def __init__(self, number):
        self.number, self.items, self.size = number, 10 * number, 100
        self.digest = f"{random.Random(number).getrandbits(128):032x}"


def single(number):
    return Range.of(FakePart(number))


@given(st.sets(st.integers(1, 60), min_size=1), st.randoms())
def test_ranges_are_the_same_in_whatever_order_parts_are_accepted(numbers, random):
    shuffled = list(numbers)
    random.shuffle(shuffled)
    found, ordered = (), ()
    for number in shuffled:
        found = with_part(found, single(number))
    for number in sorted(numbers):
        ordered = with_part(ordered, single(number))

    assert found == ordered
    assert sum(each.items for each in found) == 10 * sum(numbers)
    assert [number for each in found for number in range(each.first, each.last + 1)] == sorted(numbers)
    assert all(one.last + 1 < other.first for one, other in pairwise(found))


@pytest.fixture
def store(tmp_path):
    return FileStore(str(tmp_path / "state"), "https://host", "scope")


def test_what_was_noted_is_read_by_the_next_attempt(store):
    journal = Journal(store, *IDENTITY, 1000)
    journal.note_total(7)
    for number in (1, 2, 4, 5):
        journal.begin(FakePart(number))
    for number in (1, 4, 2):
        journal.accept(FakePart(number))
    earlier = Journal(store, *IDENTITY, 1000).earlier

    assert [(each.first, each.last) for each in earlier.accepted] == [(1, 2), (4, 4)]
    assert earlier.sending == {5: FakePart(5).digest}
    assert (earlier.last, earlier.parts, earlier.items, earlier.bytes) == (5, 3, 70, 300)
    assert (earlier.total_before, earlier.part_size, earlier.done) == (7, 1000, False)
    assert earlier.range_of(2).first == 1
    assert earlier.range_of(3) is None


def test_a_part_that_an_earlier_attempt_left_in_doubt_stays_so(store):
    Journal(store, *IDENTITY, 1000).begin(FakePart(1))
    journal = Journal(store, *IDENTITY, 1000)
    journal.begin(FakePart(1))
    journal.forget(FakePart(1))
    journal.begin(FakePart(2))
    journal.forget(FakePart(2))

    assert list(Journal(store, *IDENTITY, 1000).earlier.sending) == [1]


@pytest.mark.parametrize("other", [{"dataset_id": "another"}, {"version": 0}])
def test_notes_about_another_upload_are_not_read(store, other):
    Journal(store, *IDENTITY, 1000).accept(FakePart(1))
    store.save(store.load() | other)

    assert not Journal(store, *IDENTITY, 1000).earlier.accepted


def test_an_unfinished_upload_keeps_its_scope_whoever_goes_on_with_it(store):
    Journal(store, "ds", "first", 1000).accept(FakePart(1))
    second = Journal(store, "ds", "second", 1000)
    assert (second.scope, second.earlier.parts) == ("first", 1)
    second.accept(FakePart(2))
    second.close()
    again = Journal(store, "ds", "second", 1000)
    assert (again.scope, again.earlier.parts, again.earlier.done) == ("first", 2, True)


@pytest.mark.parametrize("next_run", ["first", "third"])
def test_a_finished_upload_is_over_for_all_but_the_run_that_finished_it(store, next_run):
    Journal(store, "ds", "first", 1000).accept(FakePart(1))
    Journal(store, "ds", "second", 1000).close()
    journal = Journal(store, "ds", next_run, 1000)
    assert (journal.scope, journal.earlier.parts) == (next_run, 0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}'])
def test_a_broken_file_is_as_none(store, content):
    Journal(store, *IDENTITY, 1000).accept(FakePart(1))
    store.path.write_bytes(content)

    assert not Journal(store, *IDENTITY, 1000).earlier.accepted


def test_the_file_is_private_and_says_nothing_of_what_it_is_about(store):
    Journal(store, *IDENTITY, 1000).accept(FakePart(1))

    assert store.path.stat().st_mode & 0o077 == 0
    assert "scope" not in store.path.name
    assert [path.name for path in store.path.parent.iterdir()] == [store.path.name]


def test_files_that_nobody_went_on_with_are_removed(store, tmp_path):
    Journal(store, *IDENTITY, 1000).accept(FakePart(1))
    os.utime(store.path, (0, 0))
    other = FileStore(str(tmp_path / "state"), "https://host", "other")
    Journal(other, "ds", "other", 1000).accept(FakePart(1))

    assert list(store.path.parent.iterdir()) == [other.path]


def test_an_upload_goes_on_where_nothing_can_be_noted(caplog):
    class Broken:
        def load(self):
            return None

        def save(self, value):
            raise ConnectionError("the scheduler is away")

    journal = Journal(Broken(), *IDENTITY, 1000)
    journal.begin(FakePart(1))
    journal.accept(FakePart(1))

    assert not journal.is_kept
    assert len(caplog.messages) == 1
    assert "no retry can go on with it" in caplog.text


def test_the_journal_stays_small():
    values = []

    class Memory:
        def load(self):
            return None

        def save(self, value):
            values.append(json.dumps(value))

    journal = Journal(Memory(), *IDENTITY, 1000)
    for number in range(1, 2000):
        journal.begin(FakePart(number))
        journal.accept(FakePart(number))

    assert max(map(len, values)) < 500


class SlowStore:
    """Keeps what it is told in memory, once the test lets it."""

    def __init__(self):
        self.saved, self.begun, self.go_on = [], threading.Semaphore(0), threading.Semaphore(0)

    def load(self):
        return None

    def save(self, value):
        self.begun.release()
        assert self.go_on.acquire(timeout=10)
        self.saved.append(value)


def test_what_several_threads_note_while_one_writes_is_written_at_once():
    store = SlowStore()
    journal = Journal(store, *IDENTITY, 1000)
    threads = [threading.Thread(target=journal.begin, args=(FakePart(number),)) for number in range(1, 6)]
    threads[0].start()
    assert store.begun.acquire(timeout=10)
    for thread in threads[1:]:
        thread.start()
    deadline = time.monotonic() + 10
    while journal._changes < 5 and time.monotonic() < deadline:
        threads[1].join(0.01)
    store.go_on.release(2)
    for thread in threads:
        thread.join(10)

    assert [[number for number, _ in value["sending"]] for value in store.saved] == [[1], [1, 2, 3, 4, 5]]
