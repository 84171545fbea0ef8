"""Organizations and the people in them, owners of datasets and slices, storage, signing up."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_avala.emulator import (
    SEED_DATASET_ID,
    SEED_ORGANIZATION_ID,
    SEED_PROJECT_ID,
    SEED_USER_ID,
)

HOME = "/organizations/emulator"
WEEK = 7 * 24 * 3600


@pytest.fixture
def company(start):
    """An emulator with a second organization, in which bob is a member."""
    avala, client = start()
    uid = client.post("/organizations/", json={"name": "My company"}).json()["uid"]
    return avala, client, uid, avala.add_member(uid, "bob")


def roles(client, slug="my-company"):
    found = client.get(f"/organizations/{slug}/members/").json()["results"]
    return {row["username"]: row["role"] for row in found}


def test_who_makes_an_organization_owns_it(company):
    _, client, uid, _ = company
    assert roles(client) == {"emulator": "owner", "bob": "member"}
    shown = client.get("/organizations/my-company/").json()
    assert (shown["uid"], shown["role"], shown["member_count"], shown["plan"]) == (
        uid,
        "owner",
        2,
        "ENTERPRISE",
    )
    again = client.post("/organizations/", json={"name": "My company"}).json()
    assert again["slug"] == "my-company-2"


def test_organizations_are_paged_by_number(company):
    _, client, uid, _ = company
    first = client.get("/organizations/?limit=1").json()
    assert (first["count"], [row["uid"] for row in first["results"]]) == (2, [uid])
    assert first["next"].endswith("/organizations/?limit=1&page=2")
    second = client.get(first["next"]).json()
    assert ([row["uid"] for row in second["results"]], second["next"]) == ([SEED_ORGANIZATION_ID], None)
    assert client.get("/organizations/?limit=1&cursor=2").json()["results"] == first["results"]


@pytest.mark.parametrize(
    ("query", "names"),
    [("search=BOB", ["bob"]), ("role=owner", ["emulator"]), ("search=x@", []), ("", ["bob", "emulator"])],
)
def test_members_are_searched(company, query, names):
    _, client, _, _ = company
    found = client.get(f"/organizations/my-company/members/?{query}").json()["results"]
    assert [row["username"] for row in found] == names


def test_roles_change_and_ownership_by_transfer_only(company):
    _, client, _, bob = company
    path = f"/organizations/my-company/members/{bob}"
    assert client.patch(f"{path}/role/", json={"role": "admin"}).json()["role"] == "admin"
    assert client.patch(f"{path}/role/", json={"role": "owner"}).status_code == 400
    assert client.patch(f"{path}/role/", json={"role": "king"}).status_code == 400
    assert client.post("/organizations/my-company/leave/").status_code == 400
    transfer = "/organizations/my-company/transfer-ownership/"
    assert client.post(transfer, json={"new_owner_uid": "nobody"}).status_code == 400
    assert client.post(transfer, json={"new_owner_uid": bob}).status_code == 204
    assert roles(client) == {"emulator": "admin", "bob": "owner"}
    assert client.post("/organizations/my-company/leave/").status_code == 204
    assert roles(client) == {"bob": "owner"}
    assert client.get("/organizations/my-company/").json()["role"] is None


def test_a_member_who_is_removed_is_gone(company):
    _, client, _, bob = company
    path = f"/organizations/my-company/members/{bob}/"
    assert client.delete(path).status_code == 204
    assert client.delete(path).status_code == 404
    assert roles(client) == {"emulator": "owner"}


def test_a_team_takes_members_of_its_organization_only(company):
    avala, client, uid, bob = company
    client.post("/organizations/my-company/teams/", json={"name": "Blue"})
    path = "/organizations/my-company/teams/blue/members/"
    added = client.post(path, json={"user_uid": bob, "role": "lead"})
    assert (added.status_code, added.json()["username"], added.json()["role"]) == (201, "bob", "lead")
    assert client.post(path, json={"user_uid": bob}).status_code == 409
    stranger = avala.add_member(SEED_ORGANIZATION_ID, "eve")
    assert list(client.post(path, json={"user_uid": stranger}).json()["detail"]) == ["user_uid"]
    team = client.get("/organizations/my-company/teams/blue/").json()
    assert (team["member_count"], team["organization_uid"], team["organization_slug"]) == (
        1,
        uid,
        "my-company",
    )
    assert client.patch(f"{path}{bob}/role/", json={"role": "member"}).json()["role"] == "member"
    assert client.delete(f"{path}{bob}/").status_code == 204
    assert client.get(path).json()["results"] == []
    assert client.get(f"{HOME}/teams/blue/").status_code == 404


def test_an_invitation_expires_is_sent_again_and_is_cancelled(start, clock):
    avala, client = start(clock=clock)
    created = client.post(f"{HOME}/invitations/", json={"email": "a@b.co", "role": "admin"}).json()
    assert (created["invited_email"], created["role"], created["status"]) == ("a@b.co", "admin", "pending")
    assert created["accept_url"].startswith("https://avala.ai/organizations/invitations/")
    assert client.post(f"{HOME}/invitations/", json={"email": "a@b.co"}).status_code == 409
    avala.advance(WEEK)
    assert client.get(f"{HOME}/invitations/").json()["results"][0]["is_expired"] is True
    path = f"{HOME}/invitations/{created['uid']}"
    assert client.post(f"{path}/resend/").json()["is_expired"] is False
    assert client.post(f"{path}/cancel/").json()["status"] == "cancelled"
    assert client.post(f"{path}/resend/").status_code == 400
    assert client.post(f"{HOME}/invitations/unknown/cancel/").status_code == 404


def test_a_dataset_moves_to_its_new_owner_and_path(company):
    _, client, uid, _ = company
    moved = client.post("/datasets/emulator/seed-dataset/transfer/", json={"organization_uid": uid}).json()
    assert (moved["owner_name"], moved["uid"]) == ("my-company", SEED_DATASET_ID)
    assert client.get("/datasets/emulator/seed-dataset/").status_code == 404
    assert client.get("/datasets/my-company/seed-dataset/").json()["uid"] == SEED_DATASET_ID
    assert client.get("/datasets/my-company/list/").json()["count"] == 1
    assert client.get("/datasets/emulator/list/").json()["count"] == 0
    assert client.get("/organizations/my-company/").json()["dataset_count"] == 1
    back = client.post("/datasets/my-company/seed-dataset/transfer/", json={"owner_username": "emulator"})
    assert back.json()["owner_name"] == "emulator"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"organization_uid": SEED_ORGANIZATION_ID, "owner_username": "emulator"}, 400),
        ({"organization_uid": "unknown"}, 400),
        ({"owner_username": "somebody-else"}, 403),
    ],
)
def test_a_transfer_needs_one_new_owner_who_may_be_it(start, body, status):
    _, client = start()
    assert client.post("/datasets/emulator/seed-dataset/transfer/", json=body).status_code == status
    assert client.get("/datasets/emulator/seed-dataset/").status_code == 200


def test_a_slice_has_the_items_of_its_datasets(start):
    avala, client = start()
    other = avala.add_dataset("Other", rows=[{"key": "c"}])
    avala.add_items(SEED_DATASET_ID, [{"key": "a"}, {"key": "b"}])
    parts = [{"dataset_uid": SEED_DATASET_ID}, {"dataset_uid": other}]
    body = {"name": "Night drives", "visibility": "private", "sub_slices": parts}
    created = client.post("/slices/", json=body)
    assert (created.status_code, created.json()["slug"], created.json()["item_count"]) == (
        201,
        "night-drives",
        3,
    )
    page = client.get("/slices/emulator/night-drives/items/list/?limit=2").json()
    assert (page["count"], [row["key"] for row in page["results"]]) == (3, ["c", "b"])
    item = page["results"][0]
    assert client.get(f"/slices/emulator/night-drives/items/{item['uid']}/").json() == item
    assert client.get("/slices/emulator/night-drives/items/unknown/").status_code == 404
    assert client.get("/slices/nobody/list/").status_code == 404
    few = client.post("/slices/", json={**body, "random_selection_count": 1}).json()
    assert (few["slug"], few["item_count"]) == ("night-drives-2", 1)


def test_storage_is_of_one_organization_and_verified_unless_out_of_reach(company):
    avala, client, uid, _ = company
    body = {
        "name": "s",
        "provider": "gc_storage",
        "gc_storage_bucket_name": "b",
        "gc_storage_auth_json_content": "{}",
    }
    assert list(client.post("/storage-configs/", json=body).json()["detail"]) == ["organization"]
    created = client.post("/storage-configs/?organization=my-company", json=body).json()
    path = f"/storage-configs/{created['uid']}/"
    assert client.get(f"{path}?organization=emulator").status_code == 404
    assert client.get(f"{path}?organization=my-company").json() == created
    assert client.get("/storage-configs/?organization=emulator").json()["results"] == []
    setup = client.get("/storage-configs/setup-info/?organization=my-company").json()
    assert setup == {"avala_aws_account_id": "000000000000", "external_id": f"avala-{uid}"}
    avala.unreachable_buckets.add("b")
    refused = client.post(f"{path}test/").json()
    assert (refused["verified"], list(refused["errors"])) == (False, ["gc_storage_bucket_name"])
    avala.unreachable_buckets.clear()
    assert client.post(f"{path}test/").json() == {"verified": True, "errors": {}}
    shown = client.get(path).json()
    assert shown["is_verified"] is True
    assert shown["last_verified_at"]


def test_the_test_of_an_inference_provider_is_remembered(start):
    _, client = start()
    body = {"name": "p", "provider_type": "http", "config": {"url": "http://127.0.0.1:9/"}}
    path = f"/inference-providers/{client.post('/inference-providers/', json=body).json()['uid']}/"
    assert client.get(path).json()["last_test_success"] is None
    assert client.post(f"{path}test/").json()["success"] is True
    client.patch(path, json={"is_active": False})
    assert client.post(f"{path}test/").json()["success"] is False
    assert client.get(path).json()["last_test_success"] is False


def test_signing_up_needs_no_key_and_gives_one_that_works(start):
    avala, client = start()
    body = {"email": "ada@example.com", "password": "secret", "first_name": "Ada"}
    reply = requests.post(f"{avala.base_url}/signup/", json=body, timeout=10)
    assert reply.status_code == 201
    user, key = reply.json()["user"], reply.json()["api_key"]
    assert (user["username"], user["first_name"], user["last_name"]) == ("ada", "Ada", "")
    mine = requests.get(f"{avala.base_url}/users/me/", headers={"X-Avala-Api-Key": key}, timeout=10).json()
    assert (mine["uid"], mine["email"]) == (user["uid"], "ada@example.com")
    assert client.get("/users/me/").json()["uid"] == SEED_USER_ID
    wrong = requests.get(f"{avala.base_url}/users/me/", headers={"X-Avala-Api-Key": key + "x"}, timeout=10)
    assert wrong.status_code == 401
    second = requests.post(f"{avala.base_url}/signup/", json=body, timeout=10).json()
    assert second["user"]["username"] == "ada-2"
    avala.reset()
    gone = requests.get(f"{avala.base_url}/users/me/", headers={"X-Avala-Api-Key": key}, timeout=10)
    assert gone.status_code == 401


def test_what_is_added_without_a_request_is_found_by_requests(start):
    avala, client = start()
    task = avala.add_task(SEED_PROJECT_ID, "cuboid", type="point-cloud-objects")
    assert client.get(f"/tasks/{task}/").json()["type"] == "point-cloud-objects"
    member = avala.add_member(SEED_ORGANIZATION_ID, "eve", role="viewer")
    rows = client.get(f"{HOME}/members/?role=viewer").json()["results"]
    assert [row["user_uid"] for row in rows] == [member]


def test_what_was_uploaded_for_an_organization_becomes_its_dataset(company):
    _, client, uid, _ = company
    body = {"name": "D", "slug": "d", "data_type": "image", "organization_uid": uid}
    made = client.post("/datasets/manual-upload/", json=body)
    assert (made.status_code, made.json()["owner_name"]) == (201, "my-company")
    imported = client.post("/datasets/", json={**body, "slug": "e"}).json()
    assert imported["owner_name"] == "my-company"
    assert (
        client.post("/datasets/", json={**body, "slug": "f", "organization_uid": SEED_DATASET_ID}).status_code
        == 400
    )
