"""The single calls behind managed uploads, which both of the SDK's clients have."""

from __future__ import annotations

import uuid

import avala.errors
import pytest

from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID
from tests.sdk.facade import covers


@covers("datasets.create_manual_upload_url")
def test_a_target_is_a_form_or_a_session(sdk):
    wanted = {"dataset_name": "D", "file_path_in_dataset": "a/b.jpg", "content_length": 5}
    form = sdk.datasets.create_manual_upload_url(**wanted)
    assert form["method"] == "POST"
    assert form["fields"]["key"].endswith("/D/a/b.jpg")
    batch = {"dataset_upload_uid": str(uuid.uuid4()), "organization_uid": SEED_ORGANIZATION_ID}
    session = sdk.datasets.create_manual_upload_url(**wanted, **batch)
    assert (session["method"], uuid.UUID(session["upload_uid"]).version) == ("PUT", 4)
    assert session["url"].startswith("http://127.0.0.1:")
    again = sdk.datasets.create_manual_upload_url(**wanted, **batch)
    assert again["upload_uid"] == session["upload_uid"]
    with pytest.raises(avala.errors.ForbiddenError):
        sdk.datasets.create_manual_upload_url(**wanted, organization_uid=str(uuid.uuid4()))


@covers("datasets.manual_upload_quota", "datasets.manual_upload_allowed_mimes")
def test_quota_and_types_are_told(sdk):
    sdk.datasets.create_manual_upload_url(dataset_name="D", file_path_in_dataset="a", content_length=7)
    quota = sdk.datasets.manual_upload_quota()
    assert quota.used == 7
    assert quota.limit > quota.used
    assert sdk.datasets.manual_upload_quota(organization_uid=SEED_ORGANIZATION_ID).used == 0
    mimes = sdk.datasets.manual_upload_allowed_mimes()
    assert "image/jpeg" in mimes.mime_types
    assert mimes.video_prefix


@covers("datasets.create_from_manual_upload")
def test_an_upload_of_nothing_is_an_empty_dataset(sdk):
    made = sdk.datasets.create_from_manual_upload(
        name="Nothing", slug="nothing", data_type="image", visibility="private", metadata={"a": 1}
    )
    assert (made.name, made.status) == ("Nothing", "creating")
    found = sdk.datasets.get(made.uid)
    assert (found.status, found.item_count) == ("created", 0)
    with pytest.raises(avala.errors.ValidationError) as caught:
        sdk.datasets.create_from_manual_upload(name="Nothing", slug="other", data_type="image")
    assert "already exists" in str(caught.value.body)
