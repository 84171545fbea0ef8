"""Managed uploads: targets in every form, sessions that outlive a client, quota, and the dataset that comes of them."""

from __future__ import annotations

import uuid

import pytest
import requests

from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID, SEED_OWNER, SEED_USER_ID
from airflow_provider_avala.emulator.emulator import Settings

BATCH = str(uuid.UUID(int=7))
PRESIGN = "/datasets/manual-upload/file-upload-url/"
MIB = 1024**2
ROOT = f"__u__=/{SEED_USER_ID}"


def wanted(path="a/1.jpg", size=5, *, version2=True, **changes) -> dict:
    body = {"dataset_name": "Cars", "file_path_in_dataset": path, "content_length": size}
    if version2:
        body |= {"upload_protocol_version": 2, "dataset_upload_uid": BATCH}
    return body | changes


def presign(client, *args, **changes) -> dict:
    reply = client.post(PRESIGN, json=wanted(*args, **changes))
    assert reply.status_code == 200, reply.text
    return reply.json()


def send(answer: dict, content: bytes, **headers) -> requests.Response:
    """What a client does with a PUT or POST answer."""
    if answer["method"] == "POST":
        files = {"file": ("name", content, answer["fields"]["Content-Type"])}
        return requests.post(answer["url"], data=answer["fields"], files=files, timeout=10)
    return requests.put(answer["url"], data=content, headers={**answer["headers"], **headers}, timeout=10)


def complete(client, answer: dict) -> requests.Response:
    return client.post(f"/datasets/manual-upload/uploads/{answer['upload_uid']}/complete/", json={})


def finalize(client, **changes) -> requests.Response:
    body = {"name": "Cars", "slug": "cars", "data_type": "image", "visibility": "private"}
    return client.post("/datasets/manual-upload/", json={**body, "create_metadata": True, **changes})


def test_a_file_is_put_confirmed_and_kept(start):
    avala, client = start()
    answer = presign(client)
    assert set(answer) == {"method", "upload_uid", "url", "headers"}
    assert answer["url"].startswith(avala.storage_url + "/")
    assert send(answer, b"12345").status_code == 200
    assert complete(client, answer).status_code == 200
    assert complete(client, answer).status_code == 200
    (key, file) = next(iter(avala.files.items()))
    assert key == f"{ROOT}/Cars/a/1.jpg"
    assert (file.content, file.size, file.content_type) == (b"12345", 5, "image/jpeg")


@pytest.mark.parametrize("mode", ["put", "post", "multipart", "complete"])
def test_the_older_form_of_the_request_gets_a_form_in_every_mode(start, mode):
    avala, client = start(upload_mode=mode)
    answer = presign(client, version2=False)
    assert set(answer) == {"method", "url", "fields"}
    assert answer["method"] == "POST"
    assert send(answer, b"12345").status_code == 204
    assert avala.files[f"{ROOT}/Cars/a/1.jpg"].content == b"12345"


def test_version_2_gets_a_form_in_post_mode(start):
    _, client = start(upload_mode="post")
    answer = presign(client)
    assert "upload_uid" not in answer
    assert send(answer, b"12345").status_code == 204


def test_a_form_is_refused_when_a_field_the_size_or_the_time_is_wrong(start, clock):
    avala, client = start(upload_mode="post", clock=clock, url_seconds=60)
    answer = presign(client)
    changed = {**answer, "fields": {**answer["fields"], "key": "elsewhere"}}
    assert send(changed, b"12345").status_code == 403
    assert send(answer, b"123456").status_code == 400
    clock.now += 60
    assert send(answer, b"12345").status_code == 403
    assert not avala.files


def test_a_target_refuses_other_sizes_other_headers_and_old_signatures(start, clock):
    avala, client = start(clock=clock, url_seconds=60)
    answer = presign(client)
    assert send(answer, b"1234").status_code == 403
    assert send(answer, b"12345", **{"Content-Type": "text/plain"}).status_code == 403
    assert send({**answer, "url": answer["url"] + "0"}, b"12345").status_code == 403
    clock.now += 60
    assert send(answer, b"12345").status_code == 403
    assert not avala.files
    assert send(presign(client), b"12345").status_code == 200


def test_bytes_that_are_there_already_are_said_to_be(start):
    avala, client = start()
    answer = presign(client)
    send(answer, b"12345")
    assert send(answer, b"54321").status_code == 412
    assert avala.files[f"{ROOT}/Cars/a/1.jpg"].content == b"12345"
    again = presign(client)
    assert again == {"method": "PUT", "upload_uid": answer["upload_uid"], "complete": True}


def test_confirming_what_was_not_sent_is_refused(start):
    _, client = start()
    assert complete(client, presign(client)).status_code == 400
    assert complete(client, {"upload_uid": "no-such"}).status_code == 404


