"""Managed uploads by the unmodified SDK: every form, and the bytes really move."""

from __future__ import annotations

import uuid
from pathlib import Path

import avala
import avala.errors
import pytest

from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID, SEED_OWNER, SEED_USER_ID
from tests.sdk.control import Control
from tests.sdk.facade import Facade, covers
from tests.sdk.samples import digests, write_files
from tests.sdk.tls_proxy import HOST

FILES = {"a.jpg": b"\xff\xd8 first", "night/b.jpg": b"\xff\xd8 second" * 1000, "notes.txt": b"not indexed"}
MIB = 1024**2


@pytest.fixture
def control(upload_control) -> Control:
    upload_control.turn(settings={"dataset_seconds": 0, "upload_mode": "put", "upload_quota": 10**9})
    return upload_control


@pytest.fixture
def sync_sdk(upload_sdk, control) -> Facade:
    return upload_sdk


@pytest.fixture
def source(tmp_path) -> Path:
    return write_files(tmp_path / "source", FILES)


@pytest.fixture
def name() -> str:
    """A name of its own for each dataset: checkpoints are kept by it."""
    return f"Streets {uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("mode", ["put", "multipart"])
@covers("datasets.create_from_local", "datasets.list_items", "datasets.get_health")
def test_a_folder_becomes_a_dataset(sync_sdk, control, proxy, source, name, mode):
    control.turn(settings={"upload_mode": mode})
    progress = {}
    made = sync_sdk.datasets.create_from_local(
        source=str(source),
        name=name,
        slug="streets",
        data_type="image",
        wait=True,
        on_progress=progress.__setitem__,
    )
    assert (made.name, made.status, made.item_count, made.data_type) == (name, "created", 2, "image")
    assert control.stored(f"__u__=/{SEED_USER_ID}/{name}/") == digests(FILES)
    assert progress == {name: len(content) for name, content in FILES.items()}
    assert set(proxy.asked) == {f"{HOST}:443"}
    assert len(control.requests("POST", "/datasets/manual-upload/uploads/")) == (3 if mode == "put" else 6)
    keys = [item.key for item in sync_sdk.datasets.list_items(SEED_OWNER, "streets")]
    assert sorted(keys) == ["a.jpg", "night/b.jpg"]
    assert sync_sdk.datasets.get_health(SEED_OWNER, "streets").ingest_ok


