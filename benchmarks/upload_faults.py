"""Uploads to a server where anything may go wrong: is every row stored once, and is told what may be stored twice?

Run as ``python -m benchmarks.upload_faults --plans 1000``. Each plan is drawn from a seed: random rows in one or more
files, plain or compressed, the size of the parts, how many at a time, how patient the client is, and what happens to
which request. An upload that fails is tried again, as Airflow's retry would, with the journal of the attempt before.
Half of the plans run against a server that ignores the ``Idempotency-Key``: there each row must be stored at least
once, and every line that is stored twice must be named in a warning or an error. Prints counts, and fails at the first
plan that ends in any other way, naming its seed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_avala.api.client import AvalaClient
from airflow_provider_avala.api.errors import AvalaError, is_fatal
from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.api.upload_report import UploadSummary
from airflow_provider_avala.emulator import SEED_DATASET_ID, Emulator, faults, running_emulator

#: Seconds without a byte after which the client gives an answer up; the server hangs for longer.
_TIMEOUT, _HANG = 0.15, 0.4
_ATTEMPTS = 20
_LINES = re.compile(r"lines (\d+)-(\d+) of (\S+?\.jsonl(?:\.gz)?)")

FAULTS: Mapping[str, Callable[[], faults.Fault]] = {
    "reset before commit": faults.reset_before_commit,
    "reset after commit": faults.reset_after_commit,
    "500": lambda: faults.status(500),
    "500 after commit": lambda: faults.status(500, after_commit=True),
    "503": lambda: faults.status(503),
    "503 after commit": lambda: faults.status(503, after_commit=True),
    "429": lambda: faults.status(429),
    "truncated answer": lambda: faults.truncated(1),
    "truncated chunked answer": lambda: faults.truncated_chunked(1),
    "hang before commit": lambda: faults.hang_before_commit(_HANG),
    "hang after commit": lambda: faults.hang_after_commit(_HANG),
    "slow body": lambda: faults.slow_body(0.05, 5),
}


class BrokenPromiseError(Exception):
    """An upload ended in a way that it must not."""


class Clock:
    """Time that passes only while somebody sleeps, so that no plan has to be waited for."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def monotonic(self) -> float:
        """The same."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass(frozen=True)
class Plan:
    """One upload and what happens to it.

    :param files: the lines of each file, by its name.
    :param options: of the upload.
    :param patience: the connection's ``max_retry_seconds``.
    :param honour: whether the server heeds the ``Idempotency-Key``.
    :param faults: what happens, and how many requests are let pass before.
    """

    files: Mapping[str, list[bytes]]
    options: Mapping[str, Any]
    patience: float
    honour: bool
    faults: tuple[tuple[str, int], ...]


@dataclass
class Notes:
    """A journal in memory, as the task state of Airflow keeps it."""

    value: Any = None

    def load(self) -> Any:
        """What was saved last."""
        return self.value

    def save(self, value: Mapping[str, Any]) -> None:
        """Keep a value."""
        self.value = json.loads(json.dumps(value))


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(seed)
    files: dict[str, list[bytes]] = {}
    for number in range(rng.choice((1, 1, 2, 3))):
        name = f"{number}.jsonl" + rng.choice(("", "", ".gz"))
        files[name] = [_row(rng, f"{number}-{row}") for row in range(rng.randint(1, 60))]
    options = {
        "part_size": rng.randint(800, 3000),
        "concurrency": rng.randint(1, 4),
        "validate": rng.random() < 0.5,
    }
    drawn = tuple((rng.choice(tuple(FAULTS)), rng.randint(0, 12)) for _ in range(rng.randint(0, 6)))
    return Plan(files, options, rng.choice((0.0, 60.0)), seed % 2 == 0, drawn)


def _row(rng: random.Random, name: str) -> bytes:
    text = "".join(rng.choices('ab\\"ü€😀\n ', k=rng.randint(0, 40)))
    row = {"id": name, "text": text, "nested": {"n": rng.random(), "list": [None, rng.randint(0, 9)]}}
    return json.dumps(row, ensure_ascii=rng.random() < 0.5).encode()


def carry_out(plan: Plan, avala: Emulator, folder: Path) -> tuple[int, int, UploadSummary]:
    """Carry a plan out; return how many attempts it took, how many rows are stored twice, and the summary.

    :raises BrokenPromiseError: if a row is missing, or one more is there that was not spoken of.
    """
    avala.reset()
    avala.clear_faults()
    for name, skip in plan.faults:
        avala.inject(FAULTS[name](), method="POST", skip=skip)
    for name, lines in plan.files.items():
        data = b"\n".join(lines)
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    said, notes = list[str](), Notes()
    attempts = 0
    with _listening(said):
        while attempts < _ATTEMPTS:
            attempts += 1
            try:
                summary = _attempt(plan, avala, folder, notes)
                break
            except AvalaError as error:
                said.append(str(error))
                if is_fatal(error):
                    raise BrokenPromiseError(f"a retry could have mended it: {error}") from error
        else:
            raise BrokenPromiseError("there is no end to it")
    return attempts, _check(plan, avala, folder, summary, said), summary


def _attempt(plan: Plan, avala: Emulator, folder: Path, notes: Notes) -> UploadSummary:
    extra = {
        "rate_limits": "100000/1",
        "rate_limit_store": "memory",
        "timeout": _TIMEOUT,
        "max_retry_seconds": plan.patience,
        "dialect": avala.settings.dialect,
    }
    settings = Settings.parse(host=avala.base_url, password=avala.api_key, extra=extra)
    client = AvalaClient(settings, clock=Clock(), chance=lambda: 0.5)
    try:
        return client.upload_items(
            SEED_DATASET_ID, folder, idempotency_scope="plan", journal=notes, **plan.options
        )
    finally:
        client.close()


def _check(plan: Plan, avala: Emulator, folder: Path, summary: UploadSummary, said: list[str]) -> int:
    rows = {
        _text(line): (str(folder / name), number)
        for name, lines in plan.files.items()
        for number, line in enumerate(lines, start=1)
    }
    stored = Counter(_text(json.dumps(row)) for row in avala.items(SEED_DATASET_ID))
    if set(stored) != set(rows) or summary.items != len(rows):
        raise BrokenPromiseError(f"of {len(rows)} rows {len(stored)} are stored, {summary.items} reported")
    doubled = [rows[text] for text, times in stored.items() if times > 1]
    if doubled and plan.honour:
        raise BrokenPromiseError(f"{len(doubled)} rows are stored twice")
    named = [(name, int(first), int(last)) for text in said for first, last, name in _LINES.findall(text)]
    if not any("more ranges" in text for text in said):
        for name, number in doubled:
            if not any(name == each and first <= number <= last for each, first, last in named):
                raise BrokenPromiseError(f"line {number} of {name} is stored twice, and nobody said so")
    return len(doubled)


def _text(line: bytes | str) -> str:
    return json.dumps(json.loads(line), sort_keys=True)


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Hear the warnings about what may be stored twice."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, ear = logging.getLogger("airflow_provider_avala.api.upload_run"), Ear(logging.WARNING)
    logger.addHandler(ear)
    try:
        yield
    finally:
        logger.removeHandler(ear)


def run(plans: int, first_seed: int = 1) -> Counter[str]:
    """Carry plans out, and count what happened.

    :raises BrokenPromiseError: naming the seed of the plan that was.
    """
    counts: Counter[str] = Counter()
    with (
        running_emulator(rate_limits=None) as heeding,
        running_emulator(rate_limits=None, honour_idempotency_key=False) as ignoring,
        tempfile.TemporaryDirectory() as home,
    ):
        for seed in range(first_seed, first_seed + plans):
            plan, folder = draw(seed), Path(home) / str(seed)
            folder.mkdir()
            try:
                attempts, doubled, summary = carry_out(plan, heeding if plan.honour else ignoring, folder)
            except BrokenPromiseError as error:
                raise BrokenPromiseError(f"seed {seed}: {error}") from error
            counts["plans"] += 1
            counts["plans against a server that ignores the key"] += not plan.honour
            counts["rows"] += summary.items
            counts["parts"] += summary.parts
            counts["faults ordered"] += len(plan.faults)
            counts["attempts"] += attempts
            counts["parts sent again because their outcome was unknown"] += summary.unknown_parts
            counts["parts taken over from an earlier attempt"] += summary.resumed_parts
            counts["rows stored twice, where the key is ignored, all of them named"] += doubled
    return counts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--plans", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="of the first plan")
    options = parser.parse_args()
    logging.getLogger("airflow_provider_avala").propagate = False
    print("|  | number |\n| --- | --- |")
    for what, number in run(options.plans, options.seed).items():
        print(f"| {what} | {number} |")


if __name__ == "__main__":
    main()
