"""Where items come from: files, globs, directories, here or in an object storage, plain or compressed with gzip.

A compressed file is known by its first bytes, whatever its name.
"""

from __future__ import annotations

import errno
import glob
import gzip
import stat
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol, TypeGuard

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.line_readers import FileLines, LineReader, StreamLines
from airflow_provider_avala.api.secrets import without_signed_urls

#: What files are taken from a directory.
SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")

_GZIP_MAGIC = b"\x1f\x8b"
_GLOB_SIGNS = "*?["
#: An object storage reads ahead by this many bytes; some would take 50 MiB.
_REMOTE_BLOCK = 4 * 1024 * 1024
#: More seconds than the coarsest clock of a file system takes for a tick.
_TICK = 3.0
_RULE = "name at least one JSONL file"
_REMEDIES = {
    errno.ENOENT: "check the path, and that the file is on this worker and not on another one",
    errno.EACCES: "let the user that runs the worker read it",
}


class SourceUnreadableError(Exception):
    """A source cannot be read at the moment; a later attempt may well succeed."""


class Openable(Protocol):
    """A file-like address: :class:`pathlib.Path`, Airflow's ``ObjectStoragePath``, and the like."""

    def open(self, mode: str) -> Any:
        """Open for reading bytes; what it returns can ``read``, ``seek`` and ``close``."""


@dataclass(frozen=True)
class Source:
    """One file of items.

    :param path: what to open.
    :param label: its name for messages.
    :param unit: what a line of it is called in messages.
    :param fingerprint: size and times of the last change when it was first seen, where that can be known.
    :param is_settled: whether any change from then on shows in the fingerprint.
    """

    path: Openable
    label: str
    unit: str = "line"
    fingerprint: tuple[Any, ...] | None = None
    is_settled: bool = False

    @property
    def stem(self) -> str:
        """The file's name without folder and suffixes."""
        name = Path(str(self.path)).name
        return Path(name.removesuffix(".gz")).stem or "items"

    @property
    def bytes(self) -> int | None:
        """Size of the file as it lies there, where that can be known."""
        return self.fingerprint[0] if self.fingerprint else None

    @property
    def is_local(self) -> bool:
        """Whether its bytes can be read again at no cost."""
        return is_local(self.path)

    @contextmanager
    def opened(self) -> Iterator[Reader]:
        """Open the source for reading its lines' bytes, decompressed if need be.

        :raises AvalaConfigurationError: if it cannot be read, then or later, and waiting will not help.
        :raises SourceUnreadableError: if an object storage did not give its content.
        """
        try:
            with _open(self.path) as handle:
                is_gzip = handle.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
                handle.seek(0)
                yield Reader(self._lines(handle, is_gzip), handle, is_gzip)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise AvalaConfigurationError(
                f"source: {self.label} is a damaged gzip file: {error}; compress it anew, or copy it again"
            ) from error
        except OSError as error:
            _refuse(self.label, self.path, error)

    def _lines(self, handle: Any, is_gzip: bool) -> LineReader:
        if is_gzip:
            return StreamLines(gzip.GzipFile(fileobj=handle).read)
        return FileLines(handle.fileno()) if self.is_local else StreamLines(handle.read)


@dataclass(frozen=True)
class Reader:
    """An open source.

    :param lines: gives its lines.
    :param raw: the file itself.
    :param is_gzip: whether it is compressed.
    """

    lines: LineReader
    raw: IO[bytes]
    is_gzip: bool

    def position(self, plain: int) -> int:
        """How much of the file as it lies there was used for the first ``plain`` bytes of its content."""
        return self.raw.tell() if self.is_gzip else plain


def _open(path: Openable) -> IO[bytes]:
    if is_local(path):
        return path.open("rb", buffering=0)
    if hasattr(path, "fs"):
        return path.open("rb", block_size=_REMOTE_BLOCK)  # type: ignore[call-arg, no-any-return]
    return path.open("rb")  # type: ignore[no-any-return]


def is_local(path: Any) -> TypeGuard[Path]:
    """Whether a path is one of this machine's files: some versions of ``ObjectStoragePath`` are a ``Path``, too.

    :param path: anything.
    """
    return isinstance(path, Path) and not hasattr(path, "fs")


def fingerprint(path: Openable) -> tuple[Any, ...] | None:
    """Size and times of the last change, or None where they cannot be known.

    :param path: anything, asked through its ``stat`` method if it has one.
    """
    try:
        found = path.stat()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError, NotImplementedError):
        return None
    changed = getattr(found, "st_mtime_ns", getattr(found, "st_mtime", None))
    # The last is of this machine's files only: it cannot be set back, and is another one after a replacement.
    return getattr(found, "st_size", None), changed, getattr(found, "st_ctime_ns", None)


def is_settled(path: Openable) -> bool:
    """Whether any change from now on will show in a file's fingerprint.

    Times are kept in ticks, of two seconds at worst: after a change within the same tick as the last one, they are
    what they were.

    :param path: anything; what is not a local file never is.
    """
    if is_local(path):
        with suppress(OSError):
            return time.time() - path.stat().st_ctime > _TICK
    return False


