"""Uploads against a real server: what arrives, and the account given when something goes wrong."""

from __future__ import annotations

import json
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import pytest
import requests

from airflow_provider_avala.api import uploads
from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaConnectionError,
    AvalaNotFoundError,
    AvalaProtocolError,
    AvalaServerError,
    AvalaUploadError,
    AvalaValidationError,
    error_from_response,
    is_fatal,
)
from airflow_provider_avala.api.uploads import UploadSummary, outcome_unknown, stated_count, upload_items
from tests.api.loopback import Clock, Server
from tests.api.test_multipart import parse

LINE = b'{"a":1}\n'


def sender(server):
    """Post one part for real, as the client does."""

    def send(body, headers):
        headers = {**headers, "Content-Type": body.content_type}
        try:
            answer = requests.post(server.url + "/items", data=body, headers=headers, timeout=10)
        except requests.RequestException as error:
            raise AvalaConnectionError(f"the connection broke: {type(error).__name__}", sent=True) from None
        if answer.status_code >= 300:
            raise error_from_response(
                answer.status_code, answer.headers, answer.content, method="POST", path="/items"
            )
        return answer.json() if answer.content else None

    return send


def stored(server):
    """The lines of all parts that arrived, by file name."""
    files = [parse(seen.headers["Content-Type"], seen.body)[0] for seen in server.seen]
    return {name.decode(): data for _, name, data in files}


def accept(exchange, seen, number):
    exchange.reply(201, b"{}")


@pytest.fixture
def items_file(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes(LINE * 10)
    return path


def test_every_line_arrives_once(items_file):
    with Server(accept) as server:
        summary = upload_items(sender(server), "ds_1", items_file, part_size=24)

    assert summary == UploadSummary("ds_1", items=10, parts=4, bytes=80)
    assert summary.as_dict() == {"dataset_id": "ds_1", "items": 10, "parts": 4, "bytes": 80}
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


def test_each_part_has_a_key_of_its_own_that_is_the_same_next_time(items_file):
    def keys(dataset_id="ds_1", **options):
        with Server(accept) as server:
            upload_items(sender(server), dataset_id, items_file, part_size=24, **options)
        return {seen.headers["Idempotency-Key"] for seen in server.seen}

    first = keys()
    assert len(first) == 4
    assert keys() == first
    assert not keys(idempotency_scope="another run") & first
    assert not keys("ds_2") & first


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
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_sent(arguments, problem):
    with (
        Server(accept) as server,
        pytest.raises(AvalaConfigurationError, match="^" + problem),
    ):
        upload_items(sender(server), **{"dataset_id": "ds_1", **arguments})

    assert server.seen == []


def test_a_bad_last_line_keeps_all_the_others_from_being_sent(items_file):
    items_file.write_bytes(LINE * 1000 + b'{"a":\n')
    with (
        Server(accept) as server,
        pytest.raises(AvalaConfigurationError, match=r"line 1001 of .*items\.jsonl"),
    ):
        upload_items(sender(server), "ds_1", items_file, part_size=80)

    assert server.seen == []


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


def refuse_part(number, status, body=b"", **headers):
    def respond(exchange, seen, count):
        if count == number:
            exchange.reply(status, body, **headers)
        else:
            exchange.reply(201, b"{}")

    return respond


@pytest.mark.parametrize(
    ("status", "error"), [(404, AvalaNotFoundError), (400, AvalaValidationError), (422, AvalaValidationError)]
)
def test_a_refusal_of_the_first_part_is_raised_as_it_is(items_file, status, error):
    with Server(refuse_part(1, status, b'{"detail": "No."}')) as server, pytest.raises(error) as caught:
        upload_items(sender(server), "ds_1", items_file, part_size=24, concurrency=1)

    assert len(server.seen) == 1
    assert is_fatal(caught.value)


def test_a_refusal_later_on_gives_an_exact_account(items_file):
    with (
        Server(refuse_part(3, 400, b'{"detail": "Bad row."}')) as server,
        pytest.raises(AvalaUploadError) as caught,
    ):
        upload_items(sender(server), "ds_1", items_file, part_size=24, concurrency=1)

    error = caught.value
    assert error.summary == UploadSummary("ds_1", items=6, parts=2, bytes=48)
    assert error.unknown_parts == 0
    assert isinstance(error.__cause__, AvalaValidationError)
    assert is_fatal(error)
    text = str(error).replace(str(items_file), "F")
    assert "Bad row" in text
    assert "Avala accepted 6 items: lines 1-6 of F" in text
    assert "not stored: lines 7-9 of F" in text
    assert "not sent: lines 10-10 of F" in text
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("respond", "cause"),
    [
        (lambda exchange: exchange.reply(502, b"<html>"), AvalaServerError),
        (lambda exchange: exchange.reset(), AvalaConnectionError),
    ],
)
@pytest.mark.parametrize("number", [1, 3])
def test_a_part_without_an_answer_is_reported_as_unknown(items_file, respond, cause, number):
    def answer(exchange, seen, count):
        if count == number:
            respond(exchange)
        else:
            exchange.reply(201)

    with Server(answer) as server, pytest.raises(AvalaUploadError) as caught:
        upload_items(sender(server), "ds_1", items_file, part_size=24, concurrency=1)

    error = pickle.loads(pickle.dumps(caught.value))
    first = 3 * number - 2
    assert f"lines {first}-{first + 2} of {items_file} may or may not have been stored" in str(error)
    assert error.unknown_parts == 1
    assert error.summary.parts == number - 1
    assert is_fatal(error)
    assert isinstance(caught.value.__cause__, cause)


