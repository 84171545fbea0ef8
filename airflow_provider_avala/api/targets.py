"""Where a download goes, and what becomes of what is there already."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaDownloadError

#: What to do with a file that is there already.
IF_EXISTS = ("replace", "skip", "error")

_PACKED = frozenset({".gz", ".bz2", ".xz", ".zst"})


def checked_if_exists(value: Any) -> str:
    """The value, if it says what to do with a file that is there already.

    :param value: what the user gave.
    :raises AvalaConfigurationError: if it does not.
    """
    if value not in IF_EXISTS:
        raise AvalaConfigurationError(f"if_exists: {value!r} is none of {', '.join(map(repr, IF_EXISTS))}")
    return str(value)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a folder to put a file into: one that exists, or any that ends with a slash.

    :param path: a local path.
    """
    return os.fspath(path).endswith("/") or Path(path).is_dir()


def file_name(export_id: str, url: str) -> str:
    """What the file of an export is called in a folder: the export's id and the suffix of its address.

    :param export_id: the export's id; what a file name cannot hold becomes ``_``.
    :param url: address of the file.
    """
    suffixes = PurePosixPath(unquote(urlsplit(url).path)).suffixes
    kept = suffixes[-2:] if suffixes[-1:] and suffixes[-1].lower() in _PACKED else suffixes[-1:]
    suffix = "".join(kept) if all(re.fullmatch(r"\.[A-Za-z0-9]{1,8}", one) for one in kept) else ""
    return re.sub(r"[^A-Za-z0-9._-]", "_", export_id).lstrip(".") + suffix


def target_in(path: str | os.PathLike[str], export_id: str, url: str) -> Path:
    """Where a download goes: the path itself, or a file named after the export if the path is a folder.

    :param path: a file, or a folder; see :func:`is_folder`.
    :param export_id: the export's id.
    :param url: address of the file.
    """
    return Path(path) / file_name(export_id, url) if is_folder(path) else Path(path)


def folder_at(path: str | os.PathLike[str]) -> Path:
    """The folder that a download is unpacked to.

    :param path: a local path.
    :raises AvalaConfigurationError: if it has no name, so that none can be given to it.
    """
    folder = Path(path)
    if folder.name in ("", ".."):
        folder = folder.resolve()
    if not folder.name:
        raise AvalaConfigurationError(f"path: {os.fspath(path)!r} cannot be unpacked to; name a folder in it")
    return folder


def is_there(target: Path, *, unpack: bool = False) -> bool:
    """Whether a download has been here: what has its final name is complete, because only that is given it.

    :param target: a file, or with ``unpack`` a folder, which is there as soon as anything is in it.
    :param unpack: whether the target is a folder to unpack to.
    """
    if unpack:
        return target.is_dir() and any(target.iterdir())
    return target.is_file()


def already_there(target: object) -> AvalaDownloadError:
    """The error for ``if_exists="error"``; no retry can mend it.

    :param target: what is there.
    """
    return AvalaDownloadError(
        f"{target} is there already, and if_exists is 'error': nothing was downloaded. Remove it, name another path,"
        " or set if_exists to 'skip' or 'replace'.",
        fatal=True,
    )
