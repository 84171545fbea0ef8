"""Exports: what may be asked for, how they run and how they end."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import pytest
import requests

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, SEED_SLICE_ID

BODIES = {
    "current": {"name": "n", "format": "f", "projects": [SEED_PROJECT_ID], "datasets": [], "slices": []},
    "legacy": {"project_id": SEED_PROJECT_ID, "format": "f"},
}
WORDS = {
    "current": ("requested", "processing", "exported"),
    "legacy": ("pending", "processing", "completed"),
}


def create(avala, client, **extra):
    reply = client.post("/exports/", json={**BODIES[avala.dialect.name], **extra})
    assert reply.status_code == 201, reply.text
    return reply.json()[avala.dialect.id_key]


def open_zip(content: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


def test_an_export_runs_through_its_states_on_the_clock(start, clock, dialect):
    avala, client = start(dialect=dialect, clock=clock, export_seconds=10)
    avala.add_items(SEED_DATASET_ID, [{"n": number} for number in range(10)])
    first = client.post("/exports/", json=BODIES[dialect]).json()
    path = f"/exports/{first[avala.dialect.id_key]}/"
    seen = [first]
    for _ in range(10):
        avala.advance(1)
        seen.append(client.get(path).json())
    requested, processing, done = WORDS[dialect]
    assert [export["status"] for export in seen] == [requested] * 2 + [processing] * 8 + [done]
    counts = [export["exported_task_count"] for export in seen]
    assert counts == sorted(counts)
    assert 0 < counts[5] < counts[9] < counts[10] == 10
    assert {export["total_task_count"] for export in seen} == {10}
    assert [export["download_url"] is None for export in seen] == [True] * 10 + [False]


@pytest.mark.parametrize("seconds", [0, 0.0])
def test_an_export_that_takes_no_time_is_still_created_first(start, clock, dialect, seconds):
    avala, client = start(dialect=dialect, clock=clock, export_seconds=seconds)
    created = client.post("/exports/", json=BODIES[dialect]).json()
    assert created["status"] == WORDS[dialect][0]
    assert created["download_url"] is None
    assert client.get(f"/exports/{created[avala.dialect.id_key]}/").json()["status"] == WORDS[dialect][2]


def test_the_next_export_can_be_made_to_fail(start, clock, dialect):
    avala, client = start(dialect=dialect, clock=clock, export_seconds=10)
    avala.fail_next_export()
    failing, fine = create(avala, client), create(avala, client)
    assert client.get(f"/exports/{failing}/").json()["status"] == WORDS[dialect][0]
    avala.advance(10)
    failed = client.get(f"/exports/{failing}/").json()
    assert (failed["status"], failed["download_url"]) == ("failed", None)
    assert client.get(f"/exports/{fine}/").json()["status"] == WORDS[dialect][2]


def test_a_running_export_can_be_ended_either_way(start, clock, dialect):
    avala, client = start(dialect=dialect, clock=clock)
    good, bad = create(avala, client), create(avala, client)
    avala.finish_export(good)
    avala.fail_export(bad)
    assert [export["status"] for export in avala.exports] == [WORDS[dialect][2], "failed"]
    assert client.get(f"/exports/{good}/").json()["download_url"]


@pytest.mark.parametrize("status", ["processing", "failed", "cancelled", "some-new-word"])
def test_an_added_export_stays_in_the_status_it_was_given(start, clock, dialect, status):
    avala, client = start(dialect=dialect, clock=clock)
    uid = avala.add_export(status=status, name="x", projects=[SEED_PROJECT_ID])
    avala.advance(1000)
    shown = client.get(f"/exports/{uid}/").json()
    assert (shown["status"], shown["name"], shown["download_url"]) == (status, "x", None)
    assert [export["status"] for export in avala.exports] == [status]


@pytest.mark.parametrize("status", ["exported", "completed"])
def test_an_export_added_as_finished_is_finished_in_the_words_of_the_dialect(start, dialect, status):
    avala, client = start(dialect=dialect)
    shown = client.get(f"/exports/{avala.add_export(status=status)}/").json()
    assert shown["status"] == WORDS[dialect][2]
    assert requests.get(shown["download_url"], timeout=10).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"name": "n", "format": "f", "projects": [SEED_PROJECT_ID], "datasets": [], "slices": []},
        {"project": SEED_PROJECT_ID},
        {"dataset": SEED_DATASET_ID},
        {"project": SEED_PROJECT_ID, "projects": [SEED_PROJECT_ID], "whatever": {"is": "ignored"}},
        {"datasets": None, "slices": [SEED_SLICE_ID]},
    ],
)
def test_current_takes_the_reference_body_and_the_sdk_body(start, body):
    avala, client = start(export_seconds=0)
    avala.add_items(SEED_DATASET_ID, [{"n": 1}])
    created = client.post("/exports/", json=body).json()
    assert created["total_task_count"] == 1
    assert len(created["projects"]) == ("project" in body or bool(body.get("projects")))
    assert "project" not in created
    assert "whatever" not in created


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "non_field_errors"),
        ([], "non_field_errors"),
        ({"projects": [], "datasets": [], "slices": []}, "non_field_errors"),
        ({"projects": ["unknown"]}, "projects"),
        ({"project": "unknown"}, "projects"),
        ({"datasets": [SEED_PROJECT_ID]}, "datasets"),
        ({"slices": [7]}, "slices"),
        ({"projects": [{}]}, "projects"),
        ({"projects": SEED_PROJECT_ID}, "projects"),
        ({"project": [SEED_PROJECT_ID]}, "project"),
        ({"project": SEED_PROJECT_ID, "name": "n" * 256}, "name"),
        ({"project": SEED_PROJECT_ID, "name": 7}, "name"),
    ],
)
def test_current_names_the_field_that_is_wrong(start, body, field):
    avala, client = start()
    reply = client.post("/exports/", json=body)
    assert reply.status_code == 400
    assert set(reply.json()["detail"]) == {field}
    assert avala.exports == []


@pytest.mark.parametrize("body", [{"format": "json"}, {"project_id": "unknown"}, {"project_id": 7}])
def test_legacy_names_the_project_id_that_is_wrong(start, body):
    avala, client = start(dialect="legacy")
    reply = client.post("/exports", json=body)
    assert reply.status_code == 422
    assert [entry["field"] for entry in reply.json()["error"]["details"]] == ["project_id"]
    assert avala.exports == []


def test_the_strict_reading_wants_the_whole_reference_body(start):
    _, client = start(strict_exports=True)
    reply = client.post("/exports/", json={"project": SEED_PROJECT_ID})
    assert set(reply.json()["detail"]) == {"name", "format", "projects", "datasets", "slices"}
    assert client.post("/exports/", json=BODIES["current"]).status_code == 201


def test_a_sixth_running_export_is_throttled_until_one_ends(start, clock, dialect):
    avala, client = start(dialect=dialect, clock=clock, export_seconds=30)
    create(avala, client)
    avala.advance(10)
    for _ in range(4):
        create(avala, client)
    refused = client.post("/exports/", json=BODIES[dialect])
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "20")
    assert len(avala.exports) == 5
    avala.advance(20)
    create(avala, client)
    assert client.post("/exports/", json=BODIES[dialect]).status_code == 429


def test_the_zip_holds_the_rows_as_uploaded_and_a_manifest(start):
    avala, client = start(export_seconds=0)
    other = avala.add_dataset("Other", rows=[{"n": 3}])
    project = avala.add_project(datasets=[SEED_DATASET_ID, other])
    lines = b'{"n":  1, "u": "\xc3\xa9"}\n{"n": 2}\n'
    client.post(f"/datasets/{SEED_DATASET_ID}/items/", files={"file": ("f", lines)})
    body = {"projects": [project], "datasets": [other], "name": "mine"}
    uid = client.post("/exports/", json=body).json()["uid"]
    avala.add_items(other, [{"n": 4}])  # too late for this export
    url = client.get(f"/exports/{uid}/").json()["download_url"]
    archive = open_zip(requests.get(url, timeout=10).content)
    assert archive.testzip() is None
    items = archive.read("items.jsonl")
    assert items == b'{"n": 3}\n'.replace(b" ", b"") + lines
    manifest = json.loads(archive.read("manifest.json"))
    assert (manifest["export"], manifest["name"], manifest["items"]) == (uid, "mine", 3)
    assert manifest["datasets"] == {other: 1, SEED_DATASET_ID: 2}
    assert manifest["sha256"]["items.jsonl"] == hashlib.sha256(items).hexdigest()


def test_equal_exports_of_two_emulators_are_equal_byte_for_byte(start):
    contents = []
    for _ in range(2):
        avala, client = start()
        avala.add_items(SEED_DATASET_ID, [{"n": number} for number in range(100)])
        uid = avala.add_export(status="exported", id="fixed", projects=[SEED_PROJECT_ID])
        url = client.get(f"/exports/{uid}/").json()["download_url"]
        contents.append(requests.get(url, timeout=10).content)
    assert contents[0] == contents[1]


def test_the_list_is_newest_first_and_filters_by_live_status(start, clock):
    avala, client = start(clock=clock, export_seconds=10)
    uids = [create(avala, client, name=str(number)) for number in range(3)]
    avala.fail_export(uids[1])
    avala.advance(10)
    assert [row["uid"] for row in client.get("/exports/").json()["results"]] == uids[::-1]
    rows = client.get("/exports/?status=exported&limit=1").json()
    assert [row["uid"] for row in rows["results"]] == [uids[2]]
    assert [row["uid"] for row in client.get(rows["next"]).json()["results"]] == [uids[0]]


def test_snapshots_name_the_id_both_ways_and_hold_no_url(start, dialect):
    avala, _ = start(dialect=dialect)
    uid = avala.add_export(status="exported")
    (export,) = avala.exports
    assert export["id"] == export["uid"] == uid
    assert "download_url" not in export
