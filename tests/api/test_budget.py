"""What comes out of which part of the budget, and what answers change about it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_provider_avala.api.budget import Budget
from airflow_provider_avala.api.errors import AvalaRateLimitTimeout
from airflow_provider_avala.api.settings import Settings

from .loopback import Clock

EXPORTS = "/api/v1/exports/"
INFERENCE = "/api/v1/inference/invoke/"


@pytest.fixture
def counted() -> Counter[str]:
    return Counter()


@pytest.fixture
def budget(clock: Clock, counted: Counter[str], tmp_path: Any) -> Budget:
    settings = Settings(api_key="avk_budget", rate_limit_store="memory", state_dir=str(tmp_path))
    return Budget(settings, clock, lambda event: counted.update([event]))


def take(budget: Budget, path: str = EXPORTS, *, poll: bool = False, timeout: float = 0.0) -> None:
    budget.take(f"GET {path}", path, poll=poll, timeout=timeout)


def heed(
    budget: Budget, status: int = 200, hint: float | None = None, path: str = EXPORTS, **headers: object
) -> None:
    named = {f"X-RateLimit-{name}": str(value) for name, value in headers.items()}
    budget.heed(path, status, named, hint)


def drain(budget: Budget, clock: Clock, path: str = EXPORTS, *, poll: bool = False) -> int:
    """How many requests the minute allows at this moment."""
    begin, sent = clock.monotonic(), 0
    while clock.monotonic() - begin < 50:
        try:
            take(budget, path, poll=poll, timeout=5)
        except AvalaRateLimitTimeout:
            break
        sent += 1
    return sent


def test_the_documented_limits_are_kept(budget: Budget, clock: Clock) -> None:
    assert drain(budget, clock) == 100


def test_inference_has_a_budget_of_its_own(budget: Budget, clock: Clock) -> None:
    assert drain(budget, clock, INFERENCE) == 10
    assert drain(budget, clock) == 100


def test_polls_use_up_half_of_the_budget_at_most(budget: Budget, clock: Clock) -> None:
    assert drain(budget, clock, poll=True) == 50
    assert drain(budget, clock) == 50


def test_work_does_not_queue_behind_polls(budget: Budget, clock: Clock) -> None:
    drain(budget, clock, poll=True)
    with pytest.raises(AvalaRateLimitTimeout):
        take(budget, poll=True, timeout=5)
    before = clock.monotonic()
    take(budget, timeout=5)
    assert clock.monotonic() - before < 1.5


def test_polls_make_way_for_work_but_for_a_trickle(budget: Budget, clock: Clock) -> None:
    for _ in range(60):
        take(budget, timeout=10)
    assert drain(budget, clock, poll=True) == 10


def test_a_burst_of_work_is_not_slowed_down_by_polls(budget: Budget, clock: Clock) -> None:
    for _ in range(20):
        take(budget)
    take(budget, timeout=2)  # the 21st, a second later
    before = clock.monotonic()
    take(budget, poll=True, timeout=30)
    for _ in range(15):
        take(budget, timeout=10)
    assert clock.monotonic() - before < 1.5


def test_a_poll_that_would_wait_too_long_is_told_at_once(budget: Budget, clock: Clock) -> None:
    for _ in range(100):
        take(budget, timeout=60)
    before = clock.monotonic()
    drained = drain(budget, clock, poll=True)
    assert drained == 0
    assert clock.monotonic() == before


@pytest.mark.parametrize("poll", [False, True])
def test_a_refusal_pauses_everyone(budget: Budget, poll: bool) -> None:
    heed(budget, 429, hint=30, Remaining=0)
    with pytest.raises(AvalaRateLimitTimeout):
        take(budget, poll=poll, timeout=20)
    take(budget, INFERENCE)


@pytest.mark.parametrize("path", [EXPORTS, "/api/v1/datasets/1/items"])
def test_a_refusal_of_one_export_or_upload_too_many_pauses_nobody(budget: Budget, path: str) -> None:
    heed(budget, 429, hint=30, path=path, Remaining=12)
    take(budget)


def test_any_other_refusal_pauses_although_requests_are_left(budget: Budget) -> None:
    """The headers may describe the minute while the second was exceeded."""
    heed(budget, 429, hint=30, path="/api/v1/exports/1/", Remaining=12)
    with pytest.raises(AvalaRateLimitTimeout):
        take(budget, timeout=20)


@pytest.mark.parametrize(("hint", "pause"), [(None, 1), (30, 30), (3600, 3600), (3601, 60), (1e12, 60)])
def test_how_long_a_refusal_pauses(budget: Budget, hint: float | None, pause: float) -> None:
    heed(budget, 429, hint=hint)
    assert budget.status()["standard"].paused == pytest.approx(pause)


def test_polls_get_their_part_of_what_the_server_announces(budget: Budget, clock: Clock) -> None:
    heed(budget, Limit=40)
    assert drain(budget, clock, poll=True) == 20
    assert drain(budget, clock) == 20


def test_a_budget_that_is_used_up_holds_the_next_call_until_its_reset(budget: Budget, clock: Clock) -> None:
    heed(budget, Remaining=0, Reset=clock.time() + 25)
    before = clock.monotonic()
    take(budget, timeout=60)
    assert 25 <= clock.monotonic() - before < 26


@pytest.mark.parametrize("reset", ["", "soon", "-5", "nan", "inf", "0"])
def test_a_reset_that_is_no_time_holds_nobody(budget: Budget, reset: str) -> None:
    heed(budget, Remaining=0, Reset=reset)
    take(budget, timeout=61)


def test_a_reset_in_milliseconds_holds_no_longer_than_a_window(budget: Budget, clock: Clock) -> None:
    heed(budget, Remaining=0, Reset=int(clock.time() * 1000))
    assert budget.status()["standard"].paused <= 60


def test_a_lower_limit_is_believed_and_forgotten_with_the_higher_one(budget: Budget, clock: Clock) -> None:
    heed(budget, Limit=40)
    assert drain(budget, clock) == 40
    clock.sleep(70)
    heed(budget, Limit=100)
    assert drain(budget, clock) == 100


@pytest.mark.parametrize("limit", [20, 100, 5000, "many", "", "-3", "0"])
def test_other_announcements_change_nothing(limit: object, budget: Budget, clock: Clock) -> None:
    heed(budget, Limit=limit)
    assert drain(budget, clock) == 100


def test_what_it_costs_is_counted(budget: Budget, clock: Clock, counted: Counter[str]) -> None:
    take(budget)
    heed(budget, 429, hint=10)
    take(budget, timeout=20)
    assert counted == {"requests": 2, "throttled": 1, "waits": 1}


def test_a_long_wait_is_worth_a_line_in_the_log(budget: Budget, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    heed(budget, 429, hint=10)
    take(budget, timeout=20)
    assert caplog.messages == ["GET /api/v1/exports/ waited 10.0 s for the key's rate limit."]
