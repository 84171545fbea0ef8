"""Downloading as a task: what is there already, and unpacking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaDownloadError, is_fatal
from airflow_provider_avala.emulator import SEED_DATASET_ID, Emulator
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.operators.avala import AvalaDownloadExportOperator
from tests.airflow_support import context, run_to_end
from tests.api.test_unpacking import BOMB, CONTENT, GOOD, files_in, zipped


def download(**arguments: Any) -> Any:
    return run_to_end(AvalaDownloadExportOperator(task_id="download", **arguments), context())


@pytest.mark.parametrize("prefix", ["", "file://"])
@pytest.mark.parametrize(
    ("if_exists", "expected"), [("replace", b"new"), ("skip", b"old"), ("error", b"old")]
)
@pytest.mark.parametrize("name", ["labels.zip", "folder/"])
def test_what_becomes_of_a_file_that_is_there(
    name: str, if_exists: str, expected: bytes, prefix: str, avala: Emulator, tmp_path: Path
) -> None:
    export_id = avala.add_export(artifact=b"new")
    file = tmp_path / (f"folder/{export_id}.zip" if name == "folder/" else name)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"old")
    arguments = {"export_id": export_id, "path": f"{prefix}{tmp_path}/{name}", "if_exists": if_exists}
    if if_exists == "error":
        with pytest.raises(AirflowFailException, match=f"{file} is there already"):
            download(**arguments)
    else:
        assert download(**arguments) == f"{prefix}{file}"
    assert file.read_bytes() == expected
    assert [each.name for each in file.parent.iterdir() if each.is_file()] == [file.name]
    assert len(avala.requests_to(origin="storage")) == (1 if if_exists == "replace" else 0)
    if if_exists != "replace":
        assert len(avala.requests) == (1 if name == "folder/" else 0)


@pytest.mark.parametrize("if_exists", ["skip", "error"])
def test_what_is_not_complete_is_downloaded(if_exists: str, avala: Emulator, tmp_path: Path) -> None:
    (tmp_path / "labels.zip.12345678.part").write_bytes(b"of another export")
    path = str(tmp_path / "labels.zip")
    assert download(export_id=avala.add_export(artifact=b"new"), path=path, if_exists=if_exists) == path
    assert Path(path).read_bytes() == b"new"


def test_a_skipped_download_says_so(avala: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "labels.zip"
    file.write_bytes(b"old")
    summary = AvalaHook().download_export("any", file, if_exists="skip")
    assert (summary.path, summary.bytes, summary.skipped) == (str(file), 3, True)


def test_an_export_is_unpacked(avala: Emulator, tmp_path: Path) -> None:
    path = str(tmp_path / "labels")
    assert download(export_id=avala.add_export(artifact=GOOD), path=path + "/", unpack=True) == path
    assert files_in(path) == CONTENT
    assert [each.name for each in tmp_path.iterdir()] == ["labels"]


def test_the_emulators_own_export_is_unpacked(avala: Emulator, tmp_path: Path) -> None:
    export_id = avala.add_export(datasets=[SEED_DATASET_ID])
    folder = download(export_id=export_id, path=f"file://{tmp_path}/labels", unpack=True)
    assert folder == f"file://{tmp_path}/labels"
    assert files_in(tmp_path / "labels")


@pytest.mark.parametrize(("if_exists", "expected"), [("replace", b"[]"), ("skip", b"old"), ("error", b"old")])
def test_what_becomes_of_a_folder_that_is_there(
    if_exists: str, expected: bytes, avala: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.json").write_bytes(b"old")
    arguments = {"export_id": avala.add_export(artifact=GOOD), "path": str(folder), "if_exists": if_exists}
    if if_exists == "error":
        with pytest.raises(AirflowFailException, match="is there already"):
            download(**arguments, unpack=True)
    else:
        assert download(**arguments, unpack=True) == str(folder)
    assert (folder / "a.json").read_bytes() == expected
    if if_exists != "replace":
        assert not avala.requests


@pytest.mark.parametrize("data", [BOMB, zipped(("../x", "x"))])
def test_an_unsafe_zip_ends_the_task(data: bytes, avala: Emulator, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="the zip is not unpacked"):
        download(export_id=avala.add_export(artifact=data), path=f"{tmp_path}/labels", unpack=True)
    assert not list(tmp_path.iterdir())


def test_here_is_a_folder_too(avala: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert download(export_id=avala.add_export(artifact=GOOD), path=".", unpack=True) == str(
        tmp_path / "here"
    )
    assert files_in(tmp_path / "here") == CONTENT


def test_the_root_is_not_unpacked_to(avala: Emulator) -> None:
    with pytest.raises(AirflowFailException, match=r"path: '/' cannot be unpacked to"):
        download(export_id=avala.add_export(artifact=GOOD), path="/", unpack=True)
    assert not avala.requests


@pytest.mark.parametrize("value", ["", "REPLACE", None, True, "keep"])
def test_a_value_of_if_exists_that_is_none_is_named(value: Any, avala: Emulator, tmp_path: Path) -> None:
    with pytest.raises(AvalaConfigurationError, match="if_exists: "):
        AvalaDownloadExportOperator(task_id="download", export_id="x", path="x", if_exists=value)
    for path in (tmp_path / "x", f"file://{tmp_path}/x"):
        with pytest.raises(AvalaConfigurationError, match="if_exists: "):
            AvalaHook().download_export("x", path, if_exists=value)
    assert not avala.requests


def test_a_file_that_cannot_be_had_leaves_the_task_its_retries(avala: Emulator, tmp_path: Path) -> None:
    with pytest.raises(AvalaDownloadError) as caught:
        download(export_id=avala.add_export(artifact=b"{}"), path=f"{tmp_path}/labels", unpack=True)
    assert not is_fatal(caught.value)


def test_relative_paths_stay_as_they_are(
    avala: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert download(export_id=avala.add_export(), path="x.zip") == "x.zip"
    assert download(export_id=avala.add_export(artifact=GOOD), path="y", unpack=True) == "y"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.zip", "y"]
