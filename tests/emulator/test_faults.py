"""Every fault, as a client sees it, and whether the request took effect."""

from __future__ import annotations

import re
import socket
import threading
import time

import pytest
import requests

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, faults, running_emulator
from tests.emulator.support import eventually

ITEMS = f"/datasets/{SEED_DATASET_ID}/items/"
FILE = {"file": ("f", b'{"a": 1}')}
LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.mark.parametrize(
    ("fault", "effect"),
    [
        (faults.reset_before_commit(), 0),
        (faults.reset_after_commit(), 1),
        (faults.reset_mid_body(), 1),
        (faults.truncated(), 1),
        (faults.truncated_chunked(), 1),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_lost_answer_took_effect_or_not_as_it_says(start, dialect, fault, effect):
    avala, client = start(dialect=dialect)
    avala.inject(fault, method="POST")
    with pytest.raises(LOST):
        client.post(ITEMS, files=FILE)
    assert len(avala.items(SEED_DATASET_ID)) == effect
    (record,) = avala.requests
    assert record.fault == fault.name
    assert b'{"a": 1}' in record.body
    assert record.status == (None if fault.name.endswith("_commit") else 201)
    assert client.post(ITEMS, files=FILE).status_code == 201


@pytest.mark.parametrize("fault", [faults.reset_before_commit(), faults.reset_after_commit()])
def test_a_reset_is_a_reset_and_not_a_close(start, fault):
    avala, client = start()
    avala.inject(fault)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.get("/exports/")


def read_until_cut(reply) -> tuple[bytes, Exception | None]:
    """Read a body byte by byte; return what arrived and the error that ended it."""
    received = b""
    try:
        for piece in reply.iter_content(1):
            received += piece
    except requests.RequestException as error:
        return received, error
    return received, None


@pytest.mark.parametrize("fault", [faults.truncated(10), faults.truncated_chunked(10)])
def test_a_truncated_body_ends_after_the_bytes_ordered(start, fault):
    avala, client = start()
    avala.inject(fault)
    reply = client.get("/exports/", stream=True)
    assert reply.status_code == 200
    received, error = read_until_cut(reply)
    assert (len(received), type(error)) == (10, requests.exceptions.ChunkedEncodingError)
    assert ("Content-Length" in reply.headers) == (fault.name == "truncated")


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 413, 422, 429, 500, 503])
def test_a_status_comes_in_the_envelope_of_the_dialect(start, dialect, code):
    avala, client = start(dialect=dialect)
    avala.inject(faults.status(code))
    reply = client.post(ITEMS, files=FILE)
    assert reply.status_code == code
    assert reply.json()["detail" if dialect == "current" else "error"]
    assert avala.items(SEED_DATASET_ID) == []
    assert (avala.requests[0].fault, avala.requests[0].status) == ("status", code)
    assert ("Retry-After" in reply.headers) == (code == 429)


def test_a_status_can_have_any_body_and_headers(start):
    avala, client = start(rate_limits="100/60")
    avala.inject(
        faults.status(
            429, {"mine": 1}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "x-ratelimit-RESET": None}
        )
    )
    reply = client.get("/exports/")
    assert reply.json() == {"mine": 1}
    assert reply.headers["Retry-After"].startswith("Wed")
    assert reply.headers["X-RateLimit-Limit"] == "100"
    assert "X-RateLimit-Reset" not in reply.headers
    avala.inject(faults.status(200, "plain", {"Content-Type": "text/plain"}))
    assert client.get("/exports/").text == "plain"
    avala.inject(faults.status(204))
    assert client.get("/exports/").content == b""


@pytest.mark.parametrize(
    "fault", [faults.status(503, after_commit=True), faults.html(504, after_commit=True)]
)
def test_an_error_after_the_commit_took_effect(start, fault):
    avala, client = start()
    avala.inject(fault)
    assert client.post(ITEMS, files=FILE).status_code == fault.options["code"]
    assert len(avala.items(SEED_DATASET_ID)) == 1


