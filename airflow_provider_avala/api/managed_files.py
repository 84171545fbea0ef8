"""The files of a dataset to be: found in folders, by pattern or one by one, each with its place in the dataset."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.secrets import without_signed_urls

_CHUNK = 1024 * 1024
#: What object stores call the thing that changes with a file's content.
_VERSION_KEYS = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
)


class FileChangedError(Exception):
    """A file is no longer what it was when the upload began.

    Deliberately no :class:`OSError`: HTTP libraries take one for a broken connection and may send again.
    """


@dataclass(frozen=True)
class SourceFile:
    """One file to be uploaded.

    :param destination: its path in the dataset, relative, with ``/``.
    :param label: where it is, for messages.
    :param size: its length in bytes.
    :param version: what changes when its content does, as far as that can be known.
    :param open: opens it for reading bytes.
    :param current: looks up size and version as they are now.
    """

    destination: str
    label: str
    size: int
    version: str
    open: Callable[[], BinaryIO] = field(repr=False, compare=False)
    current: Callable[[], tuple[int, str]] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name without folder."""
        return PurePosixPath(self.label.replace(os.sep, "/")).name

    def chunks(self, offset: int, size: int) -> Iterator[bytes]:
        """Read some of the file's bytes anew, at most 1 MiB at a time.

        :param offset: bytes before them.
        :param size: how many.
        :raises FileChangedError: if the file is not what it was.
        """
        self.check_unchanged()
        try:
            with self.open() as handle:
                handle.seek(offset)
                left = size
                while left:
                    chunk = handle.read(min(_CHUNK, left))
                    if not chunk:
                        raise self._changed()
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise self._changed(error) from error

    def check_unchanged(self) -> None:
        """Compare size and version with what they were.

        :raises FileChangedError: if they differ.
        """
        try:
            if self.current() != (self.size, self.version):
                raise self._changed()
        except OSError as error:
            raise self._changed(error) from error

    def _changed(self, error: OSError | None = None) -> FileChangedError:
        reason = f" ({error.strerror or type(error).__name__})" if error else ""
        return FileChangedError(
            f"{self.label} was changed, shortened or removed while it was being uploaded{reason}"
        )


def find_files(source: Any) -> list[SourceFile]:
    """Find the files that a source names: a file, a folder with all that is in it, a pattern, or a list of those.

    A file's place in the dataset is its path below the folder, or below the part of a pattern before the first ``*``;
    of a single file, its name.

    :param source: a local path, an ``ObjectStoragePath``, or a list of them.
    :raises AvalaConfigurationError: if there is nothing, something that cannot be read, or two files with one place.
    """
    sources = list(source) if isinstance(source, list | tuple | set | frozenset) else [source]
    files: dict[str, SourceFile] = {}
    for one in sources:
        found = sorted(_find(one), key=lambda file: file.destination)
        if not found:
            raise AvalaConfigurationError(
                f"source: there are no files in {_shown(one)}; check the path or the pattern, and that the files are"
                " on this worker and not on another one"
            )
        for file in found:
            _check_destination(file)
            if other := files.get(file.destination):
                raise AvalaConfigurationError(
                    f"source: {other.label} and {file.label} would both become {file.destination!r} in the dataset;"
                    " give the folder above them as source, rename one, or list it once"
                )
            files[file.destination] = file
    if not files:
        raise AvalaConfigurationError("source: the list is empty; name a file, a folder or a pattern")
    return list(files.values())


