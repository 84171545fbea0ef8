"""The arithmetic of sliding windows, without clock or store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.limits import (
    MAX_PAUSE,
    MAX_WAIT,
    Limit,
    announcement,
    believed,
    next_slot,
    parse_limits,
)

BOTH = (Limit(100, 60), Limit(20, 1))


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("100/60,20/1", BOTH),
        (" 20/1 , 100/60 ", BOTH),
        ("10/0.5", (Limit(10, 0.5),)),
        ("1/1", (Limit(1, 1),)),
        ("1000/3600,100/60,20/1", (Limit(1000, 3600), *BOTH)),
    ],
)
def test_limits_are_read_longest_window_first(text, limits):
    assert parse_limits(text) == limits


NO_LIMITS = (
    "|100|100/|/60|0/60|-1/60|100/0|100/-1|1.5/1|a/b|100/60,|100/60;20/1|1/nan|1/inf|1/3601|100001/60|1/1/1"
)


@pytest.mark.parametrize("text", NO_LIMITS.split("|"))
def test_what_is_no_limit_is_refused_by_the_name_of_its_field(text):
    with pytest.raises(
        AvalaConfigurationError, match=r"^inference_rate_limits: .* is not a limit; write requests/seconds"
    ):
        parse_limits(text, "inference_rate_limits")


@pytest.mark.parametrize("text", ["20/60,100/1", "100/60,20/60", "20/1,20/1", "100/60,100/1"])
def test_a_limit_that_another_one_makes_meaningless_is_refused(text):
    with pytest.raises(AvalaConfigurationError, match=r"^rate_limits: .* can never bind beside"):
        parse_limits(text)


@pytest.mark.parametrize(
    ("limit", "fraction", "part"),
    [
        (Limit(100, 60), 1, Limit(100, 60)),
        (Limit(100, 60), 0.5, Limit(50, 60)),
        (Limit(100, 60), 0.29, Limit(29, 60)),
        (Limit(100, 60), 1 / 3, Limit(33, 60)),
        (Limit(2, 1), 0.25, Limit(1, 2)),
        (Limit(1, 60), 0.5, Limit(1, 120)),
    ],
)
def test_a_share_rounds_down_and_below_one_request_lengthens_the_window(limit, fraction, part):
    assert limit.share(fraction) == part


@given(st.integers(1, 1000), st.integers(1, 3600), st.integers(1, 20))
def test_the_shares_of_several_hosts_never_add_up_to_more_than_the_limit(requests, seconds, hosts):
    part = Limit(requests, seconds).share(1 / hosts)
    assert hosts * part.requests / part.seconds <= requests / seconds * (1 + 1e-9)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01, float("nan"), float("inf")])
def test_a_share_outside_0_to_1_is_refused_by_the_name_of_its_field(fraction):
    with pytest.raises(AvalaConfigurationError, match=r"^rate_limit_share: .* is not above 0 and at most 1"):
        Limit(100, 60).share(fraction)


@pytest.mark.parametrize(
    ("said", "meant"),
    [(100, 0), (1000, 0), (60, 60), (1, 1), (20, None), (0, None), (-5, None)],
)
def test_a_server_is_believed_only_downwards_and_only_about_the_longest_window(said, meant):
    assert announcement(BOTH, said) == meant
    assert announcement(tuple(reversed(BOTH)), said) == meant


@pytest.mark.parametrize(
    ("announced", "kept"), [(0, BOTH), (60, (Limit(60, 60), Limit(20, 1))), (500, BOTH), (-1, BOTH)]
)
def test_an_announced_limit_replaces_that_of_the_longest_window(announced, kept):
    assert believed(BOTH, announced) == kept


limits = st.lists(st.builds(Limit, st.integers(1, 8), st.integers(1, 50)), min_size=1, max_size=3)


@given(limits, st.lists(st.integers(0, 30), max_size=80), st.integers(0, 5))
def test_no_window_ever_holds_more_than_its_limit_and_nobody_waits_when_a_slot_is_free(limits, gaps, margin):
    now, booked = 0, []
    for gap in gaps:
        now += gap
        at = next_slot(booked, limits, now, margin=margin)
        assert fits(booked, at, limits, margin)
        assert at == now or at == booked[-1] or not fits(booked, at - 1, limits, margin)
        booked.append(at)


def fits(booked, at, limits, margin):
    return all(
        sum(at - limit.seconds - margin < other for other in booked) < limit.requests for limit in limits
    )


@given(
    limits,
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40), st.integers(0, 8)), max_size=80),
)
def test_windows_hold_through_pauses_and_announcements_and_nobody_overtakes(limits, events):
    now, blocked, booked = 0, 0, []
    for gap, pause, announced in events:
        now += gap
        blocked = max(blocked, now + pause - 20)
        kept = believed(limits, announced)
        at = next_slot(booked, kept, now, blocked, margin=0)
        assert at >= max(now, blocked, *booked[-1:])
        assert fits(booked, at, kept, 0)
        booked.append(at)


@pytest.mark.parametrize("damage", [float("nan"), float("inf"), 1e300, 1000 + MAX_WAIT + 1])
def test_a_stored_time_that_cannot_be_holds_nobody_up(damage):
    assert next_slot([damage] * 3, [Limit(3, 60)], 1000.0) == 1000
    assert next_slot([], [Limit(3, 60)], 1000.0, blocked=damage) == 1000


def test_a_pause_holds_for_an_hour_at_most():
    assert next_slot([], [Limit(3, 60)], 1000.0, blocked=1000 + MAX_PAUSE) == 1000 + MAX_PAUSE
    assert next_slot([], [Limit(3, 60)], 1000.0, blocked=1001 + MAX_PAUSE) == 1000