def test_complete_mode_takes_no_bytes(start):
    avala, client = start(upload_mode="complete")
    answer = presign(client)
    assert answer == {"method": "PUT", "upload_uid": answer["upload_uid"], "complete": True}
    assert complete(client, answer).status_code == 200
    assert avala.files[f"{ROOT}/Cars/a/1.jpg"].size == 5


def test_a_file_in_parts_is_resumed_and_put_together(start):
    avala, client = start(upload_mode="multipart")
    content = bytes(range(256)) * (12 * MIB // 256)
    answer = presign(client, size=len(content))
    expected = {"part_size": 5 * MIB, "part_count": 3, "uploaded_parts": []}
    assert {name: answer[name] for name in expected} == expected
    path = f"/datasets/manual-upload/uploads/{answer['upload_uid']}/parts/"

    def send_part(number: int, part: bytes) -> int:
        (target,) = client.post(path, json={"part_numbers": [number]}).json()["parts"]
        assert target["part_number"] == number
        return requests.put(target["url"], data=part, headers=target["headers"], timeout=10).status_code

    parts = [content[at : at + 5 * MIB] for at in range(0, len(content), 5 * MIB)]
    assert send_part(2, parts[1]) == 200
    assert send_part(3, parts[0]) == 403
    assert complete(client, answer).status_code == 400
    resumed = presign(client, size=len(content))
    assert resumed["upload_uid"] == answer["upload_uid"]
    assert resumed["uploaded_parts"] == [{"part_number": 2, "size": 5 * MIB}]
    assert [send_part(1, parts[0]), send_part(3, parts[2])] == [200, 200]
    assert complete(client, answer).status_code == 200
    assert avala.files[f"{ROOT}/Cars/a/1.jpg"].content == content
    assert presign(client, size=len(content))["complete"] is True


@pytest.mark.parametrize("numbers", [None, [], [0], [2], ["1"], [True]])
def test_parts_that_an_upload_does_not_have_are_refused(start, numbers):
    _, client = start(upload_mode="multipart")
    answer = presign(client)
    path = f"/datasets/manual-upload/uploads/{answer['upload_uid']}/parts/"
    assert client.post(path, json={"part_numbers": numbers}).status_code == 400


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dataset_name": " "}, "dataset_name"),
        ({"dataset_name": "a/b"}, "dataset_name"),
        ({"file_path_in_dataset": "/etc/passwd"}, "file_path_in_dataset"),
        ({"file_path_in_dataset": "a/../b"}, "file_path_in_dataset"),
        ({"file_path_in_dataset": "a\\b"}, "file_path_in_dataset"),
        ({"content_length": -1}, "content_length"),
        ({"content_length": "5"}, "content_length"),
        ({"upload_protocol_version": 3}, "upload_protocol_version"),
        ({"dataset_upload_uid": None}, "dataset_upload_uid"),
        ({"dataset_upload_uid": "batch-1"}, "dataset_upload_uid"),
    ],
)
def test_a_bad_request_for_a_target_is_refused_by_field(start, changes, field):
    _, client = start()
    reply = client.post(PRESIGN, json=wanted(**changes))
    assert reply.status_code == 400
    assert list(reply.json()["detail"]) == [field]


def test_the_quota_counts_open_targets_for_a_day_and_refuses_what_does_not_fit(start, clock):
    _, client = start(upload_quota=10, clock=clock)
    quota = "/datasets/manual-upload/quota/"
    assert client.get(quota).json() == {"used": 0, "limit": 10}
    send(presign(client, "stored.jpg", 4), b"1234")
    presign(client, "open.jpg", 3)
    presign(client, "open.jpg", 3)
    assert client.get(quota).json() == {"used": 7, "limit": 10}
    reply = client.post(PRESIGN, json=wanted("large.jpg", 4))
    assert (reply.status_code, reply.json()) == (
        413,
        {"detail": "Storage quota exceeded.", "limit": 10, "used": 7},
    )
    assert client.get(f"{quota}?organization_uid={SEED_ORGANIZATION_ID}").json() == {"used": 0, "limit": 10}
    assert client.get(f"{quota}?organization_uid=other").status_code == 403
    clock.now += 24 * 3600
    assert client.get(quota).json() == {"used": 4, "limit": 10}


def test_a_dataset_is_made_of_what_lies_under_its_name(start, clock):
    _, client = start(clock=clock, dataset_seconds=5)
    for path in ("a/1.jpg", "2.png", "notes.txt"):
        send(presign(client, path), b"12345")
    send(presign(client, "a/1.jpg", dataset_name="Other"), b"12345")
    reply = finalize(client, dataset_upload_uid=BATCH)
    assert reply.status_code == 201
    dataset = reply.json()
    assert (dataset["status"], dataset["item_count"], dataset["owner_name"]) == ("creating", 0, SEED_OWNER)
    clock.now += 5
    shown = client.get(f"/datasets/{dataset['uid']}/").json()
    assert (shown["status"], shown["item_count"], shown["data_type"]) == ("created", 2, "image")
    items = client.get(f"/datasets/{dataset['uid']}/items/").json()["results"]
    assert sorted(item["key"] for item in items) == ["2.png", "a/1.jpg"]


