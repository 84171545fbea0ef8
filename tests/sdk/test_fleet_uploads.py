"""Recordings uploaded by the unmodified SDK, in both of its protocols and from the command line."""

from __future__ import annotations

import uuid
from pathlib import Path

import avala.errors
import httpx
import pytest

from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID
from tests.sdk.cli_shell import Shell
from tests.sdk.control import Control
from tests.sdk.facade import Facade, covers
from tests.sdk.samples import digests, write_files
from tests.sdk.tls_proxy import HOST

MCAP = b"\x89MCAP0\r\n" + bytes(range(256)) * 100
FILES = {"a.mcap": MCAP, "night drive/b.mcap": MCAP + b"second"}
SENT = digests(FILES)
SIZE = sum(map(len, FILES.values()))
PART = 64 * 1024**2


@pytest.fixture
def control(upload_control) -> Control:
    upload_control.turn(settings={"dataset_seconds": 0})
    return upload_control


@pytest.fixture
def sync_sdk(upload_sdk, control) -> Facade:
    return upload_sdk


@pytest.fixture(scope="module")
def shell(environment, upload_site):
    shell = Shell({**environment, **upload_site[2]})
    yield shell
    shell.close()


@pytest.fixture
def source(tmp_path) -> Path:
    return write_files(tmp_path / "source", FILES)


@pytest.fixture
def recording(control) -> str:
    """A recording of its own for each test: checkpoints are kept by its uid."""
    uid = str(uuid.uuid4())
    control.plant(fleet_recordings=[{"uid": uid, "status": "created"}])
    return uid


def folder_of(recording: str) -> str:
    return f"fleet/{SEED_ORGANIZATION_ID}/{recording}/"


@covers("fleet.uploads.collect_files", "fleet.uploads.upload_recording", "fleet.uploads.get_upload_status")
def test_a_folder_is_sent_and_the_recording_gets_ready(sync_sdk, control, proxy, source, recording):
    uploads = sync_sdk.fleet.uploads
    assert [(file.path, file.sha256) for file in uploads.collect_files(source).files] == sorted(SENT.items())
    control.turn(settings={"dataset_seconds": 60})
    steps = []
    sent = uploads.upload_recording(recording, source, on_progress=steps.append)
    assert (sent.status, sent.confirmed_files, sent.confirmed_bytes) == ("completing", 2, SIZE)
    assert [(step.uploaded_files, step.uploaded_bytes) for step in steps] == [(2, SIZE)]
    assert control.stored(folder_of(recording)) == SENT
    assert set(proxy.asked) == {f"{HOST}:443"}
    assert sync_sdk.fleet.recordings.get(recording).status == "processing"
    control.turn(advance=61)
    found = sync_sdk.fleet.recordings.get(recording)
    assert (found.status, found.size_bytes) == ("ready", SIZE)
    assert uploads.get_upload_status(recording).status == "completed"


@covers("fleet.uploads.upload_recording")
def test_a_broken_upload_is_resumed_with_what_is_missing(sync_sdk, control, source, recording):
    control.order("status", args={"code": 403}, origin="storage", method="PUT", path="/fleet/")
    with pytest.raises(avala.errors.UploadStateError, match="confirmed progress remains resumable"):
        sync_sdk.fleet.uploads.upload_recording(recording, source)
    done = sync_sdk.fleet.uploads.upload_recording(recording, source)
    assert (done.status, done.confirmed_files) == ("completed", 2)
    assert control.stored(folder_of(recording)) == SENT
    assert [request["status"] for request in control.requests("PUT", "/fleet/")].count(200) == 2


