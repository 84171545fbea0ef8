"""Strict mode: what the reference documentation says is invalid is refused, in the documented envelope."""

from __future__ import annotations

import pytest

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID

REFERENCE = {
    "name": "nightly",
    "format": "avala-json-external",
    "datasets": [],
    "projects": [SEED_PROJECT_ID],
    "slices": [],
}
REQUIRED = ["This field is required."]


def test_an_export_of_the_reference_is_taken(start):
    _, client = start(strict=True)
    reply = client.post("/exports/", json=REFERENCE)
    assert (reply.status_code, reply.json()["name"], reply.json()["status"]) == (201, "nightly", "requested")


@pytest.mark.parametrize("field", REFERENCE)
def test_an_export_without_a_required_field_is_refused(start, field):
    avala, client = start(strict=True)
    body = {name: value for name, value in REFERENCE.items() if name != field}
    reply = client.post("/exports/", json=body)
    assert (reply.status_code, reply.json()) == (400, {"detail": {field: REQUIRED}})
    assert avala.exports == []


@pytest.mark.parametrize("body", [{"project": SEED_PROJECT_ID}, {"dataset": SEED_DATASET_ID}, {}])
def test_the_body_of_the_sdk_is_refused(start, body):
    _, client = start(strict=True)
    assert client.post("/exports/", json=body).json() == {"detail": dict.fromkeys(REFERENCE, REQUIRED)}


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/exports/", "status", "finished"),
        ("/datasets/", "status", "active"),
        ("/datasets/", "data_type", "pointcloud"),
        ("/datasets/", "visibility", "secret"),
        ("/datasets/emulator/list/", "status", "active"),
        ("/tasks/", "status", "open"),
        ("/users/me/projects/", "status", "ACTIVE"),
        ("/webhook-deliveries/", "status", "lost"),
        ("/organizations/emulator/members/", "role", "king"),
        ("/datasets/", "ordering", "colour"),
        ("/datasets/emulator/seed-dataset/items/", "ordering", "colour"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_by_name(start, path, name, value):
    text = f"Select a valid choice. {value} is not one of the available choices."
    for strict, status in ((True, 400), (False, 200)):
        _, client = start(strict=strict)
        reply = client.get(path, params={name: value})
        assert reply.status_code == status
        if strict:
            assert reply.json() == {"detail": {name: [text]}}


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5"])
def test_a_limit_that_cannot_be_is_refused(start, limit):
    _, client = start(strict=True)
    reply = client.get("/datasets/", params={"limit": limit})
    assert reply.json() == {"detail": {"limit": ["A positive integer is required."]}}


@pytest.mark.parametrize(
    "query", [{"status": "created", "ordering": "-name", "limit": "1"}, {"status": ""}, {"whatever": "1"}]
)
def test_what_the_reference_allows_passes(start, query):
    _, client = start(strict=True)
    reply = client.get("/datasets/", params=query)
    assert [row["uid"] for row in reply.json()["results"]] == [SEED_DATASET_ID]


@pytest.mark.parametrize(
    ("dialect", "refusal"),
    [
        ("current", {"detail": "Request body too large. Maximum size is 1MB."}),
        (
            "legacy",
            {
                "error": {
                    "code": "payload_too_large",
                    "message": "Request body too large. Maximum size is 1MB.",
                    "details": [],
                }
            },
        ),
    ],
)
def test_a_body_over_the_limit_is_refused(start, dialect, refusal):
    avala, client = start(strict=True, dialect=dialect, max_body_bytes=1024**2)
    reply = client.post("/datasets/", data=b" " * (1024**2 + 1), headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()) == (413, refusal)
    assert len(avala.datasets) == 1


def test_the_older_dialect_refuses_with_422_and_details(start):
    _, client = start(strict=True, dialect="legacy")
    reply = client.get("/exports", params={"status": "finished"})
    assert reply.status_code == 422
    assert [entry["field"] for entry in reply.json()["error"]["details"]] == ["status"]


def test_it_can_be_turned_on_while_the_emulator_runs(start):
    _, client = start()
    control = client.base_url.replace("/api/v1", "/__emulator__/state")
    assert client.post("/exports/", json={"project": SEED_PROJECT_ID}).status_code == 201
    assert client.post(control, json={"settings": {"strict": True}}).status_code == 200
    assert client.post("/exports/", json={"project": SEED_PROJECT_ID}).status_code == 400
    assert client.get("/exports/?status=finished").status_code == 400
