"""The control surface over HTTP, as a script uses it on an emulator in another process."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
import requests

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID
from airflow_provider_avala.emulator.control import LoopbackOnly
from airflow_provider_avala.emulator.manual_uploads import StoredFile


@pytest.fixture
def control(start, clock):
    avala, client = start(clock=clock, export_seconds=10, rate_limits="1/60")
    address = avala.base_url.replace("/api/v1", "/__emulator__")

    def ask(method, path, **options):
        return requests.request(method, address + path, timeout=10, **options)

    return avala, client, ask


def test_the_state_is_shown_without_key_log_or_limit(control):
    avala, _, ask = control
    states = [ask("GET", "/state").json() for _ in range(3)]
    assert states[0]["base_url"] == avala.base_url
    assert [row["id"] for row in states[0]["datasets"]] == [SEED_DATASET_ID]
    assert [row["id"] for row in states[0]["projects"]] == [SEED_PROJECT_ID]
    assert states[0]["exports"] == []
    assert avala.requests == []


def test_the_clock_and_the_next_exports_can_be_turned(control):
    avala, _, ask = control
    uid = avala.add_export()
    assert (
        ask("POST", "/state", json={"advance": 10, "export_seconds": 7, "fail_next_export": 1}).status_code
        == 200
    )
    state = ask("GET", "/state").json()
    assert (state["export_seconds"], state["exports"][0]["status"]) == (7, "exported")
    assert state["exports"][0]["id"] == uid
    assert ask("POST", "/state", json={"reset": True}).json()["exports"] == []
    assert ask("POST", "/state", json={"typo": 1}).json() == {"detail": "unknown: typo"}


def test_the_requests_are_listed_without_the_key_and_cleared(control):
    avala, client, ask = control
    client.post("/exports/", json={"project": SEED_PROJECT_ID})
    reply = ask("GET", "/requests")
    (record,) = reply.json()
    assert (record["method"], record["path"], record["status"], record["key_present"]) == (
        "POST",
        "/exports/",
        201,
        True,
    )
    assert record["json"] == {"project": SEED_PROJECT_ID}
    assert avala.api_key not in reply.text
    assert ask("DELETE", "/requests").json() == []
    assert avala.requests == []


def test_a_fault_can_be_ordered(control):
    _, client, ask = control
    order = {"fault": "status", "args": {"code": 503}, "path_regex": "^/exp", "times": 1}
    assert ask("POST", "/faults", json=order).status_code == 201
    assert client.get("/exports/").status_code == 503
    assert ask("POST", "/faults", json={"fault": "html", "path": "/"}).status_code == 201
    assert ask("DELETE", "/faults").status_code == 204
    assert client.get("/exports/").status_code == 200


@pytest.mark.parametrize(
    "order",
    [{}, {"fault": "unknown"}, {"fault": "html", "args": {"x": 1}}, {"fault": "html", "times": 0}],
)
def test_a_fault_that_makes_no_sense_is_refused(control, order):
    _, _, ask = control
    assert ask("POST", "/faults", json=order).status_code == 400


@pytest.mark.parametrize(
    ("host", "passed"), [("127.0.0.1", True), ("::1", True), ("10.0.0.7", False), ("?", False)]
)
def test_only_this_machine_may_use_it(host, passed):
    calls, sent = [], []

    async def app(scope, receive, send):
        calls.append(scope)

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "client": (host, 1), "method": "GET", "path": "/", "headers": []}
    asyncio.run(LoopbackOnly(app)(scope, receive, send))
    assert bool(calls) == passed
    assert passed or sent[0]["status"] == 403


def test_more_can_be_planted_while_it_runs(control):
    avala, _, ask = control
    for _ in range(2):
        reply = ask("POST", "/seed", json={"datasets": [{"name": "Later"}], "projects": [{"name": "P"}]})
        assert reply.status_code == 201
        planted = reply.json()
        assert planted == {
            "datasets": [avala.datasets[-1]["id"]],
            "projects": [avala.projects[-1]["id"]],
        }
        avala.reset()
        avala.add_dataset("Other")


@pytest.mark.parametrize(
    ("seed", "problem"),
    [
        ([], "must map resources to lists"),
        ({"datasets": [{"name": 1}]}, "seed: datasets[0].name: Not a valid"),
    ],
)
def test_a_seed_that_makes_no_sense_is_refused(control, seed, problem):
    _, _, ask = control
    reply = ask("POST", "/seed", json=seed)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(problem)


def test_the_files_of_managed_uploads_are_listed_with_their_digests(control):
    avala, _, ask = control
    assert ask("GET", "/files").json() == {}
    content = b"bytes of a picture"
    avala.manual_uploads.keep("__u__=/me/D/a.jpg", StoredFile(content, len(content), "image/jpeg"))
    assert ask("GET", "/files").json() == {
        "__u__=/me/D/a.jpg": {
            "size": 18,
            "received": 18,
            "sha256": hashlib.sha256(content).hexdigest(),
            "content_type": "image/jpeg",
        }
    }
