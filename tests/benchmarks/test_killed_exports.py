"""Workers are killed with -9 at every step of creating an export: each task run makes one, a cleared one another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_avala.emulator import faults, running_emulator
from benchmarks.killed_exports import (
    BEFORE,
    CREATED,
    DEFERRED,
    RESUMED,
    SENT,
    WAYS,
    Blow,
    Killer,
    Way,
    check,
)

ON_WORKER, IN_TRIGGERER = WAYS[2], WAYS[5]
LOOKS_FIRST = Blow(faults.hang_before_commit, "GET")
POSTS = Blow(faults.hang_before_commit)
IS_CREATED = Blow(faults.hang_after_commit)


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with running_emulator(rate_limits=None, export_seconds=0.0, max_exports=1000) as avala:
        yield Killer(avala)


@pytest.fixture(autouse=True)
def no_hits(killer: Killer) -> None:
    killer.hits.clear()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize(
    ("blow", "place"),
    [(LOOKS_FIRST, BEFORE), (POSTS, SENT), (IS_CREATED, CREATED)],
    ids=["before the POST", "before the export", "before the answer"],
)
def test_a_worker_killed_at_a_request_leaves_one_export(
    way: Way, blow: Blow, place: str, killer: Killer, tmp_path: Path
) -> None:
    check(killer, way, str(tmp_path), tmp_path / "notes", [blow])
    assert killer.hits == {place: 2}


@pytest.mark.parametrize(
    ("way", "blow", "place"),
    [
        (ON_WORKER, Blow(faults.hang_before_commit, "GET", "/exports/", skip=1), CREATED),
        (IN_TRIGGERER, Blow(loses_deferral=True, resumed=False), DEFERRED),
        (IN_TRIGGERER, Blow(faults.hang_before_commit, "GET", resumed=True), RESUMED),
    ],
    ids=["polling", "deferred", "resumed"],
)
def test_a_worker_killed_after_the_answer_leaves_one_export(
    way: Way, blow: Blow, place: str, killer: Killer, tmp_path: Path
) -> None:
    check(killer, way, str(tmp_path), tmp_path / "notes", [blow])
    assert killer.hits == {place: 2}


def test_workers_killed_again_and_again_leave_one_export(killer: Killer, tmp_path: Path) -> None:
    check(killer, IN_TRIGGERER, "all at once", tmp_path / "notes", [LOOKS_FIRST, POSTS, IS_CREATED])
    assert killer.hits == {BEFORE: 2, SENT: 2, CREATED: 2}
