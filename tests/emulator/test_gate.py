"""What holds for every request: the key, unknown paths and methods, slashes, the log."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID


@pytest.mark.parametrize("headers", [{}, {"X-Avala-Api-Key": "avk_wrong"}])
def test_a_missing_or_wrong_key_is_401(start, dialect, headers):
    avala, _ = start(dialect=dialect)
    reply = requests.get(avala.base_url + "/datasets/", headers=headers, timeout=10)
    assert reply.status_code == 401
    expected = {
        "current": {"detail": "Invalid API key."},
        "legacy": {"error": {"code": "unauthorized", "message": "Invalid API key.", "details": []}},
    }
    assert reply.json() == expected[dialect]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nope/", "Not found."),
        ("/datasets/unknown/", "Dataset not found"),
        ("/exports/unknown/", "Export not found"),
        ("/exports/unknown/download", "Export not found"),
        ("/users/me/projects/unknown/", "Project not found"),
        ("/datasets/unknown/items/", "Dataset not found"),
        ("/datasets/emulator/no-such-slug/", "Dataset not found"),
        ("/datasets/somebody-else/list/", "Owner not found"),
    ],
)
def test_what_is_unknown_is_404(start, dialect, path, message):
    _, client = start(dialect=dialect)
    reply = client.get(path)
    assert reply.status_code == 404
    if dialect == "current":
        assert reply.json() == {"detail": "Not found."}
    else:
        assert reply.json() == {"error": {"code": "not_found", "message": message, "details": []}}


def test_a_method_not_supported_is_405_in_the_documented_words(start, dialect):
    _, client = start(dialect=dialect)
    reply = client.patch("/datasets/")
    assert reply.status_code == 405
    assert "GET" in reply.headers["Allow"]
    text = 'Method "PATCH" not allowed.'
    assert text == (reply.json()["detail"] if dialect == "current" else reply.json()["error"]["message"])


def test_both_slash_forms_are_served_without_redirect(start, dialect):
    avala, client = start(dialect=dialect)
    for path in (
        "/datasets",
        f"/datasets/{SEED_DATASET_ID}",
        f"/datasets/{SEED_DATASET_ID}/items",
        "/exports",
    ):
        assert client.get(path).status_code == client.get(path + "/").status_code == 200
    assert avala.requests[-1].path == "/exports/"
    assert avala.requests[-2].path == "/exports"


@pytest.mark.parametrize(
    ("dialect", "sent", "location"),
    [
        ("current", "/exports?limit=3&x=%20", "/api/v1/exports/?limit=3&x=%20"),
        ("legacy", "/exports/?limit=3", "/api/v1/exports?limit=3"),
    ],
)
def test_strict_mode_redirects_without_processing(start, dialect, sent, location):
    avala, client = start(dialect=dialect, strict_slash=True)
    body = {"projects": [SEED_PROJECT_ID], "project_id": SEED_PROJECT_ID}
    reply = client.post(sent, json=body)
    assert (reply.status_code, reply.headers["Location"]) == (301, location)
    assert avala.exports == []
    assert client.post(location.removeprefix("/api/v1"), json=body).status_code == 201


def test_strict_mode_leaves_the_download_path_alone(start):
    avala, client = start(strict_slash=True, download="api")
    uid = avala.add_export(status="exported")
    assert client.get(f"/exports/{uid}/download").status_code == 200


def test_the_log_has_every_request_in_order_with_what_was_sent(start, clock):
    avala, client = start(clock=clock)
    client.post("/exports/?a=1&a=2", json={"x": 1}, headers={"X-Custom": "Yes"})
    requests.get(avala.base_url + "/users/me", timeout=10)
    first, second = avala.requests
    assert (first.origin, first.method, first.path, first.status) == ("api", "POST", "/exports/", 400)
    assert first.query == {"a": "2"}
    assert first.headers["x-custom"] == "Yes"
    assert first.json == {"x": 1}
    assert first.body_size == len(first.body) > 0
    assert first.at == clock.now
    assert first.key_present
    assert first.fault is None
    assert (second.path, second.key_present, second.json, second.status) == ("/users/me", False, None, 401)
    assert avala.requests_to("POST", "/exp") == [first]
    assert avala.requests_to(None, "/users") == [second]
    avala.clear_requests()
    assert avala.requests == []


def test_a_percent_encoded_id_stays_one_segment(start):
    avala, client = start()
    uid = avala.add_dataset("Odd", id="a/b c")
    assert client.get("/datasets/a%2Fb%20c/").json()["uid"] == uid == "a/b c"
    assert avala.requests[-1].path == "/datasets/a%2Fb%20c/"
    assert client.get("/datasets/a/b%20c/").status_code == 404


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(start, dialect, chunked):
    avala, client = start(dialect=dialect, max_body_bytes=2 * 1024**2)
    body = b"x" * (3 * 1024**2)
    reply = client.post("/exports/", data=iter([body]) if chunked else body)
    assert reply.status_code == 413
    text = "Request body too large. Maximum size is 2MB."
    assert text == (reply.json()["detail"] if dialect == "current" else reply.json()["error"]["message"])
    assert avala.requests[-1].body_size == len(body)
    assert len(avala.requests[-1].body) == 64 * 1024


def test_a_body_that_is_not_json_is_400(start, dialect):
    _, client = start(dialect=dialect)
    reply = client.post("/exports/", data=b"{")
    assert reply.status_code == 400
    assert "JSON parse error" in reply.text


def test_a_missing_scope_is_named(start, dialect):
    avala, client = start(dialect=dialect)
    avala.scopes = {"datasets.read"}
    assert client.get("/datasets/").status_code == 200
    reply = client.post(f"/projects/{SEED_PROJECT_ID}/approve/")
    assert reply.status_code == 403
    text = "API key requires 'projects.write' scope."
    if dialect == "current":
        assert reply.json() == {
            "detail": text,
            "code": "scope_required",
            "doc_url": "https://docs.avala.ai/api/errors#scope_required",
        }
    else:
        assert reply.json() == {"error": {"code": "scope_required", "message": text, "details": []}}
