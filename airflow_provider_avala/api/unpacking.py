"""Unpacking a zip into a folder: nothing outside of it, nothing but plain files, no more than the disk can bear."""

from __future__ import annotations

import errno
import re
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_avala.api.archives import BOUNDED_METHODS, LIMITS, Limits
from airflow_provider_avala.api.errors import AvalaDownloadError

_CHUNK = 256 * 1024
_ENCRYPTED = 0x1
_LONGEST_NAME = 4096
_PLAIN = (0, stat.S_IFREG, stat.S_IFDIR)


@dataclass(frozen=True)
class Member:
    """A file of a zip.

    :param info: what the zip says of it.
    :param path: where it goes, relative to the folder.
    """

    info: zipfile.ZipInfo
    path: str


def plan(members: Iterable[zipfile.ZipInfo]) -> list[Member]:
    """Decide where each file of a zip goes; folders come with the files in them.

    :param members: what the zip lists.
    :raises AvalaDownloadError: naming the first member that cannot be unpacked safely, and why.
    """
    files: dict[str, Member] = {}
    folders: set[str] = set()
    for info in members:
        name = info.orig_filename.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if problem := _problem(info, name, parts):
            raise _unsafe(info, problem)
        path = "/".join(parts)
        if info.is_dir() or name.endswith("/"):
            folders.add(path)
        elif path in files:
            raise _unsafe(info, "is in it twice")
        else:
            files[path] = Member(info, path)
    if both := min(_files_above(folders, files.keys()), default=None):
        raise _unsafe(files[both].info, "is a file and a folder")
    return list(files.values())


def _files_above(folders: Set[str], files: Set[str]) -> Iterator[str]:
    """The files that would have to be folders; one folder after the other, because all of them may be many."""
    yield from folders & files
    for path in (*folders, *files):
        while path := path.rpartition("/")[0]:
            if path in files:
                yield path


def _problem(info: zipfile.ZipInfo, name: str, parts: list[str]) -> str:
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in parts:
        return "leads out of the folder"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "has a control character in its name"
    if len(name) > _LONGEST_NAME:
        return "has a name that is longer than any path"
    if not parts and not name.endswith("/"):
        return "has no name"
    if stat.S_IFMT(info.external_attr >> 16) not in _PLAIN:
        return "is a link or a special file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in BOUNDED_METHODS:
        return "is packed in another way than deflate"
    return ""


def _unsafe(info: zipfile.ZipInfo, problem: str) -> AvalaDownloadError:
    return AvalaDownloadError(
        f"the zip is not unpacked: its member {info.orig_filename!r} {problem}", fatal=True
    )


def unpack(archive: Path, folder: Path, limits: Limits = LIMITS) -> int:
    """Unpack a zip into a new folder and return the number of its files; each is checked on the way.

    :param archive: the zip.
    :param folder: made by this call; left behind half full if it raises.
    :param limits: how large it may be.
    :raises AvalaDownloadError: if it is no zip, damaged, unsafe or too large.
    :raises OSError: if the folder cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            if excess := limits.excess(source, archive.stat().st_size):
                raise AvalaDownloadError(f"the zip is not unpacked: {excess}", fatal=True)
            members = plan(source.infolist())
            folder.mkdir()
            try:
                for member in members:
                    _write(source, member, folder / member.path)
            except OSError as error:
                needed = sum(member.info.file_size for member in members)
                words = f"{error.strerror or error} (unpacked, the zip has {needed} bytes)"
                raise OSError(error.errno, words, str(folder)) from error
            return len(members)
    except (AvalaDownloadError, OSError):
        raise
    except Exception as error:  # zipfile lets through whatever the decompressors raise on damaged data
        raise AvalaDownloadError(f"the zip cannot be unpacked: {error or type(error).__name__}") from error


def _write(source: zipfile.ZipFile, member: Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.open(member.info) as packed, path.open("xb") as file:
        shutil.copyfileobj(packed, file, _CHUNK)


def merge(folder: Path, target: Path) -> None:
    """Give a folder its name; if there is one of that name, its files of the same names are replaced, others stay.

    :param folder: the new one; gone afterwards.
    :param target: its name; a link to a folder will do.
    :raises AvalaDownloadError: if a link in the target leads out of it.
    :raises OSError: if that cannot be.
    """
    try:
        folder.rename(target)  # in the place of an empty one, too
        return
    except OSError:
        if not target.is_dir():
            raise
    home, paths = target.resolve(), sorted(folder.rglob("*"))
    for path in paths:
        destination = target / path.relative_to(folder)
        if path.is_dir() and not destination.resolve().is_relative_to(home):
            raise AvalaDownloadError(
                f"the zip is not unpacked: {destination} is a link that leads out of the folder", fatal=True
            )
    for path in paths:
        destination = target / path.relative_to(folder)
        if path.is_dir():
            destination.mkdir(exist_ok=True)
        else:
            _move(path, destination)
    shutil.rmtree(folder)


def _move(path: Path, destination: Path) -> None:
    try:
        path.replace(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        destination.unlink(missing_ok=True)  # it may be a link
        shutil.copyfile(path, destination)