@covers(
    "fleet.uploads.init_upload",
    "fleet.uploads.get_upload_urls",
    "fleet.uploads.confirm_upload",
    "fleet.uploads.finalize_upload",
    "fleet.uploads.get_upload_status",
)
def test_each_step_is_a_call(sync_sdk, control, recording):
    uploads = sync_sdk.fleet.uploads
    with pytest.raises(avala.errors.NotFoundError, match="No upload session found for this recording"):
        uploads.get_upload_status(recording)
    [config] = control.plant(storage_configs=[{"name": "S3", "provider": "aws_s3"}])["storage_configs"]
    session = uploads.init_upload(recording, [{"path": "a.mcap", "size_bytes": 3}], storage_config_uid=config)
    assert (session.status, session.total_bytes, session.s3_prefix) == ("initiated", 3, folder_of(recording))
    [target] = uploads.get_upload_urls(recording, session.uid, ["a.mcap"]).urls
    assert target.put_url.startswith(f"https://{HOST}/{folder_of(recording)}a.mcap?")
    assert uploads.get_upload_status(recording).pending_paths == ["a.mcap"]
    receipt = {"path": "a.mcap", "etag": "made up", "size_bytes": 3}
    with pytest.raises(avala.errors.ValidationError):
        uploads.confirm_upload(recording, session.uid, [receipt])
    with pytest.raises(avala.errors.ValidationError):
        uploads.finalize_upload(recording, session.uid)
    etag = httpx.put(target.put_url, content=b"abc").headers["ETag"].strip('"')
    confirmed = uploads.confirm_upload(recording, session.uid, [{**receipt, "etag": etag}])
    assert (confirmed["session_uid"], confirmed["confirmed_bytes"]) == (session.uid, 3)
    assert uploads.finalize_upload(recording, session.uid)["session_uid"] == session.uid
    assert uploads.get_upload_status(recording).status == "completed"


@covers("fleet.uploads.upload_managed_recording", "datasets.get")
def test_managed_originals_are_published_as_a_dataset(sync_sdk, control, proxy, source, recording):
    control.turn(settings={"dataset_seconds": 60})
    upload = sync_sdk.fleet.uploads.upload_managed_recording
    pending = upload(recording, source)
    assert (pending.status, pending.finalization.state, pending.confirmed_files) == (
        "completing",
        "pending",
        0,
    )
    assert set(proxy.asked) == {f"{HOST}:443"}
    control.turn(advance=61)
    done = upload(recording, source)
    assert (done.status, done.finalization.state, done.confirmed_bytes) == ("completed", "succeeded", SIZE)
    made = sync_sdk.datasets.get(done.finalization.dataset_uid)
    assert (made.data_type, made.name) == ("mcap", f"Recording {recording}")
    assert control.stored(f"__o__=/{SEED_ORGANIZATION_ID}/__cloud__/{done.session_uid}/") == SENT
    assert len(control.requests("PUT", "/emulator/")) == 2


@covers("fleet.uploads.upload_managed_recording")
def test_a_large_original_goes_up_in_parts_and_only_the_missing_one_again(
    sync_sdk, control, tmp_path, recording
):
    (tmp_path / "source").mkdir()
    file = tmp_path / "source" / "long.mcap"
    file.write_bytes(MCAP)
    with file.open("r+b") as handle:
        handle.truncate(PART + 7)
    upload = sync_sdk.fleet.uploads.upload_managed_recording
    control.order("status", args={"code": 503}, origin="storage", method="PUT", path="/emulator/", skip=1)
    with pytest.raises(avala.errors.UploadStateError):
        upload(recording, file.parent, max_workers=1)
    done = upload(recording, file.parent)
    assert (done.finalization.state, done.files[0].part_count, done.confirmed_bytes) == (
        "succeeded",
        2,
        PART + 7,
    )
    assert [request["body_size"] for request in control.requests("PUT", "/emulator/")] == [PART, 7, 7]


@covers("fleet.uploads.upload_managed_recording")
def test_what_is_no_mcap_is_not_published(sync_sdk, tmp_path, recording):
    (tmp_path / "fake.mcap").write_bytes(b"not one")
    failed = sync_sdk.fleet.uploads.upload_managed_recording(recording, tmp_path)
    assert (failed.status, failed.confirmed_files) == ("completing", 0)
    assert (failed.finalization.state, failed.finalization.code) == ("failed", "invalid_mcap")


@covers("fleet recordings upload")
def test_the_command_uploads_and_waits(cli, control, source, recording):
    command = ("fleet", "recordings", "upload", "--source", str(source), "--recording")
    shown = cli.json(*command, recording, "--wait")
    assert (shown["uid"], shown["status"], shown["upload_progress"]) == (recording, "ready", "2/2 files")
    assert control.stored(folder_of(recording)) == SENT
    unknown = cli.run(*command, str(uuid.uuid4()))
    assert (unknown.code, "Recording could not be loaded." in unknown.err) == (1, True)


@covers("fleet recordings upload")
def test_the_command_uploads_managed_originals(cli, source, recording):
    command = ("fleet", "recordings", "upload", "--source", str(source), "--recording", recording)
    shown = cli.json(*command, "--managed", "--workers", "2", "--wait")
    assert (shown["recording_uid"], shown["finalization_state"]) == (recording, "succeeded")
    assert (shown["confirmed_files"], shown["total_bytes"]) == ("2", str(SIZE))
