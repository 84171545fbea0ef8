"""Datasets, items and their upload, lists and projects."""

from __future__ import annotations

import json
import threading

import pytest
import requests

from airflow_provider_avala.emulator import (
    SEED_DATASET_ID,
    SEED_ORGANIZATION_ID,
    SEED_PROJECT_ID,
    SEED_SLICE_ID,
    SEED_USER_ID,
)
from tests.emulator.support import eventually

ITEMS = f"/datasets/{SEED_DATASET_ID}/items/"
DATASET = {"name": "Street scenes", "slug": "street-scenes", "data_type": "image"}


def jsonl(rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def upload(client, content: bytes, part="file", **options):
    return client.post(ITEMS, files={part: ("data.jsonl", content, "application/jsonl")}, **options)


def problems(dialect, reply) -> dict[str, list[str]]:
    """Read a validation error of either dialect."""
    if dialect == "current":
        assert reply.status_code == 400
        return reply.json()["detail"]
    assert reply.status_code == 422
    assert reply.json()["error"]["code"] == "validation_error"
    return {entry["field"]: [entry["message"]] for entry in reply.json()["error"]["details"]}


def walk(dialect, client, url):
    """Follow a list to its end; return its pages."""
    pages = []
    while url:
        page = client.get(url).json()
        if dialect == "current":
            assert set(page) == {"next", "previous", "results"}
            pages.append(page["results"])
            url = page["next"]
        else:
            assert set(page) == {"items", "total", "has_more", "cursor"}
            pages.append(page["items"])
            base = url.partition("&cursor=")[0]
            url = f"{base}&cursor={page['cursor']}" if page["has_more"] else None
    return pages


def test_a_fresh_emulator_has_the_seeds(start, dialect):
    avala, client = start(dialect=dialect)
    key = avala.dialect.id_key
    assert client.get("/users/me/").json()[key] == SEED_USER_ID
    for path, uid in {
        "/datasets/?limit=5": SEED_DATASET_ID,
        "/users/me/projects/?limit=5": SEED_PROJECT_ID,
        "/slices/emulator/list/?limit=5": SEED_SLICE_ID,
        "/organizations/?limit=5": SEED_ORGANIZATION_ID,
    }.items():
        page = client.get(path).json()
        assert [row[key] for row in page.get("results", page.get("items"))] == [uid]
    assert client.get(f"/users/me/projects/{SEED_PROJECT_ID}/").json()["datasets"] == [SEED_DATASET_ID]
    assert client.get("/datasets/emulator/seed-dataset/").json()[key] == SEED_DATASET_ID


def test_a_dataset_gets_ready_after_its_time(start, clock, dialect):
    avala, client = start(dialect=dialect, clock=clock, dataset_seconds=10)
    reply = client.post("/datasets/", json={**DATASET, "create_metadata": True})
    assert reply.status_code == 201
    created = reply.json()
    path = f"/datasets/{created[avala.dialect.id_key]}/"
    assert (created["status"], created["item_count"]) == ("creating", 0)
    avala.advance(9)
    assert client.get(path).json()["status"] == "creating"
    avala.advance(1)
    assert client.get(path).json()["status"] == "created"


def test_a_cloud_import_finds_items_and_never_shows_its_credentials(start, clock):
    avala, client = start(clock=clock, dataset_seconds=10)
    body = {**DATASET, "provider_config": {"provider": "aws_s3", "s3_secret_access_key": "hush"}}
    created = client.post("/datasets/", json=body)
    assert "hush" not in created.text
    avala.advance(10)
    ready = client.get(f"/datasets/{created.json()['uid']}/")
    assert ready.json()["status"] == "created"
    assert ready.json()["item_count"] > 0
    assert "hush" not in ready.text + repr(avala.datasets)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"slug": "Not A Slug"}, "slug"),
        ({"slug": 7}, "slug"),
        ({"data_type": "images"}, "data_type"),
        ({"metadata": []}, "metadata"),
        ({"name": "n" * 256}, "name"),
    ],
)
def test_a_bad_dataset_body_names_the_field(start, dialect, change, field):
    avala, client = start(dialect=dialect)
    assert set(problems(dialect, client.post("/datasets/", json={**DATASET, **change}))) == {field}
    assert len(avala.datasets) == 1


def test_every_missing_field_is_named(start, dialect):
    _, client = start(dialect=dialect)
    required = ["This field is required."]
    expected = {"name": required, "slug": required, "data_type": required}
    assert problems(dialect, client.post("/datasets/", json={})) == expected


def test_a_second_dataset_with_the_slug_is_a_conflict(start):
    _, client = start()
    assert client.post("/datasets/", json=DATASET).status_code == 201
    assert client.post("/datasets/", json=DATASET).status_code == 409


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=STREET", ["Street b", "Street a"]),
        ("data_type=lidar", ["Street b"]),
        ("status=creating", ["Car"]),
        ("name=street&data_type=image", ["Street a"]),
        ("unknown=1&name=car", ["Car"]),
        ("name=none", []),
    ],
)
def test_lists_are_filtered_and_newest_first(start, query, names):
    avala, client = start()
    avala.add_dataset("Street a")
    avala.add_dataset("Street b", data_type="lidar")
    avala.add_dataset("Car", status="creating")
    assert [row["name"] for row in client.get(f"/datasets/?{query}").json()["results"]] == names


