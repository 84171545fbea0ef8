"""Files become one dataset, whatever breaks on the way: nothing doubled, nothing lost, no key at the storage."""

from __future__ import annotations

import json
import re
import uuid

import pytest

from airflow_provider_avala.api.errors import (
    AvalaAuthenticationError,
    AvalaConfigurationError,
    AvalaPayloadTooLargeError,
    AvalaProtocolError,
    is_fatal,
)
from airflow_provider_avala.api.ledger import Forgetful
from airflow_provider_avala.api.presigned import AvalaStorageError
from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID, faults
from tests.api.loopback import Server
from tests.api.managed_uploads import (
    BYTES,
    CARS,
    COMPLETE,
    FORMS,
    MIB,
    PRESIGN,
    avala,
    content,
    folder,
    made,
    running,
    sent,
    stored,
)

__all__ = ["avala", "folder", "running"]


@pytest.mark.parametrize("form", FORMS)
def test_files_arrive_as_they_are_in_every_form(avala, client_of, folder, form):
    avala.upload_options.mode = form
    dataset = client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder)
    assert stored(avala) == content(folder)
    assert made(avala) == [dataset.id]
    assert avala.datasets[-1]["item_count"] == 4
    at_storage = avala.requests_to(origin="storage")
    assert len(at_storage) == 4
    assert not any(request.key_present or "cookie" in request.headers for request in at_storage)


