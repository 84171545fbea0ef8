"""What a soak has shown, counted from what the emulator and the disk hold: pure functions."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_avala.emulator import RequestRecord


@dataclass(frozen=True)
class Job:
    """One run: what is uploaded to which dataset, and where its export goes.

    :param name: of the run, and the beginning of its rows' names.
    :param dataset_id: a dataset of its own, empty before.
    :param source: its JSONL.
    :param target: the file that it downloads.
    :param rows: how many rows it has.
    """

    name: str
    dataset_id: str
    source: Path
    target: Path
    rows: int

    @property
    def row_names(self) -> list[str]:
        """The name of each row."""
        return [f"{self.name}-{number}" for number in range(self.rows)]

    def write(self) -> None:
        """Write the source."""
        lines = (
            json.dumps({"name": name, "url": f"https://example.com/{name}.jpg"}) for name in self.row_names
        )
        self.source.write_text("".join(f"{line}\n" for line in lines))


@dataclass
class Tally:
    """What went wrong, or not, in the runs that have ended well.

    :param exports: how many there are.
    :param double_exports: exports that a run made beyond its first.
    :param stored: rows that the datasets hold.
    :param double_rows: rows that a dataset, or a downloaded file, holds again.
    :param lost_rows: rows that a dataset, or a downloaded file, does not hold although the run succeeded.
    :param problems: what was found, in words.
    """

    exports: int = 0
    double_exports: int = 0
    stored: int = 0
    double_rows: int = 0
    lost_rows: int = 0
    problems: list[str] = field(default_factory=list)

    def count(
        self, job: Job, exports: Iterable[Mapping[str, Any]], stored: Iterable[str], *, succeeded: bool
    ) -> None:
        """Count one run.

        :param job: the run.
        :param exports: the exports of its dataset.
        :param stored: names of the rows in its dataset.
        :param succeeded: whether it has ended well: only then must everything be there.
        """
        made = len(list(exports))
        self.exports += made
        self.double_exports += max(0, made - 1)
        if made > 1:
            self.problems.append(f"{job.name}: {made} exports")
        stored = Counter(stored)
        self.stored += stored.total()
        self._compare(job, stored, "its dataset", succeeded=succeeded)
        if succeeded:
            self._compare(job, Counter(rows_in(job.target)), "its file", succeeded=True)

    def _compare(self, job: Job, found: Counter[str], where: str, *, succeeded: bool) -> None:
        expected = Counter(job.row_names)
        double = (found - expected).total()
        lost = (expected - found).total() if succeeded else 0
        self.double_rows += double
        self.lost_rows += lost
        if double or lost:
            self.problems.append(f"{job.name}: {where} has {double} rows too many, and {lost} are missing")


def rows_in(target: Path) -> list[str]:
    """Names of the rows in a downloaded export; none if there is no such file."""
    if not target.is_file():
        return []
    with zipfile.ZipFile(target) as archive:
        return [json.loads(line)["name"] for line in archive.read("items.jsonl").splitlines()]


def calls(requests: Iterable[RequestRecord]) -> dict[str, int]:
    """Count the requests: all of them, those with a fault, and answers of 429 by who said so.

    :param requests: as the emulator has recorded them.
    """
    requests = list(requests)
    refused = [each for each in requests if each.status == 429]
    real = [each for each in refused if not each.fault]
    too_many = [each for each in real if each.method == "POST" and each.path.startswith("/exports")]
    return {
        "calls": len(requests),
        "faults": sum(1 for each in requests if each.fault),
        "429 injected": len(refused) - len(real),
        "429 for too many exports at a time": len(too_many),
        "429 of the rate limit": len(real) - len(too_many),
    }