def test_cursor_pages_cover_everything_once_and_keep_the_filters(start, dialect):
    avala, client = start(dialect=dialect)
    for number in range(7):
        avala.add_dataset(f"Street {number}")
    pages = walk(dialect, client, "/datasets/?name=street&limit=3")
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [row["name"] for page in pages for row in page] == [
        f"Street {number}" for number in range(6, -1, -1)
    ]
    assert {record.query["name"] for record in avala.requests} == {"street"}


def test_pages_do_not_shift_when_something_is_added_meanwhile(start, dialect):
    avala, client = start(dialect=dialect)
    for number in range(4):
        avala.add_dataset(f"Street {number}")
    first = client.get("/datasets/?name=street&limit=2").json()
    avala.add_dataset("Street 4")
    cursor = first["cursor"] if dialect == "legacy" else first["next"].partition("cursor=")[2]
    second = client.get(f"/datasets/?name=street&limit=2&cursor={cursor}").json()
    assert [row["name"] for row in second.get("results", second.get("items"))] == ["Street 1", "Street 0"]


def test_next_and_previous_are_absolute_on_the_host_that_was_asked(start):
    avala, client = start()
    for number in range(4):
        avala.add_dataset(f"Street {number}")
    base = avala.base_url.replace("127.0.0.1", "localhost")
    first = client.get(f"{base}/datasets?limit=2").json()
    assert first["previous"] is None
    assert first["next"].startswith(f"{base}/datasets/?limit=2&cursor=")
    second = client.get(first["next"]).json()
    third = client.get(second["next"]).json()
    assert third["next"] is None
    assert client.get(third["previous"]).json()["results"] == second["results"]
    assert client.get(second["previous"]).json() == first


@pytest.mark.parametrize(("dialect", "status"), [("current", 404), ("legacy", 400)])
@pytest.mark.parametrize("cursor", ["nonsense", "AAAA", "cT0x", "%ff"])
def test_a_cursor_made_up_is_refused(start, dialect, status, cursor):
    _, client = start(dialect=dialect)
    reply = client.get(f"/datasets/?cursor={cursor}")
    assert reply.status_code == status
    assert "Invalid cursor" in reply.text


@pytest.mark.parametrize(("limit", "size"), [("2", 2), ("0", 4), ("x", 4), ("-1", 4), ("1000", 4), (None, 4)])
def test_a_limit_is_bounded_and_a_senseless_one_ignored(start, limit, size):
    avala, client = start(page_limit=4)
    for number in range(6):
        avala.add_dataset(f"Street {number}")
    assert len(client.get("/datasets/", params={"limit": limit}).json()["results"]) == size


def test_numbered_pages_count_and_ignore_a_cursor(start):
    avala, client = start()
    for number in range(24):
        avala.add_dataset(f"Street {number}")
    first = client.get("/datasets/emulator/list/").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (25, 20, None)
    assert first["next"] == f"{avala.base_url}/datasets/emulator/list/?page=2"
    second = client.get(first["next"]).json()
    assert (len(second["results"]), second["next"]) == (5, None)
    assert client.get(second["previous"]).json()["results"] == first["results"]
    assert client.get("/datasets/emulator/list/?cursor=cD0x").json()["results"] == first["results"]
    assert client.get("/datasets/emulator/list/?page=3").json() == {"detail": "Invalid page."}


