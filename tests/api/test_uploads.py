"""Uploads against a real server: what arrives, and what is refused before anything is sent."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import pytest

from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaUploadError,
    is_fatal,
)
from airflow_provider_avala.api.uploads import UploadSummary, upload_items
from tests.api.item_server import LINE, accept, sender, stored
from tests.api.loopback import Clock, Server


@pytest.fixture
def items_file(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes(LINE * 10)
    return path


def test_every_line_arrives_once(items_file):
    with Server(accept) as server:
        summary = upload_items(sender(server), "ds_1", items_file, part_size=24)

    assert summary == UploadSummary("ds_1", items=10, parts=4, bytes=80)
    assert summary.as_dict() == {
        "dataset_id": "ds_1",
        "items": 10,
        "parts": 4,
        "bytes": 80,
        "resumed_parts": 0,
        "unknown_parts": 0,
    }
    assert stored(server) == {
        "items-00001.jsonl": LINE * 3,
        "items-00002.jsonl": LINE * 3,
        "items-00003.jsonl": LINE * 3,
        "items-00004.jsonl": LINE,
    }


def test_several_files_go_one_after_the_other(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(LINE)
    with Server(accept) as server:
        summary = upload_items(sender(server), "ds_1", [tmp_path / "a.jsonl", str(tmp_path / "b.jsonl")])

    assert (summary.items, summary.parts) == (2, 2)
    assert set(stored(server)) == {"a-00001.jsonl", "b-00002.jsonl"}


def test_items_from_memory_leave_no_file_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Server(accept) as server:
        summary = upload_items(sender(server), "ds_1", items=({"n": n} for n in range(1000)), part_size=4000)

    rows = [json.loads(line) for _, data in sorted(stored(server).items()) for line in data.splitlines()]
    assert rows == [{"n": n} for n in range(1000)]
    assert summary.items == 1000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [[{"n": 1}], ({"n": n} for n in (1,)), [{"n": 1}].__iter__()])
def test_rows_may_be_given_as_the_source(rows):
    with Server(accept) as server:
        assert upload_items(sender(server), "ds_1", rows).items == 1


@pytest.mark.parametrize("source", [5, {"n": 1}, [1], b"a.jsonl"])
def test_what_is_neither_a_file_nor_rows_is_refused(source):
    with Server(accept) as server, pytest.raises(AvalaConfigurationError, match="source: expected a path"):
        upload_items(sender(server), "ds_1", source)


def test_each_part_has_a_key_of_its_own_that_is_the_same_next_time(items_file):
    def keys(dataset_id="ds_1", scope="one run"):
        with Server(accept) as server:
            upload_items(sender(server), dataset_id, items_file, part_size=24, idempotency_scope=scope)
        return {seen.headers["Idempotency-Key"] for seen in server.seen}

    first = keys()
    assert len(first) == 4
    assert keys() == first
    assert not keys(scope="another run") & first
    assert not keys("ds_2") & first
    assert not keys(scope="") & keys(scope="")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "source, items: got neither"),
        ({"source": "a.jsonl", "items": [{}]}, "source, items: got both"),
        (
            {"items": [{}], "part_size": 0},
            "part_size: 0 is not possible; use a whole number from 1 to 99934464",
        ),
        ({"items": [{}], "part_size": 100_000_000}, "part_size: 100000000"),
        ({"items": [{}], "part_size": 1.5}, "part_size: 1.5"),
        ({"items": [{}], "concurrency": 0}, "concurrency: 0"),
        ({"items": [{}], "concurrency": True}, "concurrency: True"),
        ({"items": [{}], "concurrency": 65}, "concurrency: 65"),
        ({"items": [{}], "dataset_id": ""}, "dataset_id: "),
        ({"items": [{}], "dataset_id": None}, "dataset_id: .*got None"),
        ({"items": [{"a": 1}, {"a": {1}}]}, "items: item 2: .*nothing was sent"),
        ({"source": "/no/such/file"}, "source: cannot read /no/such/file"),
        ({"items": [{}], "validate": "no"}, "validate: 'no' is not possible"),
        ({"items": [{}], "on_unknown": "hope"}, "on_unknown: 'hope' .* 'retry', 'fail', 'verify'"),
        ({"items": [{}], "on_unknown": "verify"}, "on_unknown: 'verify' needs .* legacy dialect"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_sent(arguments, problem):
    with (
        Server(accept) as server,
        pytest.raises(AvalaConfigurationError, match="^" + problem),
    ):
        upload_items(sender(server), **{"dataset_id": "ds_1", **arguments})

    assert server.seen == []


def test_a_bad_line_stops_before_its_part_is_sent(items_file):
    items_file.write_bytes(LINE * 1000 + b'{"a":\n')
    with Server(accept) as server, pytest.raises(AvalaUploadError) as caught:
        upload_items(sender(server), "ds_1", items_file, part_size=800)

    text = str(caught.value).replace(str(items_file), "F")
    assert "line 1001 of F: not JSON: Expecting value" in text
    assert "Avala accepted 1000 items: lines 1-1000 of F" in text
    assert is_fatal(caught.value)
    assert len(server.seen) == 10


def test_a_bad_line_in_the_first_part_keeps_everything_from_being_sent(items_file):
    items_file.write_bytes(LINE * 10 + b'{"a":\n')
    with (
        Server(accept) as server,
        pytest.raises(AvalaConfigurationError, match=r"line 11 of .*items\.jsonl"),
    ):
        upload_items(sender(server), "ds_1", items_file)

    assert server.seen == []


def test_what_is_not_checked_is_sent_as_it_is(items_file):
    items_file.write_bytes(LINE * 10 + b"no JSON\n\n" + LINE)
    with Server(accept) as server:
        summary = upload_items(sender(server), "ds_1", items_file, part_size=80, validate=False)

    assert (summary.items, summary.parts) == (12, 2)
    assert b"".join(data for _, data in sorted(stored(server).items())) == items_file.read_bytes()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_parts_than_allowed_are_under_way(items_file, concurrency):
    items_file.write_bytes(LINE * 30)
    together, most, lock, full = 0, 0, threading.Lock(), threading.Barrier(concurrency)

    def respond(exchange, seen, number):
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        full.wait(10)
        with lock:
            together -= 1
        full.wait(10)
        exchange.reply(201)

    with Server(respond) as server:
        summary = upload_items(sender(server), "ds_1", items_file, part_size=8, concurrency=concurrency)

    assert most == concurrency
    assert summary.parts == 30


class SteppingClock(Clock):
    """Some seconds pass whenever somebody looks."""

    def __init__(self, step=4):
        super().__init__()
        self.step = step

    def monotonic(self):
        self.now += self.step
        return self.now


def test_progress_is_told_every_ten_seconds(items_file):
    told = []
    with Server(accept) as server:
        upload_items(
            sender(server),
            "ds_1",
            items_file,
            part_size=8,
            clock=SteppingClock(),
            concurrency=1,
            progress=lambda now: told.append((now.summary.items, now.rate, now.share)),
        )

    assert told == [(3, 2.0, 0.3), (6, 2.0, 0.6), (9, 2.0, 0.9)]


def test_progress_is_logged_by_default(items_file, caplog):
    with Server(accept) as server, caplog.at_level(logging.INFO):
        upload_items(
            sender(server), "ds_1", items_file, part_size=40, concurrency=1, clock=SteppingClock(step=10)
        )

    assert "dataset ds_1: Avala has accepted 5 items, 0.0 MB, at 0.0 MB/s, 50% done" in caplog.messages


@pytest.fixture
def full_disk():
    """From half a megabyte on, this process can write no further byte to any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_temporary_folder_is_told_from_a_bad_item(tmp_path, monkeypatch, full_disk):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(AvalaUploadError, match=r"takes no more: File too large.*TMPDIR") as caught:
        upload_items(lambda body, headers, **how: None, "ds_1", items=({"n": n} for n in range(100_000)))

    assert not is_fatal(caught.value)
    assert caught.value.summary.items == 0
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_given_iterable_stays_its_own():
    def items():
        yield {"a": 1}
        raise ConnectionResetError(104, "the database is gone")

    with pytest.raises(ConnectionResetError):
        upload_items(lambda body, headers, **how: None, "ds_1", items=items())


def test_memory_does_not_grow_with_the_upload(tmp_path):
    script = textwrap.dedent("""
        import resource, sys
        from airflow_provider_avala.api.uploads import upload_items
        from airflow_provider_avala.api import multipart

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        def send(body, headers, **how):
            assert sum(map(len, body)) == len(body)

        before = peak()
        summary = upload_items(send, "ds_1", items=({"n": n, "pad": "x" * 10_000} for n in range(8000)))
        assert summary.bytes > 80_000_000
        print(peak() - before)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert float(done.stdout) < 20


def test_dag_files_load_no_http_library():
    script = (
        "import sys, airflow_provider_avala.api.uploads; print({'requests', 'urllib3'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )

    assert done.stdout.strip() == "set()"
