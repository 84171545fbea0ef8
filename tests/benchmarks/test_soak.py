"""The soak's own arithmetic: it must notice what it is there to notice."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import requests

from airflow_provider_avala.emulator import running_emulator
from benchmarks.soak import order
from benchmarks.soak_tally import Job, Tally, calls
from benchmarks.vitals import Vitals, lasting

ROWS = ["run-0", "run-1", "run-2"]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("run", "dataset", tmp_path / "run.jsonl", tmp_path / "run.zip", 3)


def download(job: Job, rows: list[str]) -> None:
    with zipfile.ZipFile(job.target, "w") as archive:
        archive.writestr("items.jsonl", "".join(json.dumps({"name": row}) + "\n" for row in rows))


def test_a_source_holds_the_rows_that_are_looked_for(job: Job) -> None:
    job.write()
    assert [json.loads(line)["name"] for line in job.source.read_text().splitlines()] == job.row_names == ROWS


@pytest.mark.parametrize(
    ("exports", "stored", "downloaded", "doubled"),
    [
        (1, ROWS, ROWS, (0, 0, 0)),
        (2, ROWS, ROWS, (1, 0, 0)),
        (1, [*ROWS, "run-1"], ROWS, (0, 1, 0)),
        (1, ROWS, [*ROWS, "run-1"], (0, 1, 0)),
        (1, ROWS[:2], ROWS, (0, 0, 1)),
        (1, ROWS, ROWS[:1], (0, 0, 2)),
        (1, ROWS, None, (0, 0, 3)),
    ],
)
def test_whatever_is_doubled_or_lost_is_counted(
    job: Job, exports: int, stored: list[str], downloaded: list[str] | None, doubled: tuple[int, int, int]
) -> None:
    if downloaded is not None:
        download(job, downloaded)
    tally = Tally()
    tally.count(job, [{}] * exports, stored, succeeded=True)
    assert (tally.double_exports, tally.double_rows, tally.lost_rows) == doubled
    assert bool(tally.problems) == any(doubled)


def test_a_run_that_failed_need_not_have_everything_but_nothing_twice(job: Job) -> None:
    tally = Tally()
    tally.count(job, [], ["run-0", "run-0"], succeeded=False)
    assert (tally.double_rows, tally.lost_rows) == (1, 0)


def test_faults_come_at_the_rate_that_was_asked_for_and_their_429_are_told_from_real_ones() -> None:
    with running_emulator(rate_limits="150/60") as avala, requests.Session() as http:
        order(avala, 0.1)
        http.trust_env = False
        for _ in range(180):
            try:
                http.get(f"{avala.base_url}/datasets/", headers={"X-Avala-Api-Key": avala.api_key}, timeout=5)
            except requests.RequestException:
                continue
        seen = calls(avala.requests)
    assert (seen["calls"], seen["faults"]) == (180, 18)
    assert seen["429 injected"] in (2, 3)
    assert seen["429 of the rate limit"] > 10
    assert seen["429 for too many exports at a time"] == 0


def test_only_processes_that_lived_throughout_are_compared() -> None:
    one, more = Vitals(1, 10, 2, 50.0), Vitals(1, 12, 2, 60.0)
    looks = [{"triggerer": {1: one, 2: one}}, {"triggerer": {1: one, 3: one}}, {"triggerer": {1: more}}]
    assert lasting(looks) == {"triggerer": [one, one, more]}