def test_a_gateway_page_is_html_without_the_headers_of_the_api(start):
    avala, client = start(rate_limits="100/60")
    avala.inject(faults.html())
    reply = client.get("/exports/")
    assert (reply.status_code, reply.headers["Content-Type"]) == (502, "text/html")
    assert "502 Bad Gateway" in reply.text
    assert "X-RateLimit-Limit" not in reply.headers


def test_a_redirect_points_where_it_was_told_without_effect(start):
    avala, client = start()
    avala.inject(faults.redirect("https://elsewhere.example/x", 307))
    reply = client.post(ITEMS, files=FILE)
    assert (reply.status_code, reply.headers["Location"]) == (307, "https://elsewhere.example/x")
    assert avala.items(SEED_DATASET_ID) == []


@pytest.mark.parametrize(
    ("fault", "content"),
    [(faults.bad_json(), b'{"results": ['), (faults.bad_json("<"), b"<"), (faults.empty_body(), b"")],
)
def test_a_spoilt_body_keeps_status_and_effect(start, fault, content):
    avala, client = start()
    avala.inject(fault)
    reply = client.post(ITEMS, files=FILE)
    assert (reply.status_code, reply.content) == (201, content)
    assert reply.headers["Content-Type"] == "application/json"
    assert len(avala.items(SEED_DATASET_ID)) == 1


@pytest.mark.parametrize(
    ("fault", "effect"), [(faults.hang_before_commit(), 0), (faults.hang_after_commit(), 1)]
)
def test_a_hang_outlasts_the_client_and_took_effect_or_not(start, fault, effect):
    avala, client = start()
    avala.inject(fault)
    with pytest.raises(requests.ReadTimeout):
        client.post(ITEMS, files=FILE, timeout=0.3)
    eventually(lambda: avala.requests[0].body_size > 0)
    assert len(avala.items(SEED_DATASET_ID)) == effect
    assert avala.requests[0].status is None


@pytest.mark.parametrize("make", [faults.hang_before_commit, faults.hang_after_commit])
def test_a_hang_that_ends_in_time_answers_as_usual(start, make):
    avala, client = start()
    avala.inject(make(0.05))
    began = time.monotonic()
    reply = client.post(ITEMS, files=FILE)
    assert time.monotonic() - began >= 0.05
    assert (reply.status_code, reply.json()["accepted"]) == (201, 1)
    assert len(avala.items(SEED_DATASET_ID)) == 1


def test_a_slow_body_takes_its_time_and_arrives_whole(start):
    avala, client = start()
    whole = client.get("/datasets/").content
    avala.inject(faults.slow_body(0.2, pieces=5))
    began = time.monotonic()
    assert client.get("/datasets/").content == whole
    assert time.monotonic() - began >= 0.19


def test_a_slow_body_starves_a_client_with_a_shorter_timeout(start):
    avala, client = start()
    avala.inject(faults.slow_body(100, pieces=2))
    with pytest.raises(requests.ConnectionError, match="Read timed out"):
        client.get("/datasets/", timeout=0.1)


@pytest.mark.parametrize(
    ("order", "statuses"),
    [
        ({}, [503, 200, 200, 200]),
        ({"times": 2}, [503, 503, 200, 200]),
        ({"skip": 1}, [200, 503, 200, 200]),
        ({"skip": 1, "times": 2}, [200, 503, 503, 200]),
        ({"every": 2, "times": None}, [503, 200, 503, 200]),
        ({"every": 2, "times": 1, "skip": 1}, [200, 503, 200, 200]),
        ({"method": "POST"}, [200, 200, 200, 200]),
        ({"method": "get"}, [503, 200, 200, 200]),
        ({"path": "/exports"}, [200, 200, 503, 200]),
        ({"path": re.compile("me/$")}, [200, 503, 200, 200]),
        ({"origin": "storage"}, [200, 200, 200, 200]),
    ],
)
def test_a_fault_goes_to_the_requests_it_was_ordered_for(start, order, statuses):
    avala, client = start()
    avala.inject(faults.status(503), **order)
    assert [
        client.get(path).status_code for path in ("/datasets/", "/users/me/", "/exports/", "/exports/")
    ] == statuses
    avala.clear_faults()
    assert client.get("/datasets/").status_code == 200


