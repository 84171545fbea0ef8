"""Words for what became of the lines of an upload."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_avala.api.jsonl import Part

_RANGES_SHOWN = 5


@dataclass(frozen=True)
class UploadSummary:
    """What an upload comes to.

    :param dataset_id: where the items went.
    :param items: how many.
    :param parts: in how many requests.
    :param bytes: of JSONL, without the frame around each part.
    :param resumed_parts: how many of the parts an earlier attempt had brought in.
    :param unknown_parts: how many of the parts were sent again because the outcome was unknown: those may be
        stored twice if the server ignores the ``Idempotency-Key``.
    """

    dataset_id: str
    items: int = 0
    parts: int = 0
    bytes: int = 0
    resumed_parts: int = 0
    unknown_parts: int = 0

    def with_part(self, part: Part, *, resumed: bool = False) -> UploadSummary:
        """The summary with one part more.

        :param part: the part.
        :param resumed: whether an earlier attempt had brought it in.
        """
        return replace(
            self,
            items=self.items + part.items,
            parts=self.parts + 1,
            bytes=self.bytes + part.size,
            resumed_parts=self.resumed_parts + resumed,
        )

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON can hold it, by the names of the fields."""
        return dict(vars(self))


@dataclass(frozen=True)
class UploadProgress:
    """How far an upload has come.

    :param summary: what was accepted so far.
    :param rate: bytes of JSONL accepted in a second, in this attempt.
    :param share: how much of the source is done, from 0 to 1, where that can be known.
    """

    summary: UploadSummary
    rate: float
    share: float | None

    def __str__(self) -> str:
        share = "" if self.share is None else f", {self.share:.0%} done"
        return (
            f"dataset {self.summary.dataset_id}: Avala has accepted {self.summary.items} items,"
            f" {self.summary.bytes / 1e6:.1f} MB, at {self.rate / 1e6:.1f} MB/s{share}"
        )


@dataclass(frozen=True)
class _Lines:
    label: str
    unit: str
    first: int
    last: int


class LineRanges:
    """Lines of parts, neighbours together: ``lines 1-2000 of a.jsonl, lines 5-9 of b.jsonl``.

    :param parts: whose lines.
    """

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        self._ranges: list[_Lines] = []  # few, because parts are finished nearly in order
        for part in parts:
            self.add(part)

    def add(self, part: Part) -> None:
        """Add the lines of one more part.

        :param part: the part.
        """
        lines = _Lines(part.source.label, part.source.unit, part.first_line, part.last_line)
        for other in [each for each in self._ranges if each.label == lines.label]:
            if other.last + 1 == lines.first or lines.last + 1 == other.first:
                self._ranges.remove(other)
                lines = replace(lines, first=min(lines.first, other.first), last=max(lines.last, other.last))
        self._ranges.append(lines)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __str__(self) -> str:
        ranges = sorted(self._ranges, key=lambda each: (each.label, each.first))
        texts = [f"{each.unit}s {each.first}-{each.last} of {each.label}" for each in ranges]
        more = [f"{len(texts) - _RANGES_SHOWN} more ranges"] if len(texts) > _RANGES_SHOWN else []
        return ", ".join(texts[:_RANGES_SHOWN] + more)