def test_parts_under_way_are_counted_and_no_further_one_begins(items_file):
    both = threading.Barrier(2)
    failed = threading.Event()

    def respond(exchange, seen, number):
        both.wait(10)
        part = next(iter(stored_one(seen)))
        if part == "items-00001.jsonl":
            exchange.reply(400)
            failed.set()
        else:
            assert failed.wait(10)
            exchange.reply(201)

    def stored_one(seen):
        return [name.decode() for _, name, _ in parse(seen.headers["Content-Type"], seen.body)]

    with Server(respond) as server:
        real = sender(server)
        refused = threading.Event()

        def send(body, headers):
            # The answer to the second part counts only if it comes after the first was refused.
            try:
                answer = real(body, headers)
            except AvalaValidationError:
                refused.set()
                raise
            assert refused.wait(10)
            return answer

        with pytest.raises(AvalaUploadError) as caught:
            upload_items(send, "ds_1", items_file, part_size=24, concurrency=2)

    assert caught.value.summary.items == 3
    assert caught.value.summary.parts == 1
    assert "lines 4-6" in str(caught.value)
    assert len(server.seen) <= 3


@pytest.mark.parametrize(
    ("answer", "fails"),
    [
        ({"accepted": 10}, False),
        ({"accepted": 9}, True),
        ({"created": 0}, True),
        ({"count": 5000}, False),
        ({"items": [1, 2]}, False),
        ({"items": 3}, True),
        ({}, False),
    ],
)
def test_a_count_below_what_was_sent_is_not_passed_over(items_file, answer, fails):
    with Server(lambda exchange, seen, number: exchange.reply(201, json.dumps(answer).encode())) as server:
        if not fails:
            assert upload_items(sender(server), "ds_1", items_file).items == 10
            return
        with pytest.raises(AvalaUploadError, match=r"accepted \d of the 10 items .*lines 1-10") as caught:
            upload_items(sender(server), "ds_1", items_file)

    assert caught.value.unknown_parts == 1


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (None, None),
        ([1], None),
        ("ok", None),
        ({"uid": "x"}, None),
        ({"accepted": True}, None),
        ({"accepted": "5"}, None),
        ({"accepted": None, "count": 5}, 5),
        ({"items": 4, "accepted": 5}, 5),
    ],
)
def test_counts_are_recognised_by_their_key(answer, count):
    assert stated_count(answer) == count


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (AvalaConnectionError("", sent=True), True),
        (AvalaConnectionError("", sent=False), False),
        (AvalaProtocolError(""), True),
        (AvalaServerError(503, method="POST", path="/"), True),
        (AvalaNotFoundError(404, method="POST", path="/"), False),
        (ZeroDivisionError(), True),
    ],
)
def test_when_an_outcome_is_unknown(error, unknown):
    assert outcome_unknown(error) is unknown