def test_faults_come_in_the_order_they_were_ordered(start):
    avala, client = start()
    avala.inject(faults.status(500))
    avala.inject(faults.status(503))
    assert [client.get("/exports/").status_code for _ in range(3)] == [500, 503, 200]


@pytest.mark.parametrize("order", [{"times": 0}, {"skip": -1}, {"every": 0}, {"origin": "elsewhere"}])
def test_an_order_that_makes_no_sense_is_refused(start, order):
    avala, _ = start()
    with pytest.raises(ValueError, match=next(iter(order))):
        avala.inject(faults.html(), **order)


@pytest.mark.parametrize("fault", [faults.status(503), faults.reset_before_commit()], ids=["status", "reset"])
def test_a_fault_before_the_commit_takes_no_rate_slot(start, clock, fault):
    avala, client = start(rate_limits="1/60", clock=clock)
    avala.inject(fault)
    try:
        assert client.get("/exports/").status_code == 503
    except requests.ConnectionError:
        assert fault.name == "reset_before_commit"
    assert client.get("/exports/").status_code == 200


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (faults.truncated(1000), 1000),
        (faults.truncated_chunked(1000), 1000),
        (faults.reset_mid_body(1000), 1000),
    ],
)
def test_a_download_can_be_cut_and_resumed(start, fault, kept):
    avala, client = start()
    data = bytes(range(256)) * 4000
    uid = avala.add_export(status="exported", artifact=data)
    url = client.get(f"/exports/{uid}/").json()["download_url"]
    avala.inject(fault, origin="storage")
    with requests.get(url, stream=True, timeout=10) as cut:
        received, error = read_until_cut(cut)
    assert (received, type(error)) == (data[:kept], requests.exceptions.ChunkedEncodingError)
    rest = requests.get(url, headers={"Range": f"bytes={kept}-", "If-Range": cut.headers["ETag"]}, timeout=10)
    assert (rest.status_code, received + rest.content) == (206, data)
    assert [record.fault for record in avala.requests_to("GET", "/exports/", "storage")] == [fault.name, None]


def test_storage_faults_leave_the_api_alone(start):
    avala, client = start()
    uid = avala.add_export(status="exported")
    avala.inject(faults.status(500, "<Error/>"), origin="storage")
    url = client.get(f"/exports/{uid}/").json()["download_url"]
    assert requests.get(url, timeout=10).text == "<Error/>"
    assert requests.get(url, timeout=10).status_code == 200


def test_a_big_upload_is_read_to_its_end_before_the_connection_is_reset(start):
    avala, client = start()
    avala.inject(faults.reset_before_commit())
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.post("/exports/", data=b"x" * 5_000_000)
    assert avala.requests[0].body_size == 5_000_000


def test_stopping_releases_everything_that_hangs():
    answers = []
    with running_emulator(rate_limits=None) as avala:
        for fault in (faults.hang_before_commit(), faults.hang_after_commit(), faults.slow_body(1000)):
            avala.inject(fault, method="POST")

        def create():
            headers = {"X-Avala-Api-Key": avala.api_key}
            body = {"project": SEED_PROJECT_ID}
            answers.append(
                requests.post(avala.base_url + "/exports/", json=body, headers=headers, timeout=20)
            )

        threads = [threading.Thread(target=create) for _ in range(3)]
        for thread in threads:
            thread.start()
        address = ("127.0.0.1", int(avala.base_url.split(":")[2].split("/")[0]))
        stalled = socket.create_connection(address)
        stalled.sendall(b"POST /api/v1/exports/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        eventually(lambda: len(avala.requests) == 4)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    for thread in threads:
        thread.join(5)
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("avala")]
    stalled.close()
