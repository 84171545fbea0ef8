"""Datasets: made, found, waited for, given away, and what is in them."""

from __future__ import annotations

import avala.errors
import pytest

from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID, SEED_OWNER
from tests.sdk.facade import covers
from tests.sdk.samples import FRAMES


def make(sdk, **fields):
    return sdk.datasets.create(**{"name": "Streets", "slug": "streets", "data_type": "image", **fields})


@covers("datasets.create", "datasets.get", "datasets.get_by_slug")
def test_a_dataset_is_created_and_found_by_either_name(sdk):
    created = make(sdk, visibility="unlisted", metadata={"city": "Bonn"}, industry=3, license=1)
    assert (created.name, created.slug, created.data_type) == ("Streets", "streets", "image")
    assert created.owner_name == SEED_OWNER
    assert (created.item_count, created.is_sequence) == (0, False)
    for found in (sdk.datasets.get(created.uid), sdk.datasets.get_by_slug(SEED_OWNER, "streets")):
        assert (found.uid, found.created_at, found.status) == (created.uid, created.created_at, "created")


@covers("datasets.create")
def test_an_organization_may_own_it(sdk):
    created = make(sdk, organization_uid=SEED_ORGANIZATION_ID, gpu_texture_format="astc")
    assert created.owner_name == SEED_OWNER


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"data_type": "tape"}, "data_type"), ({"slug": "No Slug"}, "slug"), ({"name": ""}, "name")],
)
def test_what_cannot_be_is_refused_by_field(sdk, wrong, field):
    with pytest.raises(avala.errors.ValidationError) as caught:
        make(sdk, **wrong)
    assert caught.value.status_code == 400
    assert list(caught.value.body["detail"]) == [field]


def test_a_slug_that_is_taken_is_a_conflict(sdk):
    make(sdk)
    with pytest.raises(avala.errors.AvalaError, match="already exists") as caught:
        make(sdk)
    assert caught.value.status_code == 409


@covers("datasets.wait")
def test_a_cloud_import_is_waited_for(sdk, control):
    control.turn(settings={"dataset_seconds": 0.5})
    created = make(sdk, provider_config={"bucket": "b", "s3_secret_access_key": "hidden"})
    assert (created.status, created.item_count) == ("creating", 0)
    ready = sdk.datasets.wait(created.uid, interval=1, timeout=30)
    assert ready.status == "created"
    assert ready.item_count >= 1
    assert "hidden" not in str(control.turn())


@covers("datasets.wait")
def test_a_wait_has_an_end(sdk, control):
    control.turn(settings={"dataset_seconds": 1000})
    with pytest.raises(TimeoutError, match="last status: creating"):
        sdk.datasets.wait(make(sdk).uid, timeout=0)


@covers("datasets.list")
def test_datasets_are_listed_by_filters_and_pages(sdk, control):
    control.plant(
        datasets=[
            {"name": "Day", "slug": "day", "data_type": "lidar"},
            {"name": "Night", "slug": "night", "data_type": "lidar", "status": "creating"},
            {"name": "Midnight", "slug": "midnight", "data_type": "video", "visibility": "public"},
        ]
    )

    def names(**filters):
        return [dataset.name for dataset in sdk.datasets.list(**filters)]

    assert names() == ["Midnight", "Night", "Day", "Seed dataset"]
    assert names(data_type="lidar") == ["Night", "Day"]
    assert names(name="NIGHT") == ["Midnight", "Night"]
    assert names(status="creating") == ["Night"]
    assert names(visibility="public") == ["Midnight"]
    first = sdk.datasets.list(data_type="lidar", limit=1)
    assert ([dataset.name for dataset in first], first.has_more) == (["Night"], True)
    second = sdk.datasets.list(data_type="lidar", limit=1, cursor=first.next_cursor)
    assert ([dataset.name for dataset in second], second.has_more) == (["Day"], False)


