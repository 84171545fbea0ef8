"""JSONL is cut at line ends into parts while it is read and checked.

Nothing is kept of a source but the part at hand. A part of a local, uncompressed file is sent from where it is;
any other is copied to a temporary file while it is cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.file_slice import FileSlice, file_slices
from airflow_provider_avala.api.line_readers import LineReader
from airflow_provider_avala.api.lines import RULE, check_lines, count_lines, not_utf8, refuse_line
from airflow_provider_avala.api.part_digest import PartDigest
from airflow_provider_avala.api.sources import Source, fingerprint
from airflow_provider_avala.api.spool import SpooledPart

#: The API takes 100 MB in one request; the frame around the file needs some of it.
MAX_PART_SIZE = 100_000_000 - 64 * 1024

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class SourceChangedError(Exception):
    """A source no longer holds the bytes that were checked; what was being sent of it is incomplete.

    Deliberately no :class:`OSError`: HTTP libraries take one for a broken connection and may send again.
    """


def changed(source: Source) -> SourceChangedError:
    """The error about a source that is not what it was.

    :param source: the source.
    """
    return SourceChangedError(f"{source.label} was changed, shortened or removed while it was being uploaded")


def require_unchanged(source: Source) -> None:
    """Compare a source with what it was when it was first seen, where that can be known.

    :param source: the source.
    :raises SourceChangedError: if its size or time differs.
    """
    if source.fingerprint not in (None, fingerprint(source.path)):
        raise changed(source)


class Content(Protocol):
    """Where the bytes of a part can be read, any number of times."""

    @property
    def is_settled(self) -> bool:
        """Whether any change since it was checked would be noticed by :meth:`require_unchanged`."""

    def opened(self) -> AbstractContextManager[int]:
        """Open it, and give the descriptor."""

    def require_unchanged(self) -> None:
        """Compare it with what it was when it was first seen.

        :raises SourceChangedError: if it differs.
        """

    def close(self) -> None:
        """Let go of what is not needed any more."""


@dataclass(frozen=True)
class Part:
    """Some whole lines of a source, one request's worth.

    :param number: its position in the upload, from 1.
    :param scope: what sets the upload apart from others.
    :param source: where the lines come from.
    :param content: where its bytes are.
    :param offset: bytes before them.
    :param size: their bytes.
    :param first_line: number of the first line, counted from 1.
    :param last_line: number of the last line.
    :param items: how many of the lines are not blank.
    :param digest: of the bytes, see :class:`.PartDigest`.
    :param weight: bytes of the source's file that it takes up, compressed as they are there.
    """

    number: int
    scope: str
    source: Source
    content: Content
    offset: int
    size: int
    first_line: int
    last_line: int
    items: int
    digest: str
    weight: int

    def chunks(self) -> Iterator[bytes | FileSlice]:
        """The part's bytes anew, in chunks to be sent one after another.

        :raises SourceChangedError: before the end, if they are not the bytes that were checked.
        """
        try:
            with self.content.opened() as descriptor:
                self.content.require_unchanged()
                if self.content.is_settled:
                    yield from file_slices(descriptor, self.offset, self.size)
                    self.content.require_unchanged()
                else:
                    yield from self._digested(descriptor)
        except OSError as error:
            raise SourceChangedError(f"{self.source.label} cannot be read any more: {error}") from error

    def require_unchanged(self) -> None:
        """Make sure, once the other side has all of the part, that it was what was checked.

        The kernel sends pages of the file and not copies of them, so the last of them can change on their way.

        :raises SourceChangedError: if the bytes are others now.
        """
        if not self.content.is_settled:
            return  # copies were sent
        try:
            self.content.require_unchanged()
        except SourceChangedError:  # but perhaps elsewhere in the file
            try:
                with self.content.opened() as descriptor:
                    deque(self._digested(descriptor), maxlen=0)
            except OSError:
                raise changed(self.source) from None

    def _digested(self, descriptor: int) -> Iterator[bytes]:
        digest, left = PartDigest(self.scope, self.number), self.size
        for block in FileSlice(descriptor, self.offset, self.size):
            digest.update(block)
            left -= len(block)
            if not left and digest.hexdigest() != self.digest:
                raise changed(self.source)
            yield block
        if left:
            raise changed(self.source)


@dataclass(frozen=True)
class FileContent:
    """The bytes of a local file, read where they are.

    :param source: the file.
    """

    source: Source

    @property
    def is_settled(self) -> bool:
        """Whether any change since it was first seen would be noticed."""
        return self.source.is_settled

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the file, and give its descriptor."""
        with self.source.path.open("rb", buffering=0) as handle:  # type: ignore[call-arg]
            yield handle.fileno()

    def require_unchanged(self) -> None:
        """Compare the file with what it was when it was first seen.

        :raises SourceChangedError: if it differs.
        """
        require_unchanged(self.source)

    def close(self) -> None:
        """Nothing is held."""


