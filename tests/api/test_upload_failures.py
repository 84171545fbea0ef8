"""Uploads that go wrong: what is raised, and the account given of what Avala has and has not."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from airflow_provider_avala.api import sources
from airflow_provider_avala.api.errors import (
    AvalaConnectionError,
    AvalaNotFoundError,
    AvalaProtocolError,
    AvalaServerError,
    AvalaUploadError,
    AvalaValidationError,
    is_fatal,
)
from airflow_provider_avala.api.part_outcomes import outcome_unknown, stated_count
from airflow_provider_avala.api.uploads import UploadSummary, upload_items
from tests.api.item_server import LINE, sender, stored
from tests.api.loopback import Clock, Server
from tests.api.test_multipart import parse


@pytest.fixture
def items_file(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes(LINE * 10)
    return path


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
    assert "what follows was not sent" in text
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

        def send(body, headers, **how):
            # The answer to the second part counts only if it comes after the first was refused.
            try:
                answer = real(body, headers, **how)
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


@pytest.mark.parametrize("size", [0, 24], ids=["emptied", "cut after the first part"])
def test_a_file_shortened_meanwhile_does_not_pass_for_whole(items_file, size):
    def respond(exchange, seen, number):
        os.truncate(items_file, size)
        exchange.reply(201)

    with Server(respond) as server, pytest.raises(AvalaUploadError, match="was changed, shortened") as caught:
        upload_items(sender(server), "ds_1", items_file, part_size=24, concurrency=1)

    assert (caught.value.summary.items, caught.value.unknown_parts) == (3, 0)


def test_a_part_changed_on_its_way_is_in_doubt(items_file, monkeypatch):
    monkeypatch.setattr(sources, "_TICK", -1.0)

    def respond(exchange, seen, number):
        items_file.write_bytes(b'{"b":2}\n' * 12)
        exchange.reply(201)

    with Server(respond) as server, pytest.raises(AvalaUploadError, match="may be a mixture") as caught:
        upload_items(sender(server), "ds_1", items_file, part_size=24, concurrency=1)

    assert caught.value.unknown_parts == 1
    assert "lines 1-3" in str(caught.value)
    assert "may or may not have been stored" in str(caught.value)


def test_many_ranges_are_shortened(tmp_path):
    paths = []
    for number in range(9):
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_bytes(LINE)
    with Server(refuse_part(9, 502)) as server, pytest.raises(AvalaUploadError) as caught:
        upload_items(sender(server), "ds_1", paths, concurrency=1)

    assert "3 more ranges" in str(caught.value)


class Impatient(Clock):
    """A minute passes whenever somebody looks."""

    def monotonic(self):
        self.now += 60
        return self.now


def test_an_interrupted_upload_breaks_off_what_is_being_sent(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes((b'{"a":"%s"}\n' % (b"x" * 99_991)) * 40)
    under_way, interrupted, broke_off = threading.Event(), threading.Event(), threading.Event()

    def send(body, headers, **how):
        if threading.current_thread().name == "avala-upload-0":
            assert under_way.wait(10)
            return
        chunks = iter(body)
        next(chunks), next(chunks)
        under_way.set()
        assert interrupted.wait(10)
        with pytest.raises(Exception, match="the upload was stopped"):
            next(chunks)
        broke_off.set()

    def interrupt(now):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload_items(
            send, "ds_1", path, part_size=2_000_000, concurrency=2, progress=interrupt, clock=Impatient()
        )
    interrupted.set()

    assert broke_off.wait(10)


def test_a_killed_task_ends_although_a_part_waits_for_its_answer(items_file):
    script = textwrap.dedent(f"""
        import logging, signal, sys, time
        import requests
        from airflow_provider_avala.api.uploads import upload_items

        logging.basicConfig()

        def stop(number, frame):
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)

        def send(body, headers, **how):
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