@covers("datasets.transfer")
def test_a_dataset_is_given_to_an_organization(sdk, control):
    [organization] = control.plant(organizations=[{"name": "Acme", "slug": "acme"}])["organizations"]
    made = make(sdk)
    moved = sdk.datasets.transfer(SEED_OWNER, "streets", organization_uid=organization)
    assert (moved.uid, moved.owner_name) == (made.uid, "acme")
    assert sdk.datasets.get_by_slug("acme", "streets").uid == made.uid
    with pytest.raises(avala.errors.NotFoundError):
        sdk.datasets.get_by_slug(SEED_OWNER, "streets")
    with pytest.raises(avala.errors.ForbiddenError):
        sdk.datasets.transfer("acme", "streets", owner_username="somebody-else")


@covers("datasets.list_items", "datasets.get_item")
def test_items_are_listed_by_pages_and_shown_one_by_one(sdk, control):
    rows = [{"key": f"{n}.jpg", "url": f"https://e.org/{n}.jpg", "metadata": {"n": n}} for n in range(5)]
    control.plant(datasets=[{"name": "D", "slug": "d", "rows": rows}])
    first = sdk.datasets.list_items(SEED_OWNER, "d", limit=3)
    rest = sdk.datasets.list_items(SEED_OWNER, "d", limit=3, cursor=first.next_cursor)
    items = [*first, *rest]
    assert [item.key for item in items] == [row["key"] for row in rows][::-1]
    assert not rest.has_more
    one = sdk.datasets.get_item(SEED_OWNER, "d", items[1].uid)
    assert (one.uid, one.key, one.url, one.metadata) == (
        items[1].uid,
        "3.jpg",
        "https://e.org/3.jpg",
        {"n": 3},
    )
    assert (one.dataset_owner_name, one.dataset_slug) == (SEED_OWNER, "d")
    with pytest.raises(avala.errors.NotFoundError):
        sdk.datasets.get_item(SEED_OWNER, "d", "nobody")


@covers(
    "datasets.list_sequences",
    "datasets.get_sequence",
    "datasets.get_frame",
    "datasets.get_calibration",
    "datasets.get_health",
)
def test_sequences_show_frames_calibration_and_health(sdk, control):
    planted = control.plant(
        datasets=[{"name": "L", "slug": "l", "data_type": "lidar", "is_sequence": True}],
        sequences=[
            {"dataset": "l", "key": "drive-1", "frames": FRAMES},
            {"dataset": "l", "key": "drive-2", "status": "completed"},
        ],
    )
    first, second = planted["sequences"]
    assert [row.key for row in sdk.datasets.list_sequences(SEED_OWNER, "l")] == ["drive-2", "drive-1"]
    one = sdk.datasets.get_sequence(SEED_OWNER, "l", first)
    assert (one.key, one.number_of_frames, len(one.frames)) == ("drive-1", 3, 3)
    frame = sdk.datasets.get_frame(SEED_OWNER, "l", first, 2)
    assert (frame.key, frame.model, frame.device_position.x) == ("frame-2", "pinhole", 2)
    assert frame.images[0].image_url.endswith("/2.jpg")
    with pytest.raises(IndexError):
        sdk.datasets.get_frame(SEED_OWNER, "l", first, 3)
    [camera] = sdk.datasets.get_calibration(SEED_OWNER, "l", first).cameras
    assert (camera.camera_id, camera.fx, camera.width, camera.position.z) == ("front", 1000.5, 1920, 3)
    health = sdk.datasets.get_health(SEED_OWNER, "l")
    assert (health.dataset_slug, health.data_type, health.is_sequence) == ("l", "lidar", True)
    assert (health.sequence_count, health.total_frames) == (2, 3)
    assert {row.uid: row.frame_count for row in health.sequences} == {first: 3, second: 0}


@covers("datasets.get_health")
def test_an_empty_dataset_is_no_healthy_one(sdk, control):
    control.plant(datasets=[{"name": "E", "slug": "e"}, {"name": "F", "slug": "f", "rows": [{"key": "a"}]}])
    empty, full = sdk.datasets.get_health(SEED_OWNER, "e"), sdk.datasets.get_health(SEED_OWNER, "f")
    assert (empty.ingest_ok, full.ingest_ok) == (False, True)
    assert empty.issues
    assert full.item_count == 1
