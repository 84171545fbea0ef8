"""What every row of the resource table gets: create, show, list, change, delete, and refusals that name the field."""

from __future__ import annotations

import pytest

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_ORGANIZATION_ID, SEED_PROJECT_ID
from airflow_provider_avala.emulator.resources import RESOURCES

UNKNOWN = "00000000-0000-0000-0000-000000000000"
TARGETS = f"/projects/{SEED_PROJECT_ID}/quality-targets/"
TEAMS = "/organizations/emulator/teams/"
STORAGE = {
    "name": "bucket",
    "provider": "aws_s3",
    "s3_bucket_name": "b",
    "s3_bucket_region": "eu-central-1",
    "s3_access_key_id": "AKIA-hush",
    "s3_secret_access_key": "hush",
}
PROVIDER = {"name": "p", "provider_type": "http", "config": {"url": "http://127.0.0.1:9/", "api_key": "hush"}}

# Path of the collection, a body to create one with, and a change (None: it cannot be changed).
CRUD = {
    "webhooks": (
        "/webhooks/",
        {"target_url": "https://x.test/", "events": ["task.completed"]},
        {"is_active": False},
    ),
    "agents": ("/agents/", {"name": "a"}, {"name": "b"}),
    "inference_providers": ("/inference-providers/", PROVIDER, {"description": "new"}),
    "storage_configs": ("/storage-configs/", STORAGE, None),
    "quality_targets": (TARGETS, {"name": "q", "metric": "m", "threshold": 0.9}, {"threshold": 0.5}),
    "teams": (TEAMS, {"name": "Blue team"}, {"color": "#00f"}),
    "organizations": ("/organizations/", {"name": "My company"}, {"website": "https://x.test/"}),
    "datasets": ("/datasets/", {"name": "D", "slug": "d", "data_type": "image"}, {"visibility": "public"}),
}


def item_path(kind, path, shown) -> str:
    return f"{path}{shown['slug' if kind in ('teams', 'organizations') else 'uid']}/"


@pytest.mark.parametrize("kind", CRUD)
def test_one_is_created_shown_changed_and_deleted(start, kind):
    _, client = start(dataset_seconds=0)
    path, body, change = CRUD[kind]
    before = client.get(path).json()["results"]
    reply = client.post(path, json=body)
    assert reply.status_code == 201, reply.text
    created = reply.json()
    hidden = {name for name, rule in RESOURCES[kind].fields.items() if rule.access == "write"}
    assert {name: created.get(name) for name in body if name not in {*hidden, "config"}} == {
        name: value for name, value in body.items() if name not in {*hidden, "config"}
    }
    where = item_path(kind, path, created)
    shown = client.get(where).json()
    assert shown == {name: value for name, value in created.items() if name != "secret"}
    listed = client.get(path).json()["results"]
    assert [row["uid"] for row in listed] == [created["uid"], *(row["uid"] for row in before)]
    if change is not None:
        changed = client.patch(where, json=change).json()
        volatile = {"updated_at", *change}
        assert {name: changed[name] for name in change} == change
        assert {n: v for n, v in changed.items() if n not in volatile} == {
            n: v for n, v in shown.items() if n not in volatile
        }
        assert client.get(where).json() == changed
    gone = client.delete(where)
    assert (gone.status_code, gone.content) == (204, b"")
    assert client.get(where).json() == {"detail": "Not found."}
    assert client.delete(where).status_code == 404
    assert client.patch(where, json={}).status_code in (404, 405)


@pytest.mark.parametrize("kind", CRUD)
def test_what_is_required_is_asked_for_and_nothing_is_stored(start, kind):
    avala, client = start()
    path, _, _ = CRUD[kind]
    count = len(avala.store.tables[kind])
    reply = client.post(path, json={})
    required = [n for n, rule in RESOURCES[kind].fields.items() if rule.required and rule.access == "rw"]
    assert reply.status_code == 400
    assert reply.json() == {"detail": {name: ["This field is required."] for name in required}}
    assert len(avala.store.tables[kind]) == count


