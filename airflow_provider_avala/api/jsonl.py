"""JSONL sources: every line is checked, then they are cut at line ends into parts.

Nothing is kept of a source but where its parts begin and end, and a digest of each: a part is read again when
it is sent. So memory stays flat, and a part can be sent a second time with the very same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.secrets import without_signed_urls

#: The API takes 100 MB in one request; the frame around the file needs some of it.
MAX_PART_SIZE = 100_000_000 - 64 * 1024

_CHUNK = 1024 * 1024
_UTF8_BOM = b"\xef\xbb\xbf"
_WHITESPACE = " \t\r\n"
_RULE = "Write one JSON object a line, in UTF-8"


class SourceChangedError(Exception):
    """A source no longer holds the bytes that were checked; what was being sent of it is incomplete.

    Deliberately no :class:`OSError`: HTTP libraries take one for a broken connection and may send again.
    """


class SpoolError(Exception):
    """Items could not be written to their temporary file."""


class Openable(Protocol):
    """A file-like address: :class:`pathlib.Path`, Airflow's ``ObjectStoragePath``, and the like."""

    def open(self, mode: str) -> Any:
        """Open for reading bytes; what it returns can ``read``, ``seek`` and ``close``."""


@dataclass(frozen=True)
class Source:
    """Where items come from.

    :param path: what to open.
    :param label: its name for messages.
    :param unit: what a line of it is called in messages.
    :param fingerprint: size and time of the last change when it was first seen, where that can be known.
    """

    path: Openable
    label: str
    unit: str = "line"
    fingerprint: tuple[Any, ...] | None = None

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix."""
        return Path(str(self.path)).stem or "items"


@dataclass(frozen=True)
class Part:
    """Some whole lines of a source, one request's worth.

    :param source: where they are.
    :param offset: bytes before them.
    :param size: their bytes.
    :param first_line: number of the first line, counted from 1.
    :param last_line: number of the last line.
    :param items: how many of the lines are not blank.
    :param sha256: digest of the bytes, in hex.
    """

    source: Source
    offset: int
    size: int
    first_line: int
    last_line: int
    items: int
    sha256: str

    def chunks(self) -> Iterator[bytes]:
        """Read the part's bytes anew from its source, at most 1 MiB at a time.

        :raises SourceChangedError: before the last chunk, if they are not the bytes that were checked.
        """
        changed = f"{self.source.label} was changed, shortened or removed while it was being uploaded"
        if self.source.fingerprint not in (None, fingerprint(self.source.path)):
            raise SourceChangedError(changed)
        digest, left = hashlib.sha256(), self.size
        try:
            with self.source.path.open("rb") as handle:
                handle.seek(self.offset)
                while left:
                    chunk = handle.read(min(_CHUNK, left))
                    digest.update(chunk)
                    left -= len(chunk)
                    if not chunk or (not left and digest.hexdigest() != self.sha256):
                        raise SourceChangedError(changed)
                    yield chunk
        except OSError as error:
            raise SourceChangedError(f"{self.source.label} cannot be read any more: {error}") from error


def fingerprint(path: Openable) -> tuple[Any, ...] | None:
    """Size and time of the last change, or None where they cannot be known.

    :param path: anything, asked through its ``stat`` method if it has one.
    """
    try:
        found = path.stat()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError, NotImplementedError):
        return None
    return getattr(found, "st_size", None), getattr(found, "st_mtime_ns", getattr(found, "st_mtime", None))


def find_sources(source: Any) -> list[Source]:
    """Turn the ``source`` argument into the files it names.

    :param source: a local path, an object with ``open("rb")``, or a list of those.
    :raises AvalaConfigurationError: if it is none of them, or a local path that cannot be read twice.
    """
    sources = list(source) if isinstance(source, list | tuple) else [source]
    if not sources:
        raise AvalaConfigurationError("source: the list is empty; name at least one JSONL file")
    found = [_find_source(one) for one in sources]
    labels = [one.label for one in found]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise AvalaConfigurationError(f"source: {twice} is listed twice, so its items would be stored twice")
    return found


def _find_source(given: Any) -> Source:
    if isinstance(given, str) and "://" in given:
        raise AvalaConfigurationError(
            f"source: {without_signed_urls(given)!r} is a URL, which cannot be opened as a local path;"
            " pass an ObjectStoragePath of it"
        )
    if isinstance(given, str | os.PathLike) and not hasattr(given, "open"):
        if not os.fspath(given):
            raise AvalaConfigurationError("source: the path is empty; name a JSONL file")
        given = Path(given)
    if not callable(getattr(given, "open", None)):
        raise AvalaConfigurationError(
            f"source: expected the path of a JSONL file or a list of paths, got {type(given).__name__};"
            " pass rows that are in memory as items="
        )
    source = Source(given, without_signed_urls(str(given)), fingerprint=fingerprint(given))
    if isinstance(given, Path):
        _require_regular_file(source, given)
    return source


def _require_regular_file(source: Source, path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        _refuse_unreadable(source, error)
    if stat.S_ISDIR(mode):
        raise AvalaConfigurationError(f"source: {source.label} is a directory; list the files in it instead")
    if not stat.S_ISREG(mode):
        raise AvalaConfigurationError(
            f"source: {source.label} is a pipe or a device, which cannot be read again for a second attempt;"
            " write its content to a file first"
        )


def _refuse_unreadable(source: Source, error: Exception) -> NoReturn:
    code = getattr(error, "errno", None)
    problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
    remedy = {
        errno.ENOENT: "check the path, and that the file is on this worker and not on another one",
        errno.EACCES: "let the user that runs the worker read it",
        errno.EISDIR: "list the files in it instead",
    }.get(code or 0, "check the path")
    raise AvalaConfigurationError(f"source: cannot read {source.label}: {problem}; {remedy}") from error


def split_source(source: Source, part_size: int) -> list[Part]:
    """Check every line of a source and cut it into parts.

    Put together, the parts are the source without a byte order mark; where a part would hold nothing but
    blank lines, they are left out.

    :param source: where to read.
    :param part_size: the most bytes in a part.
    :raises AvalaConfigurationError: if the source cannot be read, has no items, or at the first line that is
        not a JSON object in UTF-8 or does not fit into a part.
    """
    try:
        with source.path.open("rb") as handle:
            offset = len(_UTF8_BOM) if handle.read(len(_UTF8_BOM)) == _UTF8_BOM else 0
            handle.seek(offset)
            parts = list(_cut(source, _checked_lines(source, handle, part_size), part_size, offset))
    except OSError as error:
        _refuse_unreadable(source, error)
    if not parts:
        raise AvalaConfigurationError(
            f"source: {source.label} holds no items; {_RULE}, or leave the file out"
        )
    return parts


def _checked_lines(source: Source, handle: IO[bytes], limit: int) -> Iterator[bytes]:
    for number, line in enumerate(_lines(handle, limit), start=1):
        problem = _too_long(len(line), limit) or (None if line.isspace() else _problem_of(line))
        if problem:
            document = number == 1 and (line.lstrip()[:1] == b"[" or line.strip() == b"{")
            hint = "; the file looks like one JSON document instead of JSONL" if document else ""
            raise AvalaConfigurationError(
                f"source: line {number} of {source.label}: {problem}{hint}. {_RULE}; nothing was sent"
            )
        yield line


def _lines(handle: IO[bytes], limit: int) -> Iterator[bytes]:
    """Cut at line feeds only and ask nothing of the handle but ``read``; a line over the limit is cut off."""
    rest = b""
    while block := handle.read(_CHUNK):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(rest) > limit:
            break
    if rest:
        yield rest


def _too_long(size: int, limit: int) -> str | None:
    if size <= limit:
        return None
    remedy = f"raise part_size (at most {MAX_PART_SIZE})" if limit < MAX_PART_SIZE else "make it smaller"
    return f"it is longer than the {limit} bytes of a part; {remedy}"


def _problem_of(line: bytes) -> str | None:
    try:
        text = line.decode().strip(_WHITESPACE)
        value, end = _decoder.raw_decode(text)  # half the time of decode()
    except UnicodeDecodeError as error:
        return f"byte 0x{line[error.start]:02x} at position {error.start + 1} is not UTF-8"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"not usable JSON: {error}"
    if end < len(text):
        return f"not JSON: something follows the value that ends at column {end}"
    return None if isinstance(value, dict) else f"expected a JSON object, got a {type(value).__name__}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def spool_items(items: Any, handle: IO[bytes], part_size: int) -> list[Part]:
    """Write items as JSONL into a file of our own and cut it into parts.

    :param items: any iterable of dicts that JSON can express; read once, one at a time.
    :param handle: a named, empty file open for unbuffered writing.
    :param part_size: the most bytes in a part.
    :raises AvalaConfigurationError: if there are no items, or at the first that is not a dict, is not JSON or
        does not fit into a part.
    :raises SpoolError: if the file cannot be written.
    """
    if isinstance(items, str | bytes | dict) or not isinstance(items, Iterable):
        raise AvalaConfigurationError(
            f"items: expected an iterable of dicts, got {type(items).__name__}; wrap a single item in a list,"
            " pass a path as source="
        )
    source = Source(Path(handle.name), "the given items", unit="item")
    lines = _spooled_lines(items, handle, part_size)
    parts = list(_cut(source, lines, part_size, 0))
    if not parts:
        raise AvalaConfigurationError("items: there are none; pass at least one, or skip the task")
    return parts


def _spooled_lines(items: Iterable[Any], handle: IO[bytes], limit: int) -> Iterator[bytes]:
    for number, item in enumerate(items, start=1):
        line, problem = b"", None
        if not isinstance(item, dict):
            problem = f"expected a dict, got {type(item).__name__}"
        else:
            try:
                line = _encoder.encode(item).encode() + b"\n"
            except (TypeError, ValueError, RecursionError) as error:
                problem = f"JSON cannot express it: {error}"
        problem = problem or _too_long(len(line), limit)
        if problem:
            raise AvalaConfigurationError(f"items: item {number}: {problem}; nothing was sent")
        _write(handle, line)
        yield line


def _write(handle: IO[bytes], line: bytes) -> None:
    # Errors of the disk are told from those of the caller's own iterable here, where alone they can be.
    view = memoryview(line)
    try:
        while view:
            view = view[handle.write(view) :]
    except OSError as error:
        raise SpoolError(error.strerror) from error


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _cut(source: Source, lines: Iterable[bytes], part_size: int, offset: int) -> Iterator[Part]:
    """Gather lines into parts as large as they may be; blank lines alone make no part."""
    digest, size, items, first, number = hashlib.sha256(), 0, 0, 1, 0

    def part() -> Part:
        return Part(source, offset, size, first, number, items, digest.hexdigest())

    for line in lines:
        if size + len(line) > part_size:
            if items:
                yield part()
            digest, offset, size, items, first = hashlib.sha256(), offset + size, 0, 0, number + 1
        number += 1
        digest.update(line)
        size += len(line)
        items += not line.isspace()
    if items:
        yield part()