@covers("datasets.create_from_local")
def test_a_large_file_goes_up_in_parts(sync_sdk, control, tmp_path, name):
    control.turn(settings={"upload_mode": "multipart"})
    content = bytes(range(256)) * (11 * MIB // 256) + b"the end"
    (tmp_path / "drive.mcap").write_bytes(content)
    made = sync_sdk.datasets.create_from_local(
        source=str(tmp_path / "drive.mcap"), name=name, slug="drive", data_type="mcap", wait=True
    )
    assert made.item_count == 1
    assert control.stored(f"__u__=/{SEED_USER_ID}/{name}/") == digests({"drive.mcap": content})
    asked = [
        r["json"]["part_numbers"]
        for r in control.requests("POST", "/datasets/manual-upload/uploads/")
        if r["json"]
    ]
    assert sorted(asked) == [[1], [2], [3]]


@covers("datasets.upload_files", "datasets.create_from_manual_upload")
def test_a_client_of_the_older_protocol_sends_forms(sync_sdk, control, source, name):
    files = [(str(source / path), path) for path in FILES]
    sent = sync_sdk.datasets.upload_files(dataset_name=name, files=files)
    assert sent == sum(map(len, FILES.values()))
    assert control.stored(f"__u__=/{SEED_USER_ID}/{name}/") == digests(FILES)
    assert all(
        "upload_protocol_version" not in r["json"]
        for r in control.requests("POST", "/datasets/manual-upload/")
    )
    made = sync_sdk.datasets.create_from_manual_upload(name=name, slug="forms", data_type="image")
    assert (made.status, made.item_count) == ("creating", 0)
    assert sync_sdk.datasets.get(made.uid).item_count == 2


@covers("datasets.create_from_local")
def test_version_2_clients_take_forms_too(sync_sdk, control, source, name):
    control.turn(settings={"upload_mode": "post"})
    made = sync_sdk.datasets.create_from_local(
        source=str(source), name=name, slug="forms", data_type="image", wait=True
    )
    assert made.item_count == 2
    assert control.stored(f"__u__=/{SEED_USER_ID}/{name}/") == digests(FILES)


@covers("datasets.create_from_local")
def test_what_is_complete_already_is_not_sent(sync_sdk, control, proxy, source, name):
    control.turn(settings={"upload_mode": "complete"})
    made = sync_sdk.datasets.create_from_local(
        source=str(source), name=name, slug="complete", data_type="image", wait=True
    )
    assert made.item_count == 2
    assert proxy.asked == []


@covers(
    "datasets.prepare_manual_upload_batch",
    "datasets.resolve_storage_root",
    "datasets.upload_files",
    "datasets.assert_storage_root_unchanged",
    "datasets.create_from_manual_upload",
)
def test_an_organization_uploads_step_by_step_and_resumes(sync_sdk, control, proxy, source, name):
    datasets, owner = sync_sdk.datasets, {"organization_uid": SEED_ORGANIZATION_ID}
    root = datasets.resolve_storage_root(SEED_ORGANIZATION_ID)
    assert root == f"__o__=/{SEED_ORGANIZATION_ID}"
    batch = datasets.prepare_manual_upload_batch(name, **owner)
    files = [(str(source / path), path) for path in FILES]
    options = {"dataset_name": name, "files": files, "dataset_upload_uid": batch, **owner}
    assert datasets.upload_files(**options) == sum(map(len, FILES.values()))
    connections, skipped = len(proxy.asked), []
    assert datasets.upload_files(**options, on_skipped=skipped.append) == 0
    assert (sorted(skipped), len(proxy.asked)) == (sorted(FILES), connections)
    datasets.assert_storage_root_unchanged(root, **owner)
    made = datasets.create_from_manual_upload(
        name=name, slug="org", data_type="image", dataset_upload_uid=batch, metadata={"a": 1}, **owner
    )
    assert datasets.get(made.uid).item_count == 2
    assert control.stored(f"{root}/{name}/") == digests(FILES)


@covers("datasets.manual_upload_quota", "datasets.create_from_local", "datasets.upload_files")
def test_a_quota_that_is_too_small_is_said_before_and_during_the_upload(sync_sdk, control, source, name):
    control.turn(settings={"upload_quota": 100})
    quota = sync_sdk.datasets.manual_upload_quota()
    assert (quota.used, quota.limit) == (0, 100)
    for check in (True, False):
        with pytest.raises(avala.errors.QuotaExceededError) as caught:
            sync_sdk.datasets.create_from_local(
                source=str(source), name=name, slug="big", data_type="image", check_quota=check
            )
        assert caught.value.limit == 100
    uploaded = sync_sdk.datasets.upload_files(
        dataset_name=f"{name} 2", files=[(str(source / "a.jpg"), "a.jpg")]
    )
    assert sync_sdk.datasets.manual_upload_quota(organization_uid=SEED_ORGANIZATION_ID).used == 0
    assert sync_sdk.datasets.manual_upload_quota().used >= uploaded


@covers("datasets.create_from_local")
def test_a_storage_that_fails_once_is_asked_again(sync_sdk, control, source, name, monkeypatch):
    monkeypatch.setattr("avala._uploads.random.uniform", lambda low, high: low)
    control.order("status", args={"code": 503}, origin="storage", method="PUT", path="/uploads")
    made = sync_sdk.datasets.create_from_local(
        source=str(source), name=name, slug="again", data_type="image", wait=True
    )
    assert made.item_count == 2
    assert control.stored(f"__u__=/{SEED_USER_ID}/{name}/") == digests(FILES)
    faults = [request["fault"] for request in control.requests("PUT", "/uploads") if request["fault"]]
    assert faults == ["status"]
