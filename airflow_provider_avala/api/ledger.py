"""What an interrupted upload leaves behind for the next attempt: which files are stored, one bit a file."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

from airflow_provider_avala.api.managed_files import SourceFile


class Memory(Protocol):
    """Notes that outlive an attempt, if anything does."""

    def get(self, key: str) -> Any:
        """Return a note, None if there is none."""

    def update(self, **notes: Any) -> None:
        """Write notes; their values are JSON."""


class Forgetful:
    """Notes that last as long as the process."""

    def __init__(self) -> None:
        self._notes: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """See :meth:`Memory.get`."""
        return self._notes.get(key)

    def update(self, **notes: Any) -> None:
        """See :meth:`Memory.update`."""
        self._notes.update(notes)


def manifest_of(files: Sequence[SourceFile]) -> str:
    """A digest of names, sizes and versions: another one when the source has changed.

    :param files: what is to be uploaded, in order.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(json.dumps([file.destination, file.size, file.version]).encode())
    return digest.hexdigest()[:32]


class Ledger:
    """Which of the files are stored.

    :param files: what is to be uploaded, in order.
    :param memory: where it is remembered; what was noted of another list of files does not count.
    """

    def __init__(self, files: Sequence[SourceFile], memory: Memory) -> None:
        self._memory = memory
        self._manifest = manifest_of(files)
        self._count = len(files)
        self.done: set[int] = set()
        if memory.get("manifest") == self._manifest:
            self.done = unpack(memory.get("done"), self._count)

    def save(self) -> None:
        """Remember what is stored."""
        self._memory.update(manifest=self._manifest, done=pack(self.done, self._count), files=self._count)


def pack(numbers: set[int], count: int) -> str:
    """Write a set of numbers below ``count`` as short text.

    :param numbers: the set.
    :param count: how many numbers there can be.
    """
    bits = bytearray((count + 7) // 8)
    for number in numbers:
        bits[number // 8] |= 1 << number % 8
    return base64.b64encode(zlib.compress(bytes(bits))).decode()


def unpack(text: Any, count: int) -> set[int]:
    """Read what :func:`pack` wrote; the empty set from anything else.

    :param text: what was written.
    :param count: how many numbers there can be.
    """
    try:
        bits = zlib.decompress(base64.b64decode(text))
    except (TypeError, ValueError, zlib.error):
        return set()
    return {number for number in range(min(count, len(bits) * 8)) if bits[number // 8] >> number % 8 & 1}
