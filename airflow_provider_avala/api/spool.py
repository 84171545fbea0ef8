"""Temporary files for what cannot be read a second time where it comes from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from airflow_provider_avala.api.errors import AvalaConfigurationError

_CHUNK = 1024 * 1024


class SpoolError(Exception):
    """Something could not be written to a temporary file.

    :param name: the folder.
    :param error: why.
    """

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(
            f"the temporary folder {name} takes no more: {error.strerror}. Free space there, or let the environment"
            " variable TMPDIR name a folder on a larger disk"
        )


class SpooledPart:
    """One part in a file without a name, which is gone when it is closed, or the process ends."""

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(prefix="avala-part-", buffering=0)  # noqa: SIM115  # outlives this
        except OSError as error:
            raise SpoolError(tempfile.gettempdir(), error) from error

    def write(self, data: bytes) -> None:
        """Add bytes.

        :param data: any number of them.
        :raises SpoolError: if they cannot be written.
        """
        write_all(self._file, data)

    @property
    def is_settled(self) -> bool:
        """Whether a change would show: nobody else can get at a file without a name."""
        return True

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Give the file's descriptor."""
        yield self._file.fileno()

    def require_unchanged(self) -> None:
        """Nothing can have changed."""

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered file, to the last byte.

    :param file: the file.
    :param data: what to write.
    :raises SpoolError: if it cannot be written: other errors of the same kind come from elsewhere.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise SpoolError(tempfile.gettempdir(), error) from error


def spool_items(items: Any, file: IO[bytes], problem_with: Any) -> int:
    """Write items as JSONL into a file, and return how many there are.

    :param items: any iterable of dicts that JSON can express; read once, one at a time.
    :param file: an empty file open for unbuffered writing.
    :param problem_with: says of a line's length what is wrong with it, or None.
    :raises AvalaConfigurationError: if there are no items, or at the first that is not a dict, is not JSON or
        does not fit into a part.
    :raises SpoolError: if the file cannot be written.
    """
    if isinstance(items, str | bytes | dict) or not isinstance(items, Iterable):
        raise AvalaConfigurationError(
            f"items: expected an iterable of dicts, got {type(items).__name__}; wrap a single item in a list,"
            " pass a path as source="
        )
    number = 0
    buffer = bytearray()
    for number, item in enumerate(items, start=1):
        line, problem = b"", None
        if not isinstance(item, dict):
            problem = f"expected a dict, got {type(item).__name__}"
        else:
            try:
                line = _encoder.encode(item).encode() + b"\n"
            except (TypeError, ValueError, RecursionError) as error:
                problem = f"JSON cannot express it: {error}"
        problem = problem or problem_with(len(line))
        if problem:
            raise AvalaConfigurationError(f"items: item {number}: {problem}; nothing was sent")
        buffer += line
        if len(buffer) >= _CHUNK:
            write_all(file, bytes(buffer))
            buffer.clear()
    write_all(file, bytes(buffer))
    if not number:
        raise AvalaConfigurationError("items: there are none; pass at least one, or skip the task")
    return number


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