def _find(source: Any) -> Iterable[SourceFile]:
    if isinstance(source, str) and "://" in source:
        raise AvalaConfigurationError(
            f"source: {_shown(source)} is a URL, which cannot be opened as a local path;"
            " pass an ObjectStoragePath of it"
        )
    if hasattr(source, "fs") and hasattr(source, "path"):
        return _find_in_storage(source)
    if not isinstance(source, str | os.PathLike):
        raise AvalaConfigurationError(
            f"source: expected the path of a file or a folder, a pattern, or a list of those, got"
            f" {type(source).__name__}"
        )
    text = os.fspath(source)
    if not isinstance(text, str) or not text.strip():
        raise AvalaConfigurationError("source: the path is empty; name a file, a folder or a pattern")
    try:
        return list(_find_locally(text))
    except AvalaConfigurationError:
        raise
    except (OSError, ValueError) as error:
        reason, place = getattr(error, "strerror", None) or str(error), getattr(error, "filename", None)
        raise AvalaConfigurationError(
            f"source: cannot read {place or text}: {reason}; check the path, and that the user who runs the worker may"
            " read it"
        ) from error


def _find_locally(text: str) -> Iterator[SourceFile]:
    path = Path(text)
    if path.is_dir():
        yield from (_local(found, path) for found in _walk(path))
    elif glob.has_magic(text) and not path.exists():
        base = _before_magic(text)
        # Path.glob takes no absolute pattern.
        for found in map(Path, glob.iglob(text, recursive=True)):  # noqa: PTH207
            if found.is_file():
                yield _local(found, Path(base or "."))
    else:
        yield _local(path, path.parent)


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    for root, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(root, name) for name in names)


def _before_magic(text: str) -> str:
    """The folder of a pattern: all segments before the first with a ``*``, ``?`` or ``[``."""
    steps = text.split("/")
    plain = next(number for number, step in enumerate(steps) if glob.has_magic(step))
    return "/".join(steps[:plain]) or ("/" if text.startswith("/") else "")


def _local(path: Path, base: Path) -> SourceFile:
    def current() -> tuple[int, str]:
        found = path.stat()
        return found.st_size, f"{found.st_mtime_ns}"

    if not stat.S_ISREG(path.stat().st_mode):
        raise AvalaConfigurationError(
            f"source: {path} is a pipe or a device, which cannot be read again for a second attempt; write its content"
            " to a file first"
        )
    if not os.access(path, os.R_OK):
        raise AvalaConfigurationError(f"source: cannot read {path}; let the user who runs the worker read it")
    return SourceFile(
        path.relative_to(base).as_posix(),
        str(path),
        *current(),
        open=lambda: path.open("rb"),
        current=current,
    )


def _find_in_storage(place: Any) -> Iterator[SourceFile]:
    fs, path = place.fs, str(place.path).rstrip("/")
    try:
        if glob.has_magic(path) and not fs.exists(path):
            found, base = fs.glob(path, detail=True), _before_magic(path)
        elif fs.isfile(path):
            found, base = {path: fs.info(path)}, path.rpartition("/")[0]
        else:
            found, base = fs.find(path, detail=True), path
    except OSError as error:
        raise AvalaConfigurationError(
            f"source: cannot read {_shown(place)}: {error}; check the path and the connection to the storage"
        ) from error
    for name, info in found.items():
        if info.get("type") != "directory" and not name.endswith("/"):
            yield _stored(fs, name, info, name.removeprefix(base.rstrip("/")).lstrip("/"))


def _stored(fs: Any, name: str, info: dict[str, Any], destination: str) -> SourceFile:
    def described(info: dict[str, Any]) -> tuple[int, str]:
        version = next((str(info[key]) for key in _VERSION_KEYS if info.get(key)), "")
        return int(info.get("size") or 0), version

    return SourceFile(
        destination,
        name,
        *described(info),
        open=partial(fs.open, name, "rb"),
        current=lambda: described(fs.info(name)),
    )


def _check_destination(file: SourceFile) -> None:
    steps = file.destination.split("/")
    if "\\" in file.destination or not file.destination.isprintable() or {"", ".", ".."} & set(steps):
        raise AvalaConfigurationError(
            f"source: {file.label!r} cannot keep its name in a dataset, where paths are relative, with '/' between"
            " printable names; rename it"
        )


def _shown(source: Any) -> str:
    return without_signed_urls(str(source))
