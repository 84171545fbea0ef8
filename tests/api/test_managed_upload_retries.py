"""One dataset of one set of files, whatever happens to answers, attempts and processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaError,
    AvalaServerError,
    AvalaValidationError,
    is_fatal,
)
from airflow_provider_avala.api.ledger import Forgetful
from airflow_provider_avala.api.presigned import AvalaStorageError
from airflow_provider_avala.emulator import faults
from tests.api.loopback import Server
from tests.api.managed_uploads import (
    BYTES,
    CARS,
    COMPLETE,
    FORMS,
    MIB,
    PRESIGN,
    avala,
    bytes_sent,
    content,
    folder,
    made,
    running,
    sent,
    stored,
)
from tests.api.scripted import AnyMethod
from tests.emulator.support import eventually

__all__ = ["avala", "folder", "running"]

# Exactly one dataset

LOSSES = {
    "reset before commit": faults.reset_before_commit(),
    "reset after commit": faults.reset_after_commit(),
    "500 before commit": faults.status(500),
    "500 after commit": faults.status(500, after_commit=True),
    "502 in HTML after commit": faults.html(502, after_commit=True),
    "504 after commit": faults.status(504, after_commit=True),
    "429": faults.status(429),
    "truncated": faults.truncated(),
    "bad JSON": faults.bad_json(),
    "empty": faults.empty_body(),
    "hang before commit": faults.hang_before_commit(),
    "hang after commit": faults.hang_after_commit(),
}
FINALIZE = re.compile("^/datasets/manual-upload/$")


@pytest.mark.parametrize("fault", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_answer_makes_no_second_dataset_and_sends_no_file_again(
    avala, client_of, folder, fault, times
):
    avala.inject(fault, method="POST", path=FINALIZE, times=times)
    dataset = client_of(avala.base_url, avala.api_key, timeout=0.3).create_dataset(**CARS, source=folder)
    assert made(avala) == [dataset.id]
    assert len(avala.requests_to(origin="storage")) == 4


def test_a_dataset_of_somebody_else_that_appears_meanwhile_is_not_taken(avala, client_of, folder):
    avala.inject(faults.status(200, body={"results": [], "next": None}), path="/datasets/", method="GET")
    other = avala.add_dataset("Cars", slug="cars")
    with pytest.raises(AvalaValidationError, match="already exists"):
        client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder)
    assert made(avala) == [other]


def test_an_answer_that_stays_lost_is_told_and_a_retry_finds_out(avala, client_of, folder):
    client, memory = client_of(avala.base_url, avala.api_key, max_retry_seconds=5), Forgetful()
    avala.inject(faults.status(500, after_commit=True), method="POST", path=FINALIZE, times=99)
    avala.inject(faults.status(500), method="GET", path=re.compile("^/datasets/$"), skip=1, times=99)
    with pytest.raises(AvalaServerError) as raised:
        client.create_dataset(**CARS, source=folder, memory=memory, run_id="run")
    assert not is_fatal(raised.value)
    assert len(made(avala)) == 1
    avala.clear_faults()
    avala.clear_requests()
    assert memory.get("finalizing") is True
    found = client.create_dataset(**CARS, source=folder, memory=memory, run_id="run", may_exist=True)
    assert [found.id] == made(avala)
    assert [request.method for request in avala.requests] == ["GET"]


def test_a_dataset_made_by_this_attempt_may_have_any_age(avala, client_of, folder):
    avala.inject(faults.reset_after_commit(), method="POST", path=FINALIZE)
    client = client_of(avala.base_url, avala.api_key)
    dataset = client.create_dataset(**CARS, source=folder, created_after=datetime(2999, 1, 1, tzinfo=UTC))
    assert made(avala) == [dataset.id]


def test_an_old_dataset_is_not_one_of_an_earlier_attempt(avala, client_of, folder):
    avala.add_dataset("Cars", slug="cars")
    client, later = client_of(avala.base_url, avala.api_key), datetime(2999, 1, 1, tzinfo=UTC)
    with pytest.raises(AvalaConfigurationError, match="has them already"):
        client.create_dataset(**CARS, source=folder, may_exist=True, created_after=later)


# Retries


@pytest.mark.parametrize("remembers", [True, False], ids=["with memory", "without memory"])
@pytest.mark.parametrize("form", FORMS)
def test_a_retry_sends_only_what_is_missing(avala, client_of, folder, form, remembers):
    avala.upload_options.mode = form
    client, memory = client_of(avala.base_url, avala.api_key, max_retry_seconds=0), Forgetful()
    arguments = {**CARS, "source": folder, "run_id": "run", "concurrency": 1}
    avala.inject(faults.status(500), path=BYTES, origin="storage", skip=2)
    with pytest.raises(AvalaStorageError, match="2 of 4 files are stored"):
        client.create_dataset(**arguments, memory=memory)
    batches = {body["dataset_upload_uid"] for body in sent(avala, PRESIGN)}
    avala.clear_requests()
    client.create_dataset(**arguments, memory=memory if remembers else Forgetful(), may_exist=True)
    assert stored(avala) == content(folder)
    assert len(made(avala)) == 1
    assert {body["dataset_upload_uid"] for body in sent(avala, PRESIGN)} == batches
    if remembers:
        assert len(sent(avala, PRESIGN)) == 2
    if remembers or form != "post":
        assert len(bytes_sent(avala)) == 2


def test_another_run_and_a_changed_source_have_batches_of_their_own(avala, client_of, folder):
    client = client_of(avala.base_url, avala.api_key, max_retry_seconds=0)
    avala.inject(faults.status(400), method="POST", path=FINALIZE, times=99)

    def batch(run_id: str) -> str:
        avala.clear_requests()
        with pytest.raises(AvalaError):
            client.create_dataset(**CARS, source=folder, run_id=run_id)
        (found,) = {body["dataset_upload_uid"] for body in sent(avala, PRESIGN)}
        return str(uuid.UUID(found))

    first = batch("one")
    assert batch("one") == first
    assert batch("two") != first
    (folder / "1.jpg").write_text("changed")
    assert batch("one") != first


def test_uploads_at_a_time_are_bounded(avala, client_of, folder):
    client = client_of(avala.base_url, avala.api_key, max_concurrent_uploads=1)
    client.create_dataset(**CARS, source=folder, concurrency=4)
    order = [(r.origin, r.path) for r in avala.requests if r.origin == "storage" or COMPLETE.search(r.path)]
    assert [origin for origin, _ in order] == ["storage", "api"] * 4


class Noted:
    """Notes in a file, as Airflow keeps them in its database."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> object:
        return (json.loads(self.path.read_text()) if self.path.exists() else {}).get(key)

    def update(self, **notes: object) -> None:
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(known | notes))
        draft.replace(self.path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("survived", [0, 1, 3])
def test_a_killed_upload_is_finished_by_the_next_attempt(avala, client_of, folder, tmp_path, form, survived):
    """The first process hangs in the middle of a file, and is killed there."""
    avala.upload_options.mode = form
    notes = Noted(tmp_path / "notes.json")
    arguments = {**CARS, "source": folder, "run_id": "run", "concurrency": 1, "memory": notes}
    avala.inject(faults.hang_after_commit(), path=BYTES, origin="storage", skip=survived)
    child = multiprocessing.get_context("fork").Process(
        target=lambda: client_of(avala.base_url, avala.api_key).create_dataset(**arguments), daemon=True
    )
    child.start()
    eventually(lambda: len(avala.requests_to(origin="storage")) > survived)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert made(avala) == []
    avala.clear_requests()
    dataset = client_of(avala.base_url, avala.api_key).create_dataset(**arguments, may_exist=True)
    assert made(avala) == [dataset.id]
    assert stored(avala) == content(folder)
    if form != "post":
        assert len(bytes_sent(avala)) <= 4 - survived


@pytest.mark.parametrize(
    "answer", [faults.status(403), faults.status(200, body={"results": [], "next": None, "previous": None})]
)
def test_a_name_that_is_taken_by_what_cannot_be_seen_ends_it_at_once(avala, client_of, folder, answer):
    avala.add_dataset("Cars", slug="cars")
    avala.inject(answer, method="GET", path=re.compile("^/datasets/$"), times=99)
    client = client_of(avala.base_url, avala.api_key)
    with pytest.raises(AvalaValidationError, match="already exists"):
        client.create_dataset(**CARS, source=folder, may_exist=True)
    assert len([request for request in avala.requests_to("POST") if FINALIZE.search(request.path)]) == 1


@pytest.mark.parametrize(("form", "accepted"), [("PUT", True), ("MULTIPART", False)])
def test_a_storage_that_has_the_file_already_says_so(client_of, folder, form, accepted):
    """With 412; of a part it would be an error."""
    target = {"method": form, "upload_uid": str(uuid.uuid4()), "part_size": 5 * MIB, "part_count": 1}

    def respond(exchange, seen, number):
        url = {"url": f"http://{seen.headers['Host']}/bytes", "headers": {}}
        answers = {
            "file-upload-url": target | url,
            "/parts/": {"parts": [{"part_number": 1} | url]},
            "/complete/": {},
            "/quota/": {"used": 0, "limit": 10**9},
            "/datasets/?": {"results": [], "next": None, "previous": None},
            "/datasets/manual-upload/": {"uid": "d1", "name": "Cars", "slug": "cars"},
        }
        known = next((answer for path, answer in answers.items() if path in seen.path), None)
        exchange.reply(412 if known is None else 200, json.dumps(known).encode())

    server = Server(respond)
    server.RequestHandlerClass = AnyMethod
    with server:
        client = client_of(f"{server.url}/api/v1")
        if accepted:
            assert client.create_dataset(**CARS, source=folder / "1.jpg").id == "d1"
        else:
            with pytest.raises(AvalaStorageError, match="412"):
                client.create_dataset(**CARS, source=folder / "1.jpg")