def test_a_file_changed_meanwhile_ends_the_upload(items_file):
    def respond(exchange, seen, number):
        if number == 1:
            items_file.write_bytes(b'{"b":2}\n' * 10)
        exchange.reply(201)

    with Server(respond) as server, pytest.raises(AvalaUploadError, match="was changed") as caught:
        upload_items(sender(server), "ds_1", items_file, part_size=24, concurrency=1)

    assert caught.value.summary.items == 3
    assert caught.value.unknown_parts == 0
    assert "not stored: lines 4-6" in str(caught.value)
    assert all(b'"b"' not in data for data in stored(server).values())


class SteppingClock(Clock):
    """Four seconds pass whenever somebody looks."""

    def monotonic(self):
        self.now += 4
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
            progress=lambda done, total: told.append((done.items, total.items)),
        )

    assert told == [(3, 10), (6, 10), (9, 10)]


def test_progress_is_logged_by_default(caplog):
    with caplog.at_level(logging.INFO):
        uploads._log_progress(UploadSummary("ds_1", 5, 1, 500_000), UploadSummary("ds_1", 10, 2, 1_000_000))

    assert caplog.messages == ["dataset ds_1: Avala has accepted 5 of 10 items, 0.5 of 1.0 MB"]


@pytest.fixture
def full_disk():
    """From half a megabyte on, this process can write no further byte to any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_temporary_folder_is_told_from_a_bad_item(tmp_path, monkeypatch, full_disk):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(AvalaUploadError, match=r"cannot be written to .*: File too large.*TMPDIR") as caught:
        upload_items(lambda body, headers: None, "ds_1", items=({"n": n} for n in range(100_000)))

    assert not is_fatal(caught.value)
    assert caught.value.summary.items == 0
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_given_iterable_stays_its_own():
    def items():
        yield {"a": 1}
        raise ConnectionResetError(104, "the database is gone")

    with pytest.raises(ConnectionResetError):
        upload_items(lambda body, headers: None, "ds_1", items=items())


def test_many_ranges_are_shortened(tmp_path):
    paths = []
    for number in range(9):
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_bytes(LINE)
    with Server(refuse_part(1, 502)) as server, pytest.raises(AvalaUploadError) as caught:
        upload_items(sender(server), "ds_1", paths, concurrency=1)

    assert "3 more ranges" in str(caught.value)


def test_memory_does_not_grow_with_the_upload(tmp_path):
    script = textwrap.dedent("""
        import resource, sys
        from airflow_provider_avala.api.uploads import upload_items
        from airflow_provider_avala.api import multipart

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        def send(body, headers):
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


def test_a_killed_task_ends_although_a_part_waits_for_its_answer(items_file):
    script = textwrap.dedent(f"""
        import logging, signal, sys, time
        import requests
        from airflow_provider_avala.api.uploads import upload_items

        logging.basicConfig()

        def stop(number, frame):
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)

        def send(body, headers):
            requests.post(sys.argv[1], data=body, headers={{"Content-Type": body.content_type}}, timeout=60)

        upload_items(send, "ds_1", {str(items_file)!r}, part_size=24, concurrency=2)
    """)
    arrived, release = threading.Semaphore(0), threading.Event()

    def respond(exchange, seen, number):
        if number == 1:
            return exchange.reply(201)
        arrived.release()
        release.wait(30)

    with Server(respond) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", script, server.url], stderr=subprocess.PIPE, text=True
        )
        try:
            assert arrived.acquire(timeout=30)
            assert arrived.acquire(timeout=30)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=10)
        finally:
            process.kill()
            release.set()

    assert process.returncode != 0
    assert "was interrupted: Avala has accepted lines " in said
    assert "up to 2 of them" in said


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
