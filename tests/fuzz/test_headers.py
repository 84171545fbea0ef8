"""Headers with absurd numbers, dates, ranges and digests."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.budget import Budget
from airflow_provider_avala.api.checksums import announced
from airflow_provider_avala.api.limits import MAX_PAUSE
from airflow_provider_avala.api.policy import FAR_AWAY, server_hint
from airflow_provider_avala.api.ranges import Action, judge
from airflow_provider_avala.api.settings import Settings
from tests.api.loopback import Clock
from tests.fuzz.hostile import bounded, headers, statuses


@bounded
@given(statuses, headers, st.sampled_from([0.0, 1.7e9, 4e9]))
def test_a_server_can_ask_for_any_wait_and_gets_a_sane_one(status: int, found: Any, now: float) -> None:
    hint = server_hint(status, found, now)
    assert hint is None or 0 <= hint <= FAR_AWAY
    assert hint is None or not math.isnan(hint)


@bounded
@given(statuses, headers, st.integers(0, 10), st.sampled_from([None, '"abc"']), st.sampled_from([None, 10]))
def test_any_answer_to_a_download_is_judged(
    status: int, found: Any, have: int, etag: str | None, total: int | None
) -> None:
    judgement = judge(status, found, have=have, etag=etag, total=total)
    assert judgement.action in Action
    assert judgement.total is None or judgement.total >= 0
    assert judgement.etag is None or judgement.etag.isprintable(), "it goes into a header of ours"


@bounded
@given(st.sampled_from([200, 206]), headers)
def test_only_digests_of_the_right_length_are_believed(status: int, found: Any) -> None:
    assert {len(digest) for digest in announced(status, found).values()} <= {8, 32, 40, 64, 128}


@bounded
@given(st.lists(st.tuples(statuses, headers), max_size=4))
def test_no_headers_stop_a_key_for_longer_than_an_hour(answers: list[tuple[int, Any]]) -> None:
    clock = Clock()
    settings = Settings.parse(host="http://127.0.0.1:1", password="k", extra={"rate_limit_store": "memory"})
    budget = Budget(settings, clock, lambda event: None)
    begin = clock.now
    for status, found in answers:
        budget.heed("/exports/", status, found, server_hint(status, found, clock.time()))
    budget.take("GET /", "/exports/", poll=False, timeout=1e9)
    assert clock.now - begin <= MAX_PAUSE + 1


@pytest.mark.parametrize("number", ["9" * 4301, "٣", "-1", "1e999", "+5", "5_0"])
def test_a_length_that_is_no_number_is_no_length(number: str) -> None:
    assert judge(200, {"Content-Length": number}).total is None
    found = judge(206, {"Content-Range": f"bytes 5-9/{number}"}, have=5, etag='"a"', total=None)
    assert found.action is Action.RESTART
