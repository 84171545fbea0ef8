"""Eight processes and a server that keeps limits to the letter; and the judge itself."""

from __future__ import annotations

import pytest

from benchmarks.contenders import CONTENDERS, Contender, Task, file_ring, no_limiter, redis_ring, two_hosts
from benchmarks.rate_limit import measure
from benchmarks.strict_server import SlidingWindows, fixed_window_refusals, ideal, parse
from tests.api.redis_server import RedisServer

#: Short windows keep the test short. A burst has one request for each process, so that the line alone, and not who is
#: quickest, decides how many each gets.
LIMITS = "32/2,8/0.3"
#: What a client keeps that keeps them 0.25 s longer.
WITH_MARGIN = "32/2.25,8/0.55"
SECONDS = 7


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server.url


@pytest.mark.parametrize(
    ("prepare", "kills"),
    [(file_ring, False), (file_ring, True), (redis_ring, False), (two_hosts, False)],
    ids=["file", "file, with kills", "redis", "two hosts"],
)
def test_eight_processes_get_all_requests_through_and_not_one_is_refused(prepare, kills, tmp_path, redis):
    task = Task(url="", key="", limits=LIMITS, processes=8, folder=tmp_path, redis=redis)
    result = measure(Contender("", prepare, kills=kills), task, SECONDS)
    assert result.refused == 0
    assert result.admitted <= ideal(parse(LIMITS), SECONDS)
    assert [highest for _, highest in result.fixed_windows] == [0, 0]
    assert min(result.by_process) > 0


def test_without_a_limiter_the_same_server_refuses_most(tmp_path):
    task = Task(url="", key="", limits=LIMITS, processes=8, folder=tmp_path, redis="")
    result = measure(Contender("", no_limiter), task, 2)
    assert result.refused > result.admitted
    assert ideal(parse(LIMITS), 2) * 0.9 <= result.admitted <= ideal(parse(LIMITS), 2)


def test_the_table_has_all_the_contenders():
    names = " ".join(contender.name for contender in CONTENDERS)
    for name in ("file ring", "Redis", "no limiter", "tenacity", "pyrate-limiter", "SDK", "killed"):
        assert name in names


@pytest.mark.parametrize(
    ("limits", "seconds", "count"),
    [("100/6,20/1", 24, 400), ("100/6,20/1", 24.5, 420), ("1/1", 3, 3), ("100/60,20/1", 60, 100)],
)
def test_the_ideal_is_what_the_windows_admit(limits, seconds, count):
    assert ideal(parse(limits), seconds) == count


def test_the_judge_admits_exactly_what_the_windows_allow():
    windows = SlidingWindows(((2, 10.0),))
    assert [windows.admit(at) for at in (0, 4, 5, 9.5, 10, 13, 14)] == [0, 0, 5, 0.5, 0, 1, 0]


def test_fixed_windows_are_tried_in_every_phase():
    assert fixed_window_refusals([0.9, 0.95, 1.0, 1.05], 2, 1.0) == (0, 2)
