"""The hook's methods, against a server of either dialect and with the paths that Airflow's users have."""

from __future__ import annotations

import json
import logging
import tempfile
import zipfile
from importlib import import_module
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath, mask_secret
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaDownloadError,
    AvalaError,
    AvalaNotFoundError,
)
from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, Emulator, faults
from airflow_provider_avala.hooks.avala import AvalaHook
from tests.airflow_support import Connect

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach

ROWS = [{"id": number, "url": f"https://images.example.com/{number}.jpg"} for number in range(5)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture
def bucket() -> str:
    """An object storage that holds what it is given in memory."""
    attach("s3", "storage", fs=MemoryFileSystem())
    MemoryFileSystem.store.clear()
    return "s3://storage@bucket"


@pytest.fixture(params=["current", "legacy"])
def either(request: pytest.FixtureRequest, emulators, connect: Connect) -> Emulator:
    """A fresh emulator of either dialect."""
    avala = emulators(request.param)
    avala.reset()
    connect(avala, dialect=request.param)
    return avala


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, to see that none stays behind."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def resting(temporary: Path) -> list[Path]:
    """The files that are on their way to an object storage."""
    return [path for path in temporary.rglob("*") if path.is_file()]


@pytest.mark.parametrize("endpoint", ["/datasets/", "datasets", "/datasets", "datasets/"])
def test_run_takes_endpoints_with_or_without_slashes(endpoint: str, either: Emulator) -> None:
    either.add_dataset("Street", slug="street")
    answer = AvalaHook().run("get", endpoint, params={"limit": 1})
    assert len(answer.get("results", answer.get("items"))) == 1


def test_run_sends_json_and_returns_none_without_a_body(avala: Emulator) -> None:
    hook = AvalaHook()
    created = hook.run(
        "POST", "/exports/", json={"name": "x", "format": "json", "projects": [SEED_PROJECT_ID]}
    )
    assert created["name"] == "x"
    avala.inject(faults.status(204, body=b""))
    assert hook.run("DELETE", "/anything/") is None


@pytest.mark.parametrize(
    "endpoint", ["", "/", "https://elsewhere.example.com/x", "/datasets/?limit=1", "../x"]
)
def test_run_refuses_endpoints_that_are_none(endpoint: str, avala: Emulator) -> None:
    with pytest.raises(AvalaConfigurationError, match="endpoint"):
        AvalaHook().run("GET", endpoint)
    assert not avala.requests


def test_paginate_goes_through_all_pages(either: Emulator) -> None:
    names = {f"Dataset number {number}" for number in range(7)}
    for name in names:
        either.add_dataset(name)
    found = list(AvalaHook().paginate("/datasets/", params={"limit": 3}))
    assert names < {dataset["name"] for dataset in found}
    assert len(found) == len(either.datasets)
    assert len(either.requests) == 3


def test_exports_are_created_read_and_listed(either: Emulator) -> None:
    hook = AvalaHook()
    export = hook.create_export(project_id=SEED_PROJECT_ID)
    assert hook.get_export(export.id).id == export.id
    assert [each.id for each in hook.list_exports()] == [export.id]
    assert len(either.exports) == 1


def test_an_unknown_export_is_not_found(either: Emulator) -> None:
    with pytest.raises(AvalaNotFoundError, match="404"):
        AvalaHook().get_export("no/such export?")


def sources(folder: Path, bucket: str) -> dict[str, Any]:
    """The same items in every kind of place."""
    file = folder / "items.jsonl"
    file.write_text(JSONL)
    remote = ObjectStoragePath(f"{bucket}/items.jsonl")
    with remote.open("wb") as handle:
        handle.write(JSONL.encode())
    return {
        "text": str(file),
        "path": file,
        "file URL": f"file://{file}",
        "storage path": ObjectStoragePath(f"file://{file}"),
        "storage path with connection": remote,
        "storage URL": f"{bucket}/items.jsonl",
        "list": [f"file://{file}"],
    }


@pytest.mark.parametrize(
    "kind",
    ["text", "path", "file URL", "storage path", "storage path with connection", "storage URL", "list"],
)
def test_items_are_uploaded_from_every_kind_of_place(
    kind: str, avala: Emulator, bucket: str, tmp_path: Path
) -> None:
    source = sources(tmp_path, bucket)[kind]
    summary = AvalaHook().upload_items(SEED_DATASET_ID, source)
    assert (summary.dataset_id, summary.items, summary.parts, summary.bytes) == (
        SEED_DATASET_ID,
        5,
        1,
        len(JSONL),
    )
    assert avala.items(SEED_DATASET_ID) == ROWS


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda rows: (row for row in rows)])
def test_rows_may_be_the_source_whatever_is_written_in_them(kind: Any, either: Emulator) -> None:
    rows = [{"url": f"s3://bucket/{number}.jpg"} for number in range(3)]
    assert AvalaHook().upload_items(SEED_DATASET_ID, kind(rows)).items == 3
    assert either.items(SEED_DATASET_ID) == rows


def test_items_are_uploaded_from_memory_in_parts(either: Emulator) -> None:
    summary = AvalaHook().upload_items(SEED_DATASET_ID, items=iter(ROWS), part_size=150, concurrency=2)
    assert summary.items == 5
    assert summary.parts > 1
    assert sorted(either.items(SEED_DATASET_ID), key=lambda row: row["id"]) == ROWS


