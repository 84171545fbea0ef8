"""When to look, and whether to read the list or to ask: decisions without clock, loop or HTTP."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.limits import Limit, parse_limits
from airflow_provider_avala.triggers import poll_plan as plan

NEVER = plan.NOT_LISTED


@dataclass
class Due:
    id: str
    due: float


def walk(listed: dict[int, int], known: dict[int, float], length: int) -> tuple[int, int]:
    """Read a list of ``length`` pages for what stands on the given pages: pages read, asks left."""
    unseen, read = set(listed), 0
    while plan.worth_another_page(read, [known.get(each, 0.0) for each in unseen]) and read < length:
        read += 1
        unseen = {each for each in unseen if listed[each] != read}
    return read, len(unseen)


@pytest.mark.parametrize(
    ("read", "depths", "worth"),
    [
        pytest.param(0, [], False, id="nothing is due"),
        pytest.param(0, [0], False, id="one is asked for"),
        pytest.param(0, [0, 0], False, id="two are asked for"),
        pytest.param(0, [0, 0, 0], True, id="three may stand on the first page"),
        pytest.param(0, [1, 1, 1], True, id="three stand on the first page"),
        pytest.param(0, [1, 1, 9], False, id="two do and one stands deep"),
        pytest.param(0, [5] * 10, False, id="ten on a page that costs as much as ten asks"),
        pytest.param(0, [5] * 11, True, id="eleven on that page"),
        pytest.param(4, [5] * 3, True, id="the page before theirs"),
        pytest.param(0, [NEVER] * 1000, False, id="none of them is in the list"),
        pytest.param(0, [NEVER] * 1000 + [1] * 3, True, id="a few of them are"),
        pytest.param(1, [NEVER] * 1000 + [0] * 2, False, id="the few are not on the first page"),
        pytest.param(10, [0] * 20, False, id="twenty were looked for on ten pages"),
        pytest.param(10, [0] * 21, True, id="twenty-one were"),
        pytest.param(3, [3] * 3, True, id="they moved from page three to page four"),
        pytest.param(5, [3] * 4, False, id="they moved further than it is worth"),
        pytest.param(2, [20, 20] + [3] * 3, True, id="the next page serves some, the rest is far"),
        pytest.param(3, [20, 20], False, id="what is left is far"),
    ],
)
def test_the_list_is_read_as_far_as_that_is_cheaper(read: int, depths: list[float], worth: bool) -> None:
    assert plan.worth_another_page(read, depths) is worth


@pytest.mark.parametrize(
    ("waiting", "page_of", "pages", "asks"),
    [
        (1, lambda n: 1, 0, 1),
        (2, lambda n: 1, 0, 2),
        (10, lambda n: 1, 1, 0),
        (100, lambda n: 1, 1, 0),
        (1000, lambda n: 1 + n // 100, 10, 0),
        (5000, lambda n: 1 + n // 100, 50, 0),
        (1000, lambda n: 31 + n // 100, 40, 0),
        (100, lambda n: 300, 50, 100),
        (50, lambda n: 1 if n < 47 else 200, 2, 3),
    ],
)
def test_a_first_walk_finds_what_is_worth_finding(
    waiting: int, page_of: object, pages: int, asks: int
) -> None:
    assert walk({n: page_of(n) for n in range(waiting)}, {}, 1000) == (pages, asks)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.one_of(st.integers(0, 60), st.just(NEVER))), max_size=300),
    st.integers(0, 60),
)
def test_a_walk_never_costs_more_than_twice_what_asking_for_each_costs(
    places: list[tuple[int, float]], length: int
) -> None:
    listed = {number: page for number, (page, _) in enumerate(places)}
    known = {number: float(depth) for number, (_, depth) in enumerate(places)}
    pages, asks = walk(listed, known, length)
    assert plan.PAGE_WEIGHT * pages + asks <= 2 * len(listed) + plan.PAGE_WEIGHT


@given(st.lists(st.integers(1, 60), max_size=300))
def test_a_walk_whose_pages_are_known_never_costs_more_than_asking(places: list[int]) -> None:
    listed = dict(enumerate(places))
    pages, asks = walk(listed, {number: float(page) for number, page in listed.items()}, 60)
    assert plan.PAGE_WEIGHT * pages + asks <= len(listed)


@given(st.floats(0, 1e9), st.floats(0.01, 86400), st.floats(0, 1))
def test_the_next_look_is_half_to_one_and_a_half_intervals_away(
    begin: float, interval: float, phase: float
) -> None:
    step = plan.next_look(begin, interval, phase) - begin
    assert interval / 2 - 1e-5 <= step <= 1.5 * interval + 1e-5


@given(
    st.lists(st.floats(0, 1e6), min_size=2, max_size=20),
    st.floats(0.5, 3600),
    st.floats(0, 0.99),
    st.floats(0, 9),
)
def test_looks_of_one_interval_fall_together_and_keep_it(
    begins: list[float], interval: float, phase: float, late: float
) -> None:
    for begin in begins:
        first = plan.next_look(begin, interval, phase)
        assert (first / interval - phase) % 1 == pytest.approx(0, abs=1e-3) or (
            first / interval - phase
        ) % 1 == pytest.approx(1, abs=1e-3)
        delay = min(late, interval / 3)  # a round that begins late does not shift those after it
        assert plan.next_look(first + delay, interval, phase) == pytest.approx(first + interval, abs=1e-3)


@pytest.mark.parametrize("interval", [0.0, -1.0, 1e-9])
def test_no_interval_is_too_short_to_be_kept(interval: float) -> None:
    assert 5 < plan.next_look(5.0, interval, 0.3) < 5.1


@pytest.mark.parametrize(
    ("read", "depth", "after"),
    [
        (0, 0.0, 0.0),  # never looked for
        (0, 7.0, 7.0),
        (3, 7.0, 7.0),  # not read that far
        (3, 0.0, NEVER),
        (3, 2.0, NEVER),
        (3, 3.0, NEVER),
        (3, NEVER, NEVER),
    ],
)
def test_what_a_walk_did_not_show_is_not_expected_there_again(read: int, depth: float, after: float) -> None:
    assert plan.depth_after(read, depth) == after


def test_each_walk_in_vain_needs_twice_as_many_as_the_one_before() -> None:
    walks, given_up = [], 0
    for not_listed in range(1001):
        if plan.deserve_another_walk(not_listed, given_up):
            walks.append(not_listed)
            given_up = not_listed
    assert walks == [1, 3, 7, 15, 31, 63, 127, 255, 511]


def test_the_longest_overdue_are_asked_for_first_and_nobody_twice() -> None:
    unseen = [Due(f"export {n % 15}", due=-n) for n in range(60)]
    assert plan.to_ask(unseen) == [f"export {n % 15}" for n in range(59, 49, -1)]
    assert plan.to_ask([]) == []


@pytest.mark.parametrize(
    ("limits", "share", "seconds"),
    [("100/60,20/1", 1.0, 0.6), ("100/60,20/1", 0.5, 1.2), ("20/1", 0.5, 0.1), ("1000/60,1/2", 1.0, 2.0)],
)
def test_requests_are_spaced_by_the_tightest_limit(limits: str, share: float, seconds: float) -> None:
    assert plan.seconds_per_request(parse_limits(limits), share) == pytest.approx(seconds)


def test_a_share_of_a_limit_is_spaced_like_the_limit_itself() -> None:
    limit = Limit(100, 60)
    assert plan.seconds_per_request([limit.share(0.5)], 1.0) == plan.seconds_per_request([limit], 0.5)
    assert math.isfinite(plan.seconds_per_request([Limit(1, 0.01)], 1.0))
