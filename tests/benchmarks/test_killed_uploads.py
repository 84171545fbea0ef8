"""A few workers killed while they upload; ``benchmarks/killed_uploads.py`` kills any number of them."""

from __future__ import annotations

from benchmarks.killed_uploads import run


def test_every_row_is_stored_once_however_often_the_worker_is_killed() -> None:
    counts = run(kills=6)

    assert counts["workers killed"] >= 6
    assert counts["parts taken over by the last attempt"]