def holds_rows(source: Any) -> bool:
    """Whether what is given as ``source`` are the items themselves, not the files that hold them.

    :param source: anything.
    """
    if isinstance(source, list | tuple):
        return bool(source) and isinstance(source[0], Mapping)
    return isinstance(source, Iterable) and not (
        isinstance(source, str | bytes | Mapping | PathLike) or hasattr(source, "open")
    )


def find_sources(source: Any) -> list[Source]:
    """Turn the ``source`` argument into the files it names, those of a directory or glob sorted by name.

    :param source: a local path, a glob, a directory, an object with ``open("rb")`` such as ``ObjectStoragePath``, or
        a list of those.
    :raises AvalaConfigurationError: if it is none of them, names nothing, or something that cannot be read twice.
    """
    given = list(source) if isinstance(source, list | tuple) else [source]
    if not given:
        raise AvalaConfigurationError(f"source: the list is empty; {_RULE}")
    found = [_source(path) for one in given for path in _expanded(_path(one))]
    labels: dict[Any, str] = {}
    for each in found:
        place = each.path.resolve() if is_local(each.path) else each.label
        if other := labels.get(place):
            named = each.label if each.label == other else f"{each.label}, which is {other},"
            raise AvalaConfigurationError(
                f"source: {named} is listed twice, so its items would be stored twice"
            )
        labels[place] = each.label
    return found


def _path(given: Any) -> Any:
    if isinstance(given, str):
        if not given.strip():
            raise AvalaConfigurationError(f"source: the path is empty; {_RULE}")
        if "://" in given:
            raise AvalaConfigurationError(
                f"source: {without_signed_urls(given)} is a URL; pass an ObjectStoragePath of it"
            )
        return Path(given)
    if not hasattr(given, "open"):
        raise AvalaConfigurationError(
            f"source: expected a path or a list of paths, got {type(given).__name__};"
            " pass rows that are in memory as items="
        )
    return (
        Path(given.path) if getattr(given, "protocol", None) == "file" and hasattr(given, "path") else given
    )


def _expanded(path: Any) -> Iterable[Any]:
    """The files that a path stands for; anything that can do no more than be opened stands for itself."""
    label = without_signed_urls(str(path))
    try:
        if any(sign in str(path) for sign in _GLOB_SIGNS) and hasattr(path, "glob") and not path.exists():
            return _files(path, sorted(_matches(path), key=str), f"{label} matches no file")
        if hasattr(path, "iterdir") and path.is_dir():
            inside = [each for each in path.iterdir() if str(each).lower().endswith(SUFFIXES)]
            return _files(
                path, sorted(inside, key=str), f"there is no file *{', *'.join(SUFFIXES)} in {label}"
            )
    except AvalaConfigurationError:
        raise
    except Exception as error:
        _refuse(label, path, error)
    return [path]


def _matches(path: Any) -> Iterable[Any]:
    if is_local(path):
        return map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207  # takes absolute patterns
    parts = list(path.parts)
    first = next(place for place, part in enumerate(parts) if any(sign in part for sign in _GLOB_SIGNS))
    base = path
    for _ in parts[first:]:
        base = base.parent
    matches: Iterable[Any] = base.glob("/".join(parts[first:]))
    return matches


def _files(path: Any, candidates: list[Any], nothing: str) -> list[Any]:
    files = [each for each in candidates if not each.is_dir()]
    if not files:
        raise AvalaConfigurationError(
            f"source: {nothing}; check the path, and that this worker sees the files"
        )
    return files


def _source(path: Any) -> Source:
    label = without_signed_urls(str(path))
    if is_local(path):
        _require_regular_file(label, path)
    elif hasattr(path, "exists"):
        try:
            if not path.exists():
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        except Exception as error:
            _refuse(label, path, error)
    source = Source(path, label, fingerprint=fingerprint(path), is_settled=is_settled(path))
    if source.bytes == 0:
        raise AvalaConfigurationError(f"source: {label} is empty and holds no items; leave the file out")
    return source


def _require_regular_file(label: str, path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        refuse_unreadable(label, error)
    if not stat.S_ISREG(mode):
        raise AvalaConfigurationError(
            f"source: {label} is a pipe or a device, which cannot be read again for a second attempt;"
            " write its content to a file first"
        )


def _refuse(label: str, path: Any, error: Exception) -> NoReturn:
    """Say why a source cannot be read; whatever is wrong with an object storage may be over at the next attempt.

    :param label: its name.
    :param path: the source.
    :param error: what using it raised: the libraries of object storages have errors of their own.
    """
    if is_local(path) or isinstance(error, ValueError) or getattr(error, "errno", None) in _REMEDIES:
        refuse_unreadable(label, error)
    raise SourceUnreadableError(
        f"source: {label} could not be read: {without_signed_urls(str(error))}"
    ) from error


def refuse_unreadable(label: str, error: Exception) -> NoReturn:
    """Say why a source cannot be read, and what to do about it.

    :param label: its name.
    :param error: what reading it raised.
    :raises AvalaConfigurationError: always.
    """
    code = getattr(error, "errno", None)
    problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
    remedy = _REMEDIES.get(code or 0, "check the path")
    raise AvalaConfigurationError(
        f"source: cannot read {label}: {without_signed_urls(problem)}; {remedy}"
    ) from error
