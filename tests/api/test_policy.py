"""Every decision about a failed attempt, as tables."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api import policy
from airflow_provider_avala.api.policy import Failure, decide, is_retryable, server_hint, wait_before

NOW = 1_780_000_000.0

HINTS = {
    "seconds": (429, {"Retry-After": "12"}, 12),
    "seconds, name in lower case": (429, {"retry-after": "12"}, 12),
    "fraction of a second": (429, {"Retry-After": "0.5"}, 0.5),
    "surrounded by blanks": (429, {"Retry-After": " 7 "}, 7),
    "HTTP date": (429, {"Retry-After": formatdate(NOW + 30, usegmt=True)}, 30),
    "HTTP date of another zone": (503, {"Retry-After": formatdate(NOW + 30, localtime=True)}, 30),
    "HTTP date without a zone": (429, {"Retry-After": formatdate(NOW + 30).replace(" -0000", "")}, 30),
    "HTTP date in the past": (429, {"Retry-After": formatdate(NOW - 30, usegmt=True)}, 0),
    "zero": (503, {"Retry-After": "0"}, 0),
    "absurdly large": (429, {"Retry-After": "9" * 30}, policy.FAR_AWAY),
    "larger than a float": (429, {"Retry-After": "9" * 400}, policy.FAR_AWAY),
    "absent, with reset": (429, {"X-RateLimit-Reset": str(int(NOW) + 9)}, 9),
    "absent, with reset in the past": (429, {"X-RateLimit-Reset": str(int(NOW) - 9)}, 0),
    "absent, with reset beyond reason": (429, {"X-RateLimit-Reset": "9" * 30}, policy.FAR_AWAY),
    "seconds win over reset": (429, {"Retry-After": "3", "X-RateLimit-Reset": str(int(NOW) + 9)}, 3),
    "garbage, with reset": (429, {"Retry-After": "soon", "X-RateLimit-Reset": str(int(NOW) + 9)}, 9),
    "reset says nothing about a 503": (503, {"X-RateLimit-Reset": str(int(NOW) + 9)}, None),
    "nothing": (429, {}, None),
    "empty": (429, {"Retry-After": ""}, None),
    "infinite": (429, {"Retry-After": "inf"}, None),
    "not a number": (429, {"Retry-After": "nan"}, None),
    "negative": (429, {"Retry-After": "-5"}, None),
    "grouped digits": (429, {"Retry-After": "1_000"}, None),
    "foreign digits": (429, {"Retry-After": "\u0665"}, None),
    "two values": (429, {"Retry-After": "5, 6"}, None),
    "reset is garbage": (429, {"X-RateLimit-Reset": "tomorrow"}, None),
}


@pytest.mark.parametrize(("status", "headers", "hint"), HINTS.values(), ids=HINTS)
def test_hint_is_read_from_retry_after_and_on_a_429_from_the_reset(status, headers, hint):
    assert server_hint(status, headers, NOW) == (None if hint is None else pytest.approx(hint))


@given(
    st.integers(100, 599), st.dictionaries(st.sampled_from(["Retry-After", "X-RateLimit-Reset"]), st.text())
)
def test_hint_of_any_header_is_a_finite_time_or_none(status, headers):
    hint = server_hint(status, headers, NOW)
    assert hint is None or 0 <= hint <= policy.FAR_AWAY


RETRYABLE = {
    # name: (failure, retried if repeatable, retried if not)
    "408": (Failure(408), True, True),
    "429": (Failure(429), True, True),
    "500": (Failure(500), True, False),
    "502": (Failure(502), True, False),
    "503": (Failure(503), True, False),
    "504": (Failure(504), True, False),
    "522": (Failure(522), True, False),
    "connection refused": (Failure(sent=False), True, True),
    "reset before it was sent": (Failure(sent=False), True, True),
    "reset after it was sent": (Failure(sent=True), True, False),
    "untrusted certificate": (Failure(sent=False, transient=False), False, False),
    **{str(status): (Failure(status), False, False) for status in (301, 302, 304, 307, 308)},
    **{str(status): (Failure(status), False, False) for status in (400, 401, 402, 403, 404, 405, 406, 409)},
    **{str(status): (Failure(status), False, False) for status in (410, 413, 415, 418, 422, 451)},
}


@pytest.mark.parametrize(("failure", "if_repeatable", "if_not"), RETRYABLE.values(), ids=RETRYABLE)
def test_what_is_retried(failure, if_repeatable, if_not):
    assert is_retryable(failure, repeatable=True) is if_repeatable
    assert is_retryable(failure, repeatable=False) is if_not


@pytest.mark.parametrize(
    ("failure", "unknown"),
    [
        (Failure(sent=True), True),
        (Failure(sent=False), False),
        *((Failure(status), True) for status in (500, 502, 503, 504)),
        *((Failure(status), False) for status in (301, 400, 408, 409, 422, 429)),
    ],
)
def test_outcome_is_unknown_once_sent_and_not_refused(failure, unknown):
    assert failure.outcome_unknown is unknown


@given(
    st.builds(
        Failure,
        status=st.none() | st.integers(300, 599),
        sent=st.booleans(),
        transient=st.booleans(),
        hint=st.none() | st.floats(0, policy.FAR_AWAY),
    ),
    st.integers(1, 1000),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.booleans(),
    st.floats(0, 1),
)
def test_no_decision_doubles_or_passes_the_bound(failure, attempt, elapsed, bound, repeatable, chance):
    verdict = decide(
        failure, attempt=attempt, elapsed=elapsed, max_elapsed=bound, repeatable=repeatable, chance=chance
    )
    if verdict.wait is None:
        return
    assert elapsed + verdict.wait <= bound
    assert verdict.wait >= (failure.hint or 0)
    assert repeatable or not failure.outcome_unknown


@pytest.mark.parametrize(
    ("attempt", "hint", "chance", "wait"),
    [
        (1, None, 1.0, 1),
        (2, None, 1.0, 2),
        (3, None, 1.0, 4),
        (3, None, 0.25, 1),
        (9, None, 1.0, policy.BACKOFF_CAP),
        (10_000, None, 1.0, policy.BACKOFF_CAP),
        (1, 12.0, 0.0, 12),
        (5, 12.0, 1.0, 12 + policy.SPREAD),
        (1, 0.0, 0.5, 0.5),
    ],
)
def test_wait_is_the_hint_or_exponential_with_full_jitter(attempt, hint, chance, wait):
    assert wait_before(attempt, hint, chance) == wait


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_no_time_for_retries_means_one_attempt(chance):
    verdict = decide(Failure(503), attempt=1, elapsed=0, max_elapsed=0, repeatable=True, chance=chance)
    assert verdict.wait is None


def test_a_wait_past_the_bound_gives_up_at_once_and_says_so():
    late = Failure(429, hint=500)
    verdict = decide(late, attempt=1, elapsed=3, max_elapsed=120, repeatable=True, chance=0)
    assert verdict.wait is None
    assert "503 s" in verdict.reason


@pytest.mark.parametrize("method", ["GET", "get", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_idempotent_methods(method):
    assert policy.is_idempotent(method)


@pytest.mark.parametrize("method", ["POST", "post", "PATCH", "CONNECT", ""])
def test_all_other_methods_may_double_something(method):
    assert not policy.is_idempotent(method)
