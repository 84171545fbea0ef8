"""A few of the fault plans for uploads, in seconds; ``benchmarks/upload_faults.py`` runs any number of them."""

from __future__ import annotations

from benchmarks.upload_faults import run


def test_every_row_is_stored_whatever_goes_wrong() -> None:
    counts = run(60)

    assert counts["plans"] == 60
    assert counts["attempts"] > 60
    assert counts["parts sent again because their outcome was unknown"]
    assert counts["rows stored twice, where the key is ignored, all of them named"]