def members(data: bytes) -> list[str]:
    return zipfile.ZipFile(BytesIO(data)).namelist()


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("{}/labels.zip", "{}/labels.zip"),
        ("{}/new/folder/labels.zip", "{}/new/folder/labels.zip"),
        ("{}/new/", "{}/new/{id}.zip"),
        ("{}", "{}/{id}.zip"),
        ("file://{}/labels.zip", "{}/labels.zip"),
        ("file://{}/new/", "{}/new/{id}.zip"),
        ("file://{}", "{}/{id}.zip"),
    ],
)
def test_an_export_is_downloaded_to_a_file_or_a_folder(
    path: str, file: str, avala: Emulator, tmp_path: Path
) -> None:
    export_id, folder = avala.add_export(datasets=[SEED_DATASET_ID]), tmp_path / "exports"
    folder.mkdir()
    summary = AvalaHook().download_export(export_id, path.format(folder))
    expected = Path(file.format(folder, id=export_id))
    assert summary.path == ("file://" if "://" in path else "") + str(expected)
    assert summary.bytes == expected.stat().st_size
    assert members(expected.read_bytes())
    assert [each.name for each in expected.parent.iterdir() if each.is_file()] == [expected.name]


def test_a_path_object_will_do(avala: Emulator, tmp_path: Path) -> None:
    summary = AvalaHook().download_export(avala.add_export(), tmp_path / "labels.zip")
    assert summary.path == str(tmp_path / "labels.zip")


@pytest.mark.parametrize(
    ("path", "file"),
    [("{}/labels.zip", "{}/labels.zip"), ("{}/a/b/", "{}/a/b/{id}.zip"), ("{}/folder", "{}/folder/{id}.zip")],
)
def test_an_export_is_downloaded_to_an_object_storage(
    path: str, file: str, avala: Emulator, bucket: str, temporary: Path
) -> None:
    with ObjectStoragePath(f"{bucket}/folder/other.txt").open("wb") as handle:
        handle.write(b"makes it a folder")
    export_id = avala.add_export(datasets=[SEED_DATASET_ID])
    summary = AvalaHook().download_export(export_id, path.format(bucket))
    assert summary.path == file.format(bucket, id=export_id)
    data = ObjectStoragePath(summary.path).read_bytes()
    assert len(data) == summary.bytes
    assert members(data)
    assert not resting(temporary)


def test_nothing_broken_is_stored(avala: Emulator, bucket: str, temporary: Path) -> None:
    export_id = avala.add_export(artifact=b"PK\x03\x04 but not a zip")
    with pytest.raises(AvalaDownloadError):
        AvalaHook().download_export(export_id, f"{bucket}/labels.zip")
    assert not MemoryFileSystem.store
    assert not resting(temporary)


@pytest.mark.parametrize("unpack", [False, True])
@pytest.mark.parametrize("path", ["", "  ", None, 7, b"labels.zip", ["labels.zip"], "labels\0.zip"])
def test_a_path_that_is_none_is_named(path: Any, unpack: bool, avala: Emulator) -> None:
    with pytest.raises(AvalaConfigurationError, match="path: "):
        AvalaHook().download_export(avala.add_export(), path, unpack=unpack)
    assert not avala.requests


@pytest.mark.parametrize("url", ["nostorage://bucket/x.jsonl", "gs://bucket/x.jsonl"])
def test_a_storage_that_is_not_installed_is_named(url: str, avala: Emulator) -> None:
    with pytest.raises(AvalaConfigurationError, match=f"source: {url}.*install"):
        AvalaHook().upload_items(SEED_DATASET_ID, url)
    with pytest.raises(AvalaConfigurationError, match=f"path: {url}.*install"):
        AvalaHook().download_export(avala.add_export(), url)
    assert not avala.requests


def masked(text: str) -> str:
    """The text as Airflow logs it."""
    return str(import_module(mask_secret.__module__).redact(text))


def test_secrets_of_the_connection_are_masked_in_logs(connect: Connect) -> None:
    # Whatever was masked in this process stays so: these have been no other test's secrets.
    key, other, host = (f"avk_{token_hex(12)}" for _ in range(3))
    store = f"redis://:{token_hex(8)}@{host}:6379/0"
    connect("https://api.avala.ai/api/v1", password=key, rate_limit_store=store)
    assert AvalaHook().settings
    assert masked(f"{key} {store}") == "*** ***"
    assert masked(other) == other


def test_the_word_memory_is_no_secret(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden: list[str] = []
    monkeypatch.setattr("airflow_provider_avala.hooks.avala.mask_secret", hidden.append)
    connect("https://api.avala.ai/api/v1", password="avk_1f4c0b7e9d", rate_limit_store="memory")
    assert AvalaHook().settings
    assert hidden == ["avk_1f4c0b7e9d"]


def test_neither_key_nor_signed_url_is_in_logs_or_errors(
    avala: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    avala.add_items(SEED_DATASET_ID, ROWS)
    export_id = avala.add_export(datasets=[SEED_DATASET_ID])
    avala.inject(faults.status(503), path="/exports/")
    avala.inject(faults.reset_mid_body(), origin="storage")
    hook = AvalaHook()
    hook.download_export(export_id, tmp_path / "labels.zip")
    signed = str(hook.get_export(export_id).download_url)
    assert "?" in signed
    connect(avala, max_retry_seconds=0)
    avala.inject(faults.status(403), origin="storage", times=9)
    with pytest.raises(AvalaError) as raised:
        AvalaHook().download_export(export_id, tmp_path / "other.zip")
    signature = signed.partition("?")[2]
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    for text in (*ours, str(raised.value), repr(raised.value)):
        assert avala.api_key not in text
        assert signature not in text