def cut_source(
    source: Source, part_size: int, *, validate: bool = True, scope: str = "", number: int = 1
) -> Iterator[Part]:
    """Check the lines of a source and cut them into parts; each is given out as soon as it is whole.

    Put together, the parts are the source without a byte order mark; where a part would hold nothing but
    blank lines, they are left out.

    :param source: where to read.
    :param part_size: the most bytes in a part.
    :param validate: whether each line is checked to be a JSON object in UTF-8.
    :param scope: what sets the upload apart from others.
    :param number: of the first part.
    :raises AvalaConfigurationError: if the source cannot be read, has no items, or at the first line that is
        wrong or does not fit into a part; the parts before it were given out.
    :raises SourceChangedError: at its end, if it is not what it was when it was first seen.
    :raises SpoolError: if a copy of a part cannot be written.
    """
    check = check_lines if validate else count_lines
    first = number
    with source.opened() as reader:
        begin = _skip_mark(source, reader.lines)
        draft = _Draft(source, scope, number, begin, 0, spooled=not source.is_local or reader.is_gzip)
        while (lines := reader.lines.take(part_size - draft.size)) is not None:
            if lines:
                draft.add(lines, check)
                continue
            if not draft.size:
                refuse_line(source.label, draft.lines + 1, too_long(part_size))
            if draft.items:
                yield draft.part(reader.position)
                number += 1
            draft = draft.next(number)
        require_unchanged(source)  # neither a part of a mixture nor a sudden end shall be the last
        if draft.items:
            yield draft.part(reader.position)
            number += 1
    if number == first:
        raise AvalaConfigurationError(f"source: {source.label} holds no items; {RULE}, or leave the file out")


class _Draft:
    """A part that is being filled."""

    def __init__(
        self, source: Source, scope: str, number: int, offset: int, lines: int, *, spooled: bool
    ) -> None:
        self.source, self.scope, self.number = source, scope, number
        self.offset, self.lines = offset, lines
        self.size = self.items = 0
        self._first_line = lines + 1
        self._digest = PartDigest(scope, number)
        self._spooled = SpooledPart() if spooled else None
        self._position = 0

    def add(self, lines: bytes, check: Callable[[str, int, bytes], tuple[int, int]]) -> None:
        count, items = check(self.source.label, self.lines, lines)
        self.lines += count
        self.items += items
        self.size += len(lines)
        self._digest.update(lines)
        if self._spooled:
            self._spooled.write(lines)

    def part(self, position: Callable[[int], int]) -> Part:
        before, self._position = self._position, position(self.offset + self.size)
        return Part(
            number=self.number,
            scope=self.scope,
            source=self.source,
            content=self._spooled or FileContent(self.source),
            offset=0 if self._spooled else self.offset,
            size=self.size,
            first_line=self._first_line,
            last_line=self.lines,
            items=self.items,
            digest=self._digest.hexdigest(),
            weight=self._position - before,
        )

    def next(self, number: int) -> _Draft:
        end = self.offset + self.size
        following = _Draft(
            self.source, self.scope, number, end, self.lines, spooled=self._spooled is not None
        )
        following._position = self._position
        return following


def _skip_mark(source: Source, lines: LineReader) -> int:
    """Leave out a byte order mark at the beginning of a source, and return its length."""
    head = lines.peek(len(_UTF8_BOM))
    if head.startswith(_UTF16_BOMS):
        refuse_line(source.label, 1, not_utf8(head, 0))
    if head != _UTF8_BOM:
        return 0
    lines.skip(len(head))
    return len(head)


def too_long(limit: int) -> str:
    """What is wrong with a line that does not fit into a part.

    :param limit: the most bytes in a part.
    """
    remedy = f"raise part_size (at most {MAX_PART_SIZE})" if limit < MAX_PART_SIZE else "make it smaller"
    return f"it is longer than the {limit} bytes of a part; {remedy}"
