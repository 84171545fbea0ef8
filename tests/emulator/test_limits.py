"""Rate limits: true sliding windows, their headers, and how they show over HTTP."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_avala.emulator.limits import SlidingWindows, parse_limits


@pytest.mark.parametrize(
    ("given", "windows"),
    [
        ("100/60,20/1", ((100, 60.0), (20, 1.0))),
        (" 10/0.5 ", ((10, 0.5),)),
        ([(3, 1)], ((3, 1.0),)),
        ("none", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_limits_are_read_from_text_or_pairs(given, windows):
    assert parse_limits(given) == windows


@pytest.mark.parametrize("given", ["100", "a/b", "0/1", "1/0", "1/nan", [(0, 1)]])
def test_a_limit_that_makes_no_sense_is_refused_by_name(given):
    with pytest.raises(ValueError, match="rate limit"):
        parse_limits(given)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 5), st.integers(1, 2000))
def test_no_window_ever_admits_more_than_its_limit(gaps, count, period):
    windows, now, admitted = SlidingWindows(((count, period),)), 0, []
    for gap in gaps:
        now += gap
        verdict = windows.admit(now)
        assert verdict.allowed == (sum(now - period < moment for moment in admitted) < count)
        if verdict.allowed:
            admitted.append(now)
        else:
            assert windows.peek(now + verdict.retry_after).allowed
            assert not windows.peek(now + verdict.retry_after - 1).allowed


def test_the_twenty_first_request_of_a_second_is_throttled_until_the_first_one_leaves(start, clock):
    avala, client = start(rate_limits="100/60,20/1", clock=clock)
    for _ in range(20):
        assert client.get("/exports/").status_code == 200
    refused = client.get("/exports/")
    assert refused.status_code == 429
    assert refused.json() == {"detail": "Request was throttled. Expected available in 1 second."}
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["X-RateLimit-Limit"] == "20"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["X-RateLimit-Reset"] == str(int(clock.now) + 1)
    avala.advance(1)
    assert client.get("/exports/").status_code == 200


def test_the_minute_slides_instead_of_starting_anew(start, clock):
    avala, client = start(rate_limits="3/60", clock=clock)
    for _ in range(3):
        assert client.get("/users/me/").status_code == 200
        avala.advance(20)
    assert client.get("/users/me/").status_code == 200  # the first left the window just now
    refused = client.get("/users/me/")
    assert refused.json() == {"detail": "Request was throttled. Expected available in 20 seconds."}
    assert refused.headers["Retry-After"] == "20"


def test_a_refused_request_takes_no_slot(start, clock):
    avala, client = start(rate_limits="1/10", clock=clock)
    assert client.get("/users/me/").status_code == 200
    for _ in range(9):
        avala.advance(1)
        assert client.get("/users/me/").status_code == 429
    avala.advance(1)
    assert client.get("/users/me/").status_code == 200


def test_every_reply_carries_the_three_headers(start, clock, dialect):
    _, client = start(rate_limits="100/60,20/1", clock=clock, dialect=dialect)
    replies = [
        client.get("/users/me"),
        client.get("/nope"),
        client.patch("/exports"),
        client.post("/datasets"),
    ]
    assert [reply.headers["X-RateLimit-Remaining"] for reply in replies] == ["99", "98", "97", "96"]
    for reply in [*replies, client.get("/users/me", headers={"X-Avala-Api-Key": "wrong"})]:
        assert reply.headers["X-RateLimit-Limit"] == "100"
        assert reply.headers["X-RateLimit-Reset"] == str(int(clock.now) + 60)


def test_a_wrong_key_uses_up_nobodys_limit(start, clock):
    _, client = start(rate_limits="1/60", clock=clock)
    assert client.get("/users/me/", headers={"X-Avala-Api-Key": "wrong"}).status_code == 401
    assert client.get("/users/me/").status_code == 200


def test_inference_has_a_limit_of_its_own(start, clock):
    _, client = start(rate_limits="1/60", clock=clock)
    for _ in range(10):
        assert client.post("/inference/invoke/", json={"x": 1}).status_code == 200
    refused = client.post("/inference/invoke/", json={"x": 1})
    assert refused.status_code == 429
    assert refused.headers["X-RateLimit-Limit"] == "10"
    assert client.get("/users/me/").status_code == 200


def test_without_limits_there_are_no_headers(start):
    _, client = start(rate_limits="none")
    replies = [client.get("/users/me/") for _ in range(30)]
    assert {reply.status_code for reply in replies} == {200}
    assert "X-RateLimit-Limit" not in replies[0].headers


def test_the_legacy_throttle_speaks_its_own_envelope(start, clock):
    _, client = start(rate_limits="1/60", clock=clock, dialect="legacy")
    client.get("/users/me")
    refused = client.get("/users/me")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "60"
    assert refused.json()["error"] == {
        "code": "rate_limited",
        "message": "Request was throttled. Expected available in 60 seconds.",
        "details": [],
    }
