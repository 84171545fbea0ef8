"""Whole lines of a source, a block at a time.

A file of this machine is asked where a block's last line ends, and then for just that block, so that no byte is copied
to put a line together that two blocks would share. What can only be read once, from its beginning, is copied.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

#: Lines that are read at once. They stay in a core's own cache from their reading to their digest.
_BLOCK = 256 * 1024
#: Where the end of the last line is looked for first, and then further and further back.
_WINDOW = 4 * 1024


class LineReader(Protocol):
    """Reads lines, ended by line feeds only, one after another."""

    def peek(self, size: int) -> bytes:
        """The next bytes, which stay there; fewer only at the end.

        :param size: how many.
        """

    def skip(self, size: int) -> None:
        """Leave out the next bytes.

        :param size: how many; they were peeked at.
        """

    def take(self, most: int) -> bytes | None:
        """Read whole lines, about a block of them and at least one; the last may lack its end.

        :param most: the most bytes.
        :return: the lines; none of them if the next one is longer than that; None at the end.
        """


class FileLines:
    """The lines of a local file.

    :param descriptor: the open file's; its position neither matters nor moves.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at = descriptor, 0

    def peek(self, size: int) -> bytes:
        """See :class:`LineReader`."""
        return self._read(0, size)

    def skip(self, size: int) -> None:
        """See :class:`LineReader`."""
        self._at += size

    def take(self, most: int) -> bytes | None:
        """See :class:`LineReader`."""
        # Asked once: what is added while this reads may end in the middle of a line.
        left = os.fstat(self._descriptor).st_size - self._at
        if left <= 0:
            return None
        size = min(_BLOCK, most)
        while not (whole := left if left <= size else self._whole_lines(size)):
            if size == most:
                return b""
            # A long line is looked at by ever larger steps: small ones would take the square of its length.
            size = min(2 * size, most)
        lines = self.peek(whole)
        self._at += len(lines)
        return lines or None

    def _whole_lines(self, size: int) -> int:
        """How many of the next ``size`` bytes are whole lines."""
        end, window = size, min(_WINDOW, size)
        while end:
            begin = max(0, end - window)
            if length := self._read(begin, end - begin).rfind(b"\n") + 1:
                return begin + length
            end, window = begin, _BLOCK
        return 0

    def _read(self, ahead: int, size: int) -> bytes:
        """Read all of it, or up to the end: some file systems give less than that at a time."""
        begin = self._at + ahead
        found = os.pread(self._descriptor, size, begin)
        while len(found) < size and (
            more := os.pread(self._descriptor, size - len(found), begin + len(found))
        ):
            found += more
        return found


class StreamLines:
    """The lines of something that is read once, from its beginning.

    :param read: gives at most so many bytes, and none at the end.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read, self._buffer, self._at = read, b"", 0

    def peek(self, size: int) -> bytes:
        """See :class:`LineReader`."""
        while len(self._buffer) - self._at < size and self._fill(size):
            pass
        return self._buffer[self._at : self._at + size]

    def skip(self, size: int) -> None:
        """See :class:`LineReader`."""
        self._at += size

    def take(self, most: int) -> bytes | None:
        """See :class:`LineReader`."""
        unseen = self._at
        while True:
            end = self._buffer.rfind(b"\n", unseen, self._at + most) + 1
            if not end:
                left = len(self._buffer) - self._at
                if left > most:
                    return b""
                if self._fill(min(left, most + 1 - left)):
                    unseen = left
                    continue
                end = len(self._buffer)
            lines = self._buffer[self._at : end]
            self._at = end
            return lines or None

    def _fill(self, size: int) -> bool:
        """Read a block, or more for a long line: by small steps, that would take the square of its length."""
        block = self._read(max(_BLOCK, size))
        self._buffer, self._at = self._buffer[self._at :] + block, 0
        return bool(block)