def test_a_large_file_goes_up_in_parts_from_where_it_stopped(avala, client_of, tmp_path):
    avala.upload_options.mode = "multipart"
    path = tmp_path / "large.jpg"
    path.write_bytes(bytes(range(256)) * (17 * MIB // 256))
    client, memory = client_of(avala.base_url, avala.api_key, max_retry_seconds=0), Forgetful()
    avala.inject(faults.status(500), path=re.compile("/parts/3"), origin="storage")
    with pytest.raises(AvalaStorageError, match="the storage answered with 500"):
        client.create_dataset(**CARS, source=path, memory=memory, run_id="run")
    assert len(avala.requests_to("PUT", origin="storage")) >= 3
    avala.clear_requests()
    client.create_dataset(**CARS, source=path, memory=memory, run_id="run")
    again = [request.path.rpartition("/")[2] for request in avala.requests_to("PUT", origin="storage")]
    assert not {"1", "2"} & set(again)
    assert stored(avala) == {"large.jpg": path.read_bytes()}


def test_a_file_that_avala_has_already_is_not_sent(avala, client_of, folder):
    avala.upload_options.mode = "complete"
    client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder)
    assert avala.requests_to(origin="storage") == []
    assert len([r for r in avala.requests_to("POST") if COMPLETE.search(r.path)]) == 4


def test_the_organization_is_told_everywhere(avala, client_of, folder):
    client = client_of(avala.base_url, avala.api_key)
    client.create_dataset(**CARS, source=folder, organization_uid=SEED_ORGANIZATION_ID)
    (quota,) = avala.requests_to("GET", "/datasets/manual-upload/quota/")
    assert quota.query == {"organization_uid": SEED_ORGANIZATION_ID}
    bodies = sent(avala, "/datasets/manual-upload/file-upload-url/")
    bodies += [json.loads(r.body) for r in avala.requests_to("POST") if r.path == "/datasets/manual-upload/"]
    assert {body["organization_uid"] for body in bodies} == {SEED_ORGANIZATION_ID}
    assert len({body["dataset_upload_uid"] for body in bodies}) == 1


# What breaks while files are sent

BROKEN = {
    "429": faults.status(429, headers={"Retry-After": "1"}),
    "500": faults.status(500),
    "503": faults.status(503),
    "502 in HTML": faults.html(502),
    "403 once, as of an expired signature": faults.status(403),
    "reset before": faults.reset_before_commit(),
    "reset after": faults.reset_after_commit(),
    "hang before": faults.hang_before_commit(),
    "hang after": faults.hang_after_commit(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_what_breaks_at_the_storage_is_sent_again_to_a_fresh_address(avala, client_of, folder, fault, form):
    avala.upload_options.mode = form
    avala.inject(fault, path=BYTES, origin="storage")
    client_of(avala.base_url, avala.api_key, timeout=0.3).create_dataset(
        **CARS, source=folder / "a" / "2.png"
    )
    assert stored(avala) == {"2.png": (folder / "a" / "2.png").read_bytes()}
    if fault.name != "hang_after_commit" and not fault.after_commit:
        assert len(sent(avala, PRESIGN)) == 2
    assert len(made(avala)) == 1


@pytest.mark.parametrize(
    "path", [PRESIGN, COMPLETE, "/datasets/manual-upload/quota/"], ids=["presign", "complete", "quota"]
)
@pytest.mark.parametrize("name", ["500", "429", "reset before", "reset after", "502 in HTML"])
def test_what_breaks_at_the_api_is_asked_again(avala, client_of, folder, name, path):
    avala.inject(BROKEN[name], path=path, times=2)
    client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder)
    assert stored(avala) == content(folder)
    assert len(made(avala)) == 1


def test_an_expired_address_is_replaced(avala, client_of, folder):
    avala.storage_options.url_seconds = 0
    avala.inject(faults.status(503), path=BYTES, origin="storage")
    client = client_of(avala.base_url, avala.api_key)
    try:
        with pytest.raises(AvalaStorageError, match="403"):
            client.create_dataset(**CARS, source=folder / "1.jpg")
    finally:
        avala.storage_options.url_seconds = 3600.0
    assert len(sent(avala, PRESIGN)) >= 2
    assert made(avala) == []


def test_a_storage_that_stays_broken_ends_the_upload_after_some_attempts(avala, client_of, folder):
    avala.inject(faults.status(500), path=BYTES, origin="storage", times=1000)
    client = client_of(avala.base_url, avala.api_key, max_retry_seconds=3600)
    with pytest.raises(
        AvalaStorageError, match=r"The upload stopped at '1.jpg'; 0 of 1 files are stored"
    ) as raised:
        client.create_dataset(**CARS, source=folder / "1.jpg")
    assert len(avala.requests_to(origin="storage")) == 8
    assert not is_fatal(raised.value)
    assert made(avala) == []


@pytest.mark.parametrize("path", [COMPLETE, re.compile("/parts/$")], ids=["complete", "parts"])
def test_a_session_that_aged_out_is_begun_again(avala, client_of, folder, path):
    avala.upload_options.mode = "multipart"
    avala.inject(faults.status(404), path=path)
    client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder / "1.jpg")
    assert stored(avala) == {"1.jpg": (folder / "1.jpg").read_bytes()}
    assert len(sent(avala, PRESIGN)) == 2


@pytest.mark.parametrize(("code", "attempts"), [(400, 1), (403, 2), (404, 1), (302, 1)])
def test_what_no_retry_can_mend_is_not_sent_again(avala, client_of, folder, code, attempts):
    location = {"location": "http://127.0.0.1:9/elsewhere"}
    fault = faults.redirect(location["location"]) if code == 302 else faults.status(code)
    avala.inject(fault, path=BYTES, origin="storage", times=1000)
    with pytest.raises(AvalaStorageError) as raised:
        client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder / "1.jpg")
    assert raised.value.status_code == code
    assert len(avala.requests_to(origin="storage")) == attempts


def test_no_signature_and_no_key_is_told(avala, client_of, folder, caplog):
    body = f"<Error><URL>{avala.storage_url}/uploads/x?Expires=1&Signature=topsecret</URL></Error>"
    avala.inject(faults.status(400, body=body), path=BYTES, origin="storage", times=9)
    with pytest.raises(AvalaStorageError) as raised:
        client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder)
    assert "topsecret" not in str(raised.value) + caplog.text
    assert "Signature=" not in caplog.text.replace("Signature=***", "")
    assert avala.api_key not in str(raised.value)