def test_uploaded_rows_are_items_in_the_order_sent(start, dialect):
    avala, client = start(dialect=dialect)
    reply = upload(client, b'{"key": "a.jpg", "url": "s3://b/a.jpg"}\r\n\n{"key": "b.jpg"}')
    assert reply.status_code == 201
    assert reply.json()["accepted"] == reply.json()["item_count"] == 2
    assert avala.items(SEED_DATASET_ID) == [{"key": "a.jpg", "url": "s3://b/a.jpg"}, {"key": "b.jpg"}]
    newest, oldest = [row for page in walk(dialect, client, ITEMS + "?limit=1") for row in page]
    assert (oldest["key"], oldest["url"], oldest["data_url"]) == ("a.jpg", "s3://b/a.jpg", "s3://b/a.jpg")
    assert newest["data"] == {"key": "b.jpg"}
    assert newest[avala.dialect.id_key] != oldest[avala.dialect.id_key]
    assert client.get(f"/datasets/{SEED_DATASET_ID}/").json()["item_count"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n[1]\n', "Line 2: not a JSON object."),
        (b'{"a": 1}\n\n{"a"\n', "Line 3: not valid JSON."),
        (b'{"a": 1}\n\xff', "Line 2: not valid JSON."),
        (b"", "The submitted file is empty."),
        (b"\n \n", "The submitted file is empty."),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_stored(start, dialect, content, message):
    avala, client = start(dialect=dialect)
    assert problems(dialect, upload(client, content)) == {"file": [message]}
    assert avala.items(SEED_DATASET_ID) == []


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ({"files": ("a", b'{"a": 1}')}, "files"),
        ({"other": (None, b'{"a": 1}')}, "file"),
        ([("file", ("a", b'{"a": 1}')), ("file", ("b", b'{"a": 2}'))], "file"),
    ],
)
def test_anything_but_one_file_part_is_refused(start, dialect, files, field):
    avala, client = start(dialect=dialect)
    assert set(problems(dialect, client.post(ITEMS, files=files))) == {field}
    assert avala.items(SEED_DATASET_ID) == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b'{"a": 1}', 415),
        ("multipart/form-data", b"--x\r\n", 400),
        ("multipart/form-data; boundary=x", b"garbage", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n{"a": 1}\n',
            400,
        ),
    ],
)
def test_a_broken_form_is_refused(start, content_type, body, status):
    avala, client = start()
    assert client.post(ITEMS, data=body, headers={"Content-Type": content_type}).status_code == status
    assert avala.items(SEED_DATASET_ID) == []


def test_long_lines_and_many_chunks_arrive_whole(start):
    avala, client = start()
    rows = [{"n": number, "text": "é\r-" * (1 + 20_000 * (number % 50 == 0))} for number in range(500)]
    assert upload(client, jsonl(rows)).status_code == 201
    assert avala.items(SEED_DATASET_ID) == rows


def test_a_repeat_doubles_unless_idempotency_keys_are_honoured(start):
    for honour, total in ((False, 4), (True, 2)):
        avala, client = start(honour_idempotency_key=honour)
        replies = [
            upload(client, jsonl([{"a": 1}, {"a": 2}]), headers={"Idempotency-Key": "k"}) for _ in range(2)
        ]
        assert {reply.json()["accepted"] for reply in replies} == {2}
        assert len(avala.items(SEED_DATASET_ID)) == total


def test_an_idempotency_key_drops_exact_repeats_only(start):
    avala, client = start(honour_idempotency_key=True)
    upload(client, jsonl([{"a": 1}]), headers={"Idempotency-Key": "k"})
    upload(client, jsonl([{"a": 2}]), headers={"Idempotency-Key": "k"})
    upload(client, jsonl([{"a": 1}]), headers={"Idempotency-Key": "other"})
    upload(client, jsonl([{"a": 1}]))
    assert avala.items(SEED_DATASET_ID) == [{"a": 1}, {"a": 2}, {"a": 1}, {"a": 1}]


def test_one_upload_too_many_at_a_time_is_throttled(start, dialect):
    avala, client = start(dialect=dialect, max_uploads=2)
    form = requests.Request("POST", avala.base_url + ITEMS, files={"file": ("f", b'{"a": 1}')}).prepare()
    release = threading.Event()

    def slowly():
        yield form.body[:20]
        release.wait(20)
        yield form.body[20:]

    statuses = []
    headers = {**client.headers, "Content-Type": form.headers["Content-Type"]}

    def send():
        statuses.append(requests.post(form.url, data=slowly(), headers=headers, timeout=20).status_code)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: upload_count(avala) == 2)
    refused = upload(client, b'{"a": 1}')
    release.set()
    for thread in threads:
        thread.join()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert statuses == [201, 201]
    assert upload(client, b'{"a": 1}').status_code == 201


def upload_count(avala) -> int:
    return len([record for record in avala.requests_to("POST", ITEMS) if record.status is None])


def test_an_upload_cut_off_by_the_client_stores_nothing(start):
    avala, client = start()

    def broken():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n{"a": 1}\n'
        raise RuntimeError("the client dies")

    with pytest.raises(RuntimeError):
        client.post(ITEMS, data=broken(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert upload(client, b'{"a": 2}').status_code == 201
    assert avala.items(SEED_DATASET_ID) == [{"a": 2}]


def test_a_pending_project_is_approved_once(start, dialect):
    avala, client = start(dialect=dialect)
    path = f"/projects/{avala.add_project(status='pending-approval')}/approve/"
    approved = client.post(path)
    assert (approved.status_code, approved.json()["status"]) == (200, "active")
    assert client.post(path).status_code == 400
    assert client.post("/projects/unknown/approve/").status_code == 404


def test_approval_needs_a_paid_plan(start, dialect):
    avala, client = start(dialect=dialect)
    avala.plan = "FREE"
    reply = client.post(f"/projects/{SEED_PROJECT_ID}/approve/")
    assert reply.status_code == 403
    error = reply.json() if dialect == "current" else reply.json()["error"]
    assert error["code"] == "plan_insufficient"
    if dialect == "current":
        assert error["detail"] == "Project approval requires a PRO or ENTERPRISE plan."
