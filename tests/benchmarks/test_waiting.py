"""The benchmark of waiting measures what it says, in small."""

from __future__ import annotations

from benchmarks.waiting import Case, run


def cells(way: str) -> list[str]:
    case = Case(way, waiting=30, interval=0.5, seconds=12, ends=(1.0, 2.0))
    return [cell.strip() for cell in run(case).strip("|").split("|")]


def test_the_hub_notices_every_end_with_few_requests() -> None:
    way, waiting, requests, refused, detected, *_ = cells("hub")
    assert (way, waiting, refused, detected) == ("hub", "30", "0", "100%")
    assert 1 <= int(requests) <= 10


def test_the_naive_way_asks_for_each_in_each_interval() -> None:
    _, _, requests, *_ = cells("naive")
    assert int(requests) > 30