@pytest.mark.parametrize(
    "kind", [kind for kind, row in RESOURCES.items() if "get" in row.methods and row.item_path]
)
def test_an_unknown_one_is_not_found(start, kind):
    _, client = start()
    path = RESOURCES[kind].item_path
    known = {"organization": "emulator", "project": SEED_PROJECT_ID, "owner": "emulator"}
    for name in ("uid", "organization", "team", "project", "owner", "slug"):
        last = f"{{{name}}}" == path.rpartition("/")[2]
        path = path.replace(f"{{{name}}}", UNKNOWN if last else known.get(name, "seed-dataset"))
    reply = client.get(f"{path}/")
    assert (reply.status_code, reply.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize(
    ("path", "body", "field", "text"),
    [
        ("/webhooks/", {"target_url": "not-a-url", "events": ["task.completed"]}, "target_url", "valid URL"),
        ("/webhooks/", {"target_url": "https://x.test/", "events": []}, "events", "may not be empty"),
        (
            "/webhooks/",
            {"target_url": "https://x.test/", "events": ["no.event"]},
            "events",
            '"no.event" is not',
        ),
        ("/agents/", {"name": "a", "project": UNKNOWN}, "project", "does not exist"),
        ("/agents/", {"name": "n" * 256}, "name", "no more than 255"),
        ("/agents/", {"name": "a", "callback_url": "ftp://x"}, "callback_url", "valid URL"),
        ("/agents/", {"name": "a", "task_types": [1]}, "task_types", "Not a valid string"),
        ("/inference-providers/", {**PROVIDER, "config": {}}, "config", "needs a url"),
        (
            "/inference-providers/",
            {**PROVIDER, "provider_type": "magic"},
            "provider_type",
            "not a valid choice",
        ),
        ("/storage-configs/", {**STORAGE, "s3_secret_access_key": None}, "s3_secret_access_key", "required"),
        ("/storage-configs/", {**STORAGE, "s3_auth_method": "iam_role"}, "s3_role_arn", "required"),
        (TARGETS, {"name": "q", "metric": "m", "threshold": "high"}, "threshold", "valid number"),
        (
            TARGETS,
            {"name": "q", "metric": "m", "threshold": 1, "operator": "eq"},
            "operator",
            "not a valid choice",
        ),
        (
            f"/projects/{SEED_PROJECT_ID}/auto-label/",
            {"confidence_threshold": 2},
            "confidence_threshold",
            "less than",
        ),
        (f"/projects/{SEED_PROJECT_ID}/auto-label/", {"model_type": "x"}, "model_type", "not a valid choice"),
        ("/organizations/emulator/invitations/", {"email": "nobody"}, "email", "valid email"),
        ("/slices/", {"name": "s", "visibility": "private", "sub_slices": [{}]}, "sub_slices", "dataset_uid"),
        (
            "/datasets/",
            {"name": "d", "slug": "d", "data_type": "image", "owner_name": "who"},
            "owner_name",
            "not exist",
        ),
        ("/signup/", {"email": "a@b.co", "password": ""}, "password", "may not be blank"),
    ],
)
def test_a_wrong_value_is_refused_by_name(start, path, body, field, text):
    _, client = start()
    reply = client.post(path, json=body)
    assert reply.status_code == 400
    assert list(reply.json()["detail"]) == [field]
    assert text in reply.json()["detail"][field][0]


def test_a_change_is_checked_like_a_creation(start):
    _, client = start()
    uid = client.post("/agents/", json={"name": "a"}).json()["uid"]
    reply = client.patch(f"/agents/{uid}/", json={"name": None, "events": "x"})
    assert reply.json() == {
        "detail": {"name": ["This field may not be null."], "events": ["Not a valid list of items."]}
    }
    assert client.get(f"/agents/{uid}/").json()["name"] == "a"


def test_put_replaces_all_that_was_not_sent(start):
    _, client = start()
    uid = client.post(
        "/agents/", json={"name": "a", "description": "old", "events": ["task.completed"]}
    ).json()["uid"]
    replaced = client.put(f"/agents/{uid}/", json={"name": "b"}).json()
    assert (replaced["name"], replaced["description"], replaced["events"]) == ("b", "", [])
    assert client.put(f"/agents/{uid}/", json={}).status_code == 400


def test_a_second_agent_of_the_name_is_a_conflict(start):
    _, client = start()
    client.post("/agents/", json={"name": "a"})
    reply = client.post("/agents/", json={"name": "a"})
    assert (reply.status_code, reply.json()) == (409, {"detail": "An agent with this name already exists."})
    other = client.post("/agents/", json={"name": "b"}).json()["uid"]
    assert client.patch(f"/agents/{other}/", json={"name": "a"}).status_code == 409
    assert client.patch(f"/agents/{other}/", json={"name": "b"}).status_code == 200


@pytest.mark.parametrize("name", ["unknown", UNKNOWN])
def test_what_is_part_of_nothing_is_not_found(start, name):
    _, client = start()
    for path in (
        f"/projects/{name}/quality-targets/",
        f"/projects/{name}/consensus/",
        f"/projects/{name}/consensus/config/",
        f"/organizations/{name}/members/",
        f"/organizations/emulator/teams/{name}/members/",
        f"/sequences/{name}/annotation-issues/",
        f"/datasets/emulator/{name}/sequences/",
        f"/agents/{name}/executions/",
    ):
        assert client.get(path).status_code == 404, path
    assert client.post(f"/projects/{name}/auto-label/", json={}).status_code == 404


@pytest.mark.parametrize(
    ("ordering", "names"),
    [
        ("name", ["a", "B", "c"]),
        ("-name", ["c", "B", "a"]),
        ("created_at", ["c", "a", "B"]),
        ("-created_at", ["B", "a", "c"]),
        ("unknown", ["B", "a", "c"]),
    ],
)
def test_a_list_is_in_the_order_asked_for_over_all_its_pages(start, ordering, names):
    _, client = start()
    for name in ("c", "a", "B"):
        client.post("/agents/", json={"name": name})
    url, found = f"/agents/?limit=2&ordering={ordering}", []
    while url:
        page = client.get(url).json()
        found += [row["name"] for row in page["results"]]
        url = page["next"]
    assert found == names


def test_tasks_are_listed_by_project_and_status(start):
    avala, client = start()
    other = avala.add_project("Other")
    mine = avala.add_task(SEED_PROJECT_ID, status="completed")
    avala.add_task(SEED_PROJECT_ID)
    avala.add_task(other, status="completed")
    page = client.get(f"/tasks/?project={SEED_PROJECT_ID}&status=completed").json()
    assert [row["uid"] for row in page["results"]] == [mine]
    assert client.get(f"/tasks/{mine}/").json()["project"] == SEED_PROJECT_ID


def test_parts_go_with_what_they_are_part_of(start):
    avala, client = start()
    organization = client.post("/organizations/", json={"name": "Mine"}).json()
    client.post("/organizations/mine/teams/", json={"name": "Blue"})
    client.delete("/organizations/mine/")
    parts = [*avala.store.tables["teams"].values(), *avala.store.tables["members"].values()]
    assert organization["uid"] not in [part["_organizations"] for part in parts]
    assert SEED_ORGANIZATION_ID in [part["_organizations"] for part in parts]


@pytest.mark.parametrize("kind", ["webhooks", "agents"])
def test_a_secret_is_shown_once(start, kind):
    _, client = start()
    path, body, _ = CRUD[kind]
    created = client.post(path, json=body).json()
    assert len(created["secret"]) > 20
    shown = client.get(f"{path}{created['uid']}/").text + client.get(path).text
    shown += client.patch(f"{path}{created['uid']}/", json={}).text
    assert created["secret"] not in shown
    assert '"secret"' not in shown


@pytest.mark.parametrize("kind", ["storage_configs", "inference_providers"])
def test_credentials_are_never_shown_and_not_in_the_request_log(start, kind):
    avala, client = start()
    path, body, _ = CRUD[kind]
    created = client.post(path, json=body)
    shown = created.text + client.get(f"{path}{created.json()['uid']}/").text + client.get(path).text
    assert "hush" not in shown
    assert b"hush" not in avala.requests[0].body
    assert avala.requests[0].json["name"] == body["name"]


def test_the_log_keeps_no_password_and_no_credentials_of_a_cloud_import(start):
    avala, client = start()
    config = {"provider": "gc_storage", "gc_storage_auth_json_content": '{"private_key": "hu\\"sh"}'}
    body = {"name": "d", "slug": "d", "data_type": "image", "provider_config": config}
    assert client.post("/datasets/", json=body).status_code == 201
    assert client.post("/signup/", json={"email": "a@b.co", "password": "hush"}).status_code == 201
    assert not [record for record in avala.requests if b"hu" in record.body]
    assert avala.requests[0].json["provider_config"]["gc_storage_auth_json_content"] == "***"


def test_the_legacy_dialect_shows_every_kind_with_its_id(start):
    _, client = start(dialect="legacy")
    created = client.post("/webhooks", json=CRUD["webhooks"][1]).json()
    assert "uid" not in created
    assert client.get(f"/webhooks/{created['id']}").json()["id"] == created["id"]
    assert client.get("/webhooks").json()["total"] == 1
    refused = client.post("/webhooks", json={})
    assert refused.status_code == 422
    assert {entry["field"] for entry in refused.json()["error"]["details"]} == {"target_url", "events"}
    assert client.get("/webhooks/nope").json()["error"]["message"] == "Webhook not found"


def test_a_missing_scope_is_named_for_reading_and_for_writing(start):
    avala, client = start()
    avala.scopes = {"datasets.read", "projects.read"}
    assert client.get(f"/datasets/{SEED_DATASET_ID}/").status_code == 200
    for method, path, scope in (
        ("DELETE", f"/datasets/{SEED_DATASET_ID}/", "datasets.write"),
        ("POST", TARGETS, "projects.write"),
        ("GET", "/tasks/", "tasks.read"),
        ("POST", "/exports/", "exports.create"),
    ):
        reply = client.request(method, path, json={})
        assert (reply.status_code, reply.json()["code"]) == (403, "scope_required")
        assert f"'{scope}'" in reply.json()["detail"]