def test_a_file_that_changes_on_the_way_is_named(avala, client_of, folder, monkeypatch):
    from airflow_provider_avala.api import presigned

    read = presigned.Target.read

    def change_and_read(answer, size):
        (folder / "1.jpg").write_text("other text")
        return read(answer, size)

    monkeypatch.setattr(presigned.Target, "read", change_and_read)
    with pytest.raises(AvalaStorageError, match=r"1.jpg was changed, shortened or removed"):
        client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder / "1.jpg")
    assert made(avala) == []


# Addresses


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://storage.example/x?Signature=topsecret", "plain HTTP"),
        ("https://me:topsecret@storage.example/x", "credentials"),
        ("https://storage.example/x#topsecret", "fragment"),
        ("gopher://storage.example/topsecret", "no http or https URL"),
    ],
)
@pytest.mark.parametrize("form", ["POST", "PUT"])
def test_bytes_go_nowhere_else(client_of, folder, url, problem, form, caplog):
    target = {"method": form, "url": url, "fields": {}, "upload_uid": str(uuid.uuid4())}

    def respond(exchange, seen, number):
        presign = "file-upload-url" in seen.path
        answer = target if presign else {"results": [], "next": None, "previous": None}
        exchange.reply(200, json.dumps(answer).encode(), Content_Type="application/json")

    with Server(respond) as server, pytest.raises(AvalaProtocolError, match=problem) as raised:
        client_of(f"{server.url}/api/v1").create_dataset(**CARS, source=folder / "1.jpg")
    assert "topsecret" not in str(raised.value) + caplog.text


# Before anything is sent


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"slug": "a b"}, "slug"),
        ({"slug": "a/b"}, "slug"),
        ({"data_type": "images"}, "data_type.*image, image_3d"),
        ({"visibility": "secret"}, "visibility"),
        ({"metadata": [1]}, "metadata"),
        ({"organization_uid": ""}, "organization_uid"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"source": "/nothing/here"}, "source"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_sent(avala, client_of, folder, wrong, message):
    arguments = {**CARS, "source": folder, **wrong}
    with pytest.raises(AvalaConfigurationError, match=message):
        client_of(avala.base_url, avala.api_key).create_dataset(**arguments)
    assert avala.requests == []


def test_files_that_do_not_fit_are_not_sent(avala, client_of, folder):
    avala.upload_options.quota = 3000
    with pytest.raises(AvalaConfigurationError, match="3012 bytes in 4 files do not fit") as raised:
        client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder)
    assert is_fatal(raised.value)
    assert avala.requests_to("POST") == []


@pytest.mark.parametrize(
    "fault", [faults.status(403), faults.status(404), faults.bad_json(), faults.status(200, body={"a": 1})]
)
def test_a_quota_that_cannot_be_read_stops_nothing(avala, client_of, folder, fault):
    avala.inject(fault, path="/datasets/manual-upload/quota/", times=99)
    client_of(avala.base_url, avala.api_key, max_retry_seconds=1).create_dataset(**CARS, source=folder)
    assert len(made(avala)) == 1


def test_a_quota_that_is_used_up_on_the_way_is_told(avala, client_of, folder):
    avala.upload_options.quota = 3000
    avala.inject(faults.status(403), path="/datasets/manual-upload/quota/")
    with pytest.raises(AvalaPayloadTooLargeError, match=r"quota exceeded.*of 4 files are stored") as raised:
        client_of(avala.base_url, avala.api_key).create_dataset(**CARS, source=folder)
    assert is_fatal(raised.value)
    assert made(avala) == []


def test_a_wrong_key_ends_it_at_once(avala, client_of, folder):
    with pytest.raises(AvalaAuthenticationError):
        client_of(avala.base_url, "avk_wrong_key").create_dataset(**CARS, source=folder)
    assert len(avala.requests) == 1


def test_a_dataset_that_is_there_is_not_added_to(avala, client_of, folder):
    client = client_of(avala.base_url, avala.api_key)
    first = client.create_dataset(**CARS, source=folder)
    avala.clear_requests()
    with pytest.raises(AvalaConfigurationError, match=f"dataset {first.id} has them already"):
        client.create_dataset(**CARS, source=folder)
    assert avala.requests_to("POST") == []