def test_files_of_an_organization_are_apart(start):
    avala, client = start(dataset_seconds=0)
    send(presign(client, organization_uid=SEED_ORGANIZATION_ID), b"12345")
    assert list(avala.files) == [f"__o__=/{SEED_ORGANIZATION_ID}/Cars/a/1.jpg"]
    mine = finalize(client).json()
    assert client.get(f"/datasets/{mine['uid']}/").json()["item_count"] == 0
    theirs = finalize(client, name="Cars", slug="cars-2", organization_uid=SEED_ORGANIZATION_ID)
    assert theirs.status_code == 400  # the name is taken
    assert client.post(PRESIGN, json=wanted(organization_uid="other")).status_code == 403


@pytest.mark.parametrize(
    ("changes", "field"), [({"name": "Trucks"}, "slug"), ({"slug": "trucks"}, "name"), ({}, "name")]
)
def test_a_name_or_slug_that_is_taken_is_refused(start, changes, field):
    avala, client = start()
    assert finalize(client).status_code == 201
    reply = finalize(client, **changes)
    assert reply.status_code == 400
    assert reply.json() == {"detail": {field: [f"A dataset with this {field} already exists."]}}
    assert len(avala.datasets) == 2  # the seed and ours


@pytest.mark.parametrize(
    "changes",
    [{"name": ""}, {"slug": "No Slug"}, {"data_type": "images"}, {"visibility": "secret"}, {"industry": "x"}],
)
def test_a_bad_request_for_a_dataset_is_refused_by_field(start, changes):
    _, client = start()
    reply = finalize(client, **changes)
    assert reply.status_code == 400
    assert list(reply.json()["detail"]) == list(changes)


def test_the_health_report_tells_a_good_dataset_from_a_bad_one(start):
    avala, client = start(dataset_seconds=0)
    send(presign(client), b"12345")
    full, empty = finalize(client).json(), finalize(client, name="Empty", slug="empty").json()
    report = client.get(f"/datasets/{SEED_OWNER}/cars/health/").json()
    assert (report["dataset_uid"], report["ingest_ok"], report["issues"]) == (full["uid"], True, [])
    assert (report["item_count"], report["data_type"], report["is_sequence"]) == (1, "image", False)
    report = client.get(f"/datasets/{SEED_OWNER}/empty/health/").json()
    assert (report["dataset_uid"], report["ingest_ok"]) == (empty["uid"], False)
    assert report["issues"] == ["Dataset has zero items and zero sequences"]
    avala.add_health_issue(full["uid"], "1 file is damaged")
    report = client.get(f"/datasets/{SEED_OWNER}/cars/health/").json()
    assert (report["ingest_ok"], report["issues"]) == (False, ["1 file is damaged"])
    assert client.get(f"/datasets/{SEED_OWNER}/none/health/").status_code == 404


def test_targets_are_handed_out_under_the_public_address(start):
    avala, client = start(storage_url="https://data.avala.ai")
    assert presign(client)["url"].startswith("https://data.avala.ai/uploads/")
    uid = avala.add_export(status="exported")
    shown = client.get(f"/exports/{uid}/").json()
    assert shown["download_url"].startswith("https://data.avala.ai/exports/")


def test_bodies_above_the_api_s_limit_go_to_storage(start):
    _, client = start(max_body_bytes=1000)
    assert send(presign(client, size=2000), bytes(2000)).status_code == 200


def test_a_reset_forgets_the_files(start):
    avala, client = start()
    send(presign(client), b"12345")
    avala.reset()
    assert avala.files == {}


@pytest.mark.parametrize(("name", "value"), [("upload_mode", "ftp"), ("upload_mode", "")])
def test_an_unknown_upload_mode_is_refused(name, value):
    with pytest.raises(ValueError, match="upload_mode"):
        Settings(**{name: value})


def test_both_dialects_hand_out_the_same_targets(start, dialect):
    avala, client = start(dialect=dialect, dataset_seconds=0)
    answer = presign(client)
    assert send(answer, b"12345").status_code == 200
    assert complete(client, answer).json()["upload_uid"] == answer["upload_uid"]
    assert finalize(client).json()[avala.dialect.id_key] == avala.datasets[-1]["id"]
    assert client.get("/datasets/manual-upload/quota/").json()["used"] == 5
    assert client.get(f"/datasets/{SEED_OWNER}/cars/health/").json()["ingest_ok"] is True
