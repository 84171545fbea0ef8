"""Uploads from a real S3 and downloads to it, through Airflow's own provider for it."""

from __future__ import annotations

import io
import json
import os
import random
import tempfile
import zipfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from fsspec.implementations.dirfs import DirFileSystem

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaDownloadError
from airflow_provider_avala.emulator import SEED_DATASET_ID, Emulator, faults
from airflow_provider_avala.hooks import object_storage
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.operators.avala import AvalaDownloadExportOperator, AvalaUploadItemsOperator
from tests.airflow_support import Connect, context, run_to_end
from tests.s3_server import CONN_ID, s3_client

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach

NUMBERS = count(1)


def zipped(size: int) -> bytes:
    """A zip of about so many bytes that cannot be packed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.bin", random.Random(size).randbytes(size))
    return buffer.getvalue()


@pytest.fixture
def s3() -> Any:
    """A client of the S3 that the connection leads to."""
    return s3_client()


@pytest.fixture
def bucket(s3: Any) -> str:
    """The name of an empty bucket."""
    name = f"bucket-{next(NUMBERS)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def stored(s3: Any, bucket: str) -> Callable[[], dict[str, bytes]]:
    """All that is in the bucket, unfinished uploads excluded."""

    def read() -> dict[str, bytes]:
        assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
        listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {each["Key"]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed}

    return read


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def resting(temporary: Path) -> list[Path]:
    """The files that are on their way to an object storage."""
    return [path for path in temporary.rglob("*") if path.is_file()]


def url(bucket: str, key: str = "") -> str:
    return f"s3://{CONN_ID}@{bucket}/{key}"


def download(**arguments: Any) -> Any:
    return run_to_end(AvalaDownloadExportOperator(task_id="download", **arguments), context())


@pytest.mark.parametrize("source", ["rows.jsonl", "folder/part 1.jsonl"])
def test_rows_are_uploaded_from_s3(source: str, s3: Any, bucket: str, avala: Emulator) -> None:
    rows = [{"id": number} for number in range(1000)]
    s3.put_object(Bucket=bucket, Key=source, Body="".join(json.dumps(row) + "\n" for row in rows).encode())
    task = AvalaUploadItemsOperator(
        task_id="upload", dataset_id=SEED_DATASET_ID, source=url(bucket, source), part_size=4000
    )
    assert run_to_end(task, context())["items"] == 1000
    assert sorted(row["id"] for row in avala.items(SEED_DATASET_ID)) == list(range(1000))


def test_a_list_of_objects_is_uploaded(s3: Any, bucket: str, avala: Emulator) -> None:
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"{number}.jsonl", Body=b'{"id": %d}\n' % number)
    task = AvalaUploadItemsOperator(
        task_id="upload",
        dataset_id=SEED_DATASET_ID,
        source=[url(bucket, f"{number}.jsonl") for number in range(3)],
    )
    assert run_to_end(task, context())["items"] == 3
    assert sorted(row["id"] for row in avala.items(SEED_DATASET_ID)) == [0, 1, 2]


@pytest.mark.parametrize("size", [0, 100, 9_000_000, 20_000_000])
def test_an_export_is_stored_in_s3(
    size: int, avala: Emulator, bucket: str, stored: Callable[[], dict[str, bytes]], temporary: Path
) -> None:
    data = zipped(size)
    path = url(bucket, "exports/labels.zip")
    assert download(export_id=avala.add_export(artifact=data), path=path) == path
    assert stored() == {"exports/labels.zip": data}
    assert resting(temporary) == []


def test_a_folder_in_s3_gets_a_file_named_after_the_export(
    avala: Emulator, bucket: str, stored: Callable[[], dict[str, bytes]]
) -> None:
    export_id = avala.add_export(artifact=zipped(10))
    assert download(export_id=export_id, path=url(bucket, "new/")) == url(bucket, f"new/{export_id}.zip")
    assert download(export_id=export_id, path=url(bucket, "new")) == url(bucket, f"new/{export_id}.zip")
    assert list(stored()) == [f"new/{export_id}.zip"]


@pytest.mark.parametrize(
    ("if_exists", "expected"), [("replace", b"new"), ("skip", b"old"), ("error", b"old")]
)
@pytest.mark.parametrize("key", ["labels", "folder/"])
def test_what_becomes_of_an_object_that_is_there(
    key: str,
    if_exists: str,
    expected: bytes,
    s3: Any,
    bucket: str,
    avala: Emulator,
    stored: Callable[[], dict[str, bytes]],
) -> None:
    export_id = avala.add_export(artifact=b"new")
    final = f"folder/{export_id}.zip" if key == "folder/" else key
    s3.put_object(Bucket=bucket, Key=final, Body=b"old")
    arguments = {"export_id": export_id, "path": url(bucket, key), "if_exists": if_exists}
    if if_exists == "error":
        with pytest.raises(AirflowFailException, match="is there already"):
            download(**arguments)
    else:
        assert download(**arguments) == url(bucket, final)
    assert stored() == {final: expected}
    asked = len(avala.requests_to(origin="storage"))
    assert asked == (1 if if_exists == "replace" else 0)
    if key == "labels" and if_exists != "replace":
        assert not avala.requests


@pytest.mark.parametrize("if_exists", ["skip", "error"])
def test_an_object_that_is_not_there_is_made(
    if_exists: str, bucket: str, avala: Emulator, stored: Callable[[], dict[str, bytes]]
) -> None:
    download(export_id=avala.add_export(artifact=b"new"), path=url(bucket, "x"), if_exists=if_exists)
    assert stored() == {"x": b"new"}


def test_nothing_is_unpacked_to_s3(bucket: str, avala: Emulator) -> None:
    with pytest.raises(AirflowFailException, match=r"unpack: .*local folder"):
        download(export_id=avala.add_export(), path=url(bucket, "x/"), unpack=True)
    assert not avala.requests


def test_a_retry_goes_on_with_what_rests_on_this_machine(
    avala: Emulator, bucket: str, connect: Connect, stored: Callable[[], dict[str, bytes]], temporary: Path
) -> None:
    connect(avala, max_retry_seconds=0)
    data = zipped(1_000_000)
    export_id = avala.add_export(artifact=data)
    avala.inject(faults.truncated(400_000), origin="storage")
    with pytest.raises(AvalaDownloadError, match="400000 of"):
        download(export_id=export_id, path=url(bucket, "labels.zip"))
    assert stored() == {}
    assert len(resting(temporary)) == 2
    download(export_id=export_id, path=url(bucket, "labels.zip"))
    assert stored() == {"labels.zip": data}
    assert avala.requests_to(origin="storage")[-1].headers["range"] == "bytes=400000-"
    assert resting(temporary) == []


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_copy_that_fails_changes_nothing_in_s3_and_is_repeated_without_a_download(
    old: bytes | None,
    avala: Emulator,
    s3: Any,
    bucket: str,
    stored: Callable[[], dict[str, bytes]],
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if old:
        s3.put_object(Bucket=bucket, Key="labels.zip", Body=old)

    def broken(source: Any, target: Any, *_: Any) -> None:
        target.write(source.read(12_000_000))
        raise OSError(5, "Input/output error")

    data = zipped(20_000_000)
    export_id = avala.add_export(artifact=data)
    with monkeypatch.context() as patch:
        patch.setattr(object_storage.shutil, "copyfileobj", broken)
        with pytest.raises(AvalaDownloadError, match=r"could not be written: .*Input/output.*file is kept"):
            AvalaHook().download_export(export_id, url(bucket, "labels.zip"))
    assert stored() == ({"labels.zip": old} if old else {})
    AvalaHook().download_export(export_id, url(bucket, "labels.zip"))
    assert stored() == {"labels.zip": data}
    assert avala.requests_to(origin="storage")[-1].headers["range"] == f"bytes={len(data) - 1}-"
    assert resting(temporary) == []


def test_a_storage_without_transactions_holds_nothing_of_a_copy_that_failed(
    avala: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Any, target: Any, *_: Any) -> None:
        target.write(source.read(4))
        raise OSError(28, "No space left")

    storage = tmp_path / "storage"
    storage.mkdir()
    attach("s3", "disk", fs=DirFileSystem(str(storage)))
    monkeypatch.setattr(object_storage.shutil, "copyfileobj", full)
    with pytest.raises(AvalaDownloadError, match="No space left"):
        AvalaHook().download_export(avala.add_export(), "s3://disk@labels.zip")
    assert not list(storage.iterdir())


def test_what_no_retry_came_for_is_deleted_after_a_week(
    avala: Emulator, bucket: str, connect: Connect, temporary: Path
) -> None:
    connect(avala, max_retry_seconds=0)
    for key in ("old", "new"):
        avala.inject(faults.truncated(40), origin="storage")
        with pytest.raises(AvalaDownloadError):
            download(export_id=avala.add_export(), path=url(bucket, key))
        if key == "old":
            old = resting(temporary)
            for path in old:
                os.utime(path, (0, 0))
    assert len(old) == 2
    assert len(resting(temporary)) == 2
    assert not set(old) & set(resting(temporary))


def test_a_bucket_that_is_not_there_is_told(avala: Emulator, s3: Any) -> None:
    with pytest.raises(AvalaDownloadError, match="could not be written"):
        download(export_id=avala.add_export(), path=url("no-such-bucket", "x.zip"))


def test_a_value_of_if_exists_that_is_none_is_named(avala: Emulator) -> None:
    with pytest.raises(
        AvalaConfigurationError, match="if_exists: 'keep' is none of 'replace', 'skip', 'error'"
    ):
        AvalaDownloadExportOperator(task_id="download", export_id="x", path="/tmp/x", if_exists="keep")
