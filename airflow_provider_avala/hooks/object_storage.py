"""Downloading to an object storage: the file rests on this machine until it is whole and verified."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.api.errors import AvalaDownloadError
from airflow_provider_avala.api.secrets import without_signed_urls

if TYPE_CHECKING:
    from airflow_provider_avala.api.client import AvalaClient
    from airflow_provider_avala.api.downloads import DownloadSummary

#: Seconds after which a file that no retry came for is deleted.
_ABANDONED = 7 * 24 * 3600.0
_MIB = 1024 * 1024
#: Storages take up to 10,000 blocks of a file, the smallest of 5 MiB.
_BLOCK, _BLOCKS = 8 * _MIB, 5000


def download(
    client: AvalaClient, export_id: str, path: Any, place: Any, if_exists: str = "replace"
) -> DownloadSummary:
    """Download an export to an object storage.

    :param client: of the account.
    :param export_id: the export's id.
    :param path: the target as the user named it.
    :param place: the same as ObjectStoragePath.
    :param if_exists: what to do with a file that is there already: ``replace``, ``skip`` or ``error``.
    :raises AvalaDownloadError: if the file could not be had whole, not be stored, or is there already.
    """
    from airflow_provider_avala.api import targets
    from airflow_provider_avala.api.downloads import DownloadSummary
    from airflow_provider_avala.api.state_dir import StateDir, digest

    keeps = targets.checked_if_exists(if_exists) != "replace"
    is_folder = str(path).endswith("/") or place.is_dir()
    target = place / client.export_file_name(export_id) if is_folder else place
    if keeps and (found := _state(target)):
        if if_exists == "error":
            raise targets.already_there(target)
        return DownloadSummary(str(target), int(found.get("size") or 0), 0, skipped=True)
    folder = StateDir().folder("downloads")
    _tidy(folder)
    resting = folder / digest(target)
    summary = client.download_export(export_id, resting, deliver=lambda file: _store(file, target))
    return replace(summary, path=str(target))


def _store(file: Path, target: Any) -> None:
    """Copy a local file to an object storage, whole or not at all.

    Storages take a file in blocks and show it when it is complete, if they are told to wait for that: fsspec calls it a
    transaction. Some have none: what is there then, and was not before, is removed.
    """
    before = _state(target)
    block = max(_BLOCK, -(-file.stat().st_size // (_BLOCKS * _MIB)) * _MIB)
    try:
        with file.open("rb") as local, target.fs.transaction, target.open("wb", block_size=block) as remote:
            shutil.copyfileobj(local, remote, _MIB)
    except BaseException as error:
        if _state(target) != before:
            target.unlink(missing_ok=True)
        if isinstance(error, Exception):
            raise AvalaDownloadError(
                f"{target} could not be written: {without_signed_urls(str(error)) or type(error).__name__}. The file is"
                f" kept in {file}; the next attempt on this machine does not download it again."
            ) from error
        raise


def _state(target: Any) -> dict[str, Any] | None:
    """What the storage tells of a file now; None if there is none."""
    target.fs.invalidate_cache()
    try:
        return dict(target.fs.info(target.path))
    except FileNotFoundError:
        return None


def _tidy(folder: Path) -> None:
    for path in folder.iterdir():
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()
        except FileNotFoundError:
            pass  # somebody else has tidied up
