"""The limits that every host shares through Redis: the promises of the file ring, kept by a real server."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import time
import uuid
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaConnectionError,
    AvalaRateLimitTimeout,
)
from airflow_provider_avala.api.limiter import open_limiter
from airflow_provider_avala.api.limits import Limit, next_slot
from airflow_provider_avala.api.redis_ring import RedisRing
from tests.api.loopback import Clock
from tests.api.processes import in_children, running
from tests.api.redis_server import INSTALL, RedisServer

assert importlib.util.find_spec("redis"), f"these tests need redis-py: {INSTALL}"

BOTH = (Limit(20, 0.6), Limit(5, 0.1))


@pytest.fixture(scope="module")
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture
def client(server):
    import redis

    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def make(server):
    """Makes limiters of one key that nobody has used before."""
    owner = uuid.uuid4().hex

    def make(*limits, clock=None, **options):
        return RedisRing(owner, limits, server.url, clock or Clock(), margin=0, **options)

    return make


def test_nobody_waits_until_a_window_is_full(make):
    limiter = make(Limit(3, 60))
    assert [limiter.acquire(0) for _ in range(3)] == [0, 0, 0]
    with pytest.raises(AvalaRateLimitTimeout, match=r"\(3/60 requests/seconds\)"):
        limiter.acquire(50)
    assert limiter.acquire(60) == pytest.approx(60, abs=5)


def test_a_wait_that_would_be_too_long_books_nothing(make, client):
    limiter = make(Limit(1, 60))
    limiter.acquire(0)
    for _ in range(5):
        with pytest.raises(AvalaRateLimitTimeout):
            limiter.acquire(1)
    assert client.llen(limiter._keys[0]) == 1


def test_a_pause_reaches_everybody_and_is_cut_at_an_hour(make):
    make(*BOTH).pause(1e9)
    make(*BOTH).pause(5)
    other = make(*BOTH)
    assert other.status().paused == pytest.approx(3600, abs=5)
    assert other.acquire(4000) == pytest.approx(3600, abs=5)


def test_who_is_asleep_when_a_pause_begins_wakes_up_only_after_it(make):
    class PausesMeanwhile(Clock):
        def sleep(self, seconds):
            super().sleep(seconds)
            if len(self.sleeps) == 1:
                other.pause(500)

    other, sleeper = make(Limit(1, 60)), make(Limit(1, 60), clock=PausesMeanwhile())
    other.acquire(0)
    waited = sleeper.acquire(4000)
    # For Redis hardly a moment has passed, so the pause is still to come; and the slot slept for is gone.
    assert waited == pytest.approx(60 + 500, abs=5)


def test_an_announced_limit_is_believed_by_everybody_until_the_higher_one_is_announced(make):
    one, other = make(Limit(10, 60), Limit(4, 1)), make(Limit(10, 60), Limit(4, 1))
    one.announce(4)
    one.announce(2)
    other.acquire(0), other.acquire(0)
    assert other.status().announced == 2
    with pytest.raises(AvalaRateLimitTimeout, match="2/60, 4/1"):
        other.acquire(50)
    other.announce(10)
    assert one.acquire(0) == 0
    assert one.status().announced is None


def test_the_status_tells_what_is_used(make, server):
    limiter = make(Limit(10, 60), Limit(4, 60 * 0.5))
    limiter.acquire(0), limiter.acquire(0)
    status = limiter.status()
    assert [(each.booked, each.free) for each in status.limits] == [(2, 8), (2, 2)]
    assert status.kept_in == f"redis://127.0.0.1:{server.port}/0 (shared by every host that uses it)"


def stored(limiter, client):
    """The booked times in seconds of the server's clock, oldest first."""
    return [int(at) / 1e6 for at in reversed(client.lrange(limiter._keys[0], 0, -1))]


def assert_windows_hold(slots, limits):
    assert slots == sorted(slots)
    for limit in limits:
        for earlier, later in zip(slots, slots[limit.requests :], strict=False):
            assert later - earlier >= limit.seconds - 1e-6


def test_processes_of_several_hosts_get_every_slot_once(make, client):
    everything = (*BOTH, Limit(1000, 1e-6))  # the last one only makes Redis remember all of the bookings

    def book():
        limiter = make(*everything)
        return [limiter.acquire(3600) for _ in range(50)]

    assert len(list(chain(*in_children([book] * 8)))) == 400
    slots = stored(make(*everything), client)
    assert len(slots) == 400
    assert_windows_hold(slots, BOTH)
    assert slots[-1] - slots[0] == pytest.approx(19 * 0.6 + 0.3, abs=0.6)


@settings(max_examples=30, deadline=None)
@given(
    limits=st.lists(st.builds(Limit, st.integers(1, 6), st.floats(1e-4, 1e-2)), min_size=1, max_size=3),
    calls=st.integers(1, 40),
)
def test_redis_books_exactly_as_the_arithmetic_says(server, limits, calls):
    import redis

    limiter = RedisRing(uuid.uuid4().hex, [*limits, Limit(100, 1e-6)], server.url, Clock(), margin=0)
    with redis.Redis.from_url(server.url) as client:
        for _ in range(calls):
            before, booked = server_time(client), stored(limiter, client)
            limiter.acquire(60)
            at, after = stored(limiter, client)[-1], server_time(client)
            earliest = next_slot(booked, limits, before, margin=0)
            latest = next_slot(booked, limits, after, margin=0)
            assert earliest - 2e-6 <= at <= latest + 2e-6
        assert_windows_hold(stored(limiter, client), limits)


def server_time(client):
    seconds, micros = client.time()
    return seconds + micros / 1e6


def test_killing_processes_at_random_moments_breaks_no_window_and_holds_nobody_up(make, client):
    limits = (Limit(20, 6e-3), Limit(5, 1e-3), Limit(100_000, 1e-6))

    def book_for_ever(ready):
        limiter = make(*limits)
        limiter.acquire(60)
        ready()
        while True:
            limiter.acquire(60)

    survivor = make(*limits)
    for _ in range(5):
        with running(book_for_ever) as child:
            for _ in range(20):
                survivor.acquire(60)
            os.kill(child.pid, signal.SIGKILL)
            assert survivor.acquire(60) < 30
    assert_windows_hold(stored(survivor, client), limits[:2])


def test_one_booking_is_one_round_trip(make, client):
    limiter = make(*BOTH)
    limiter.acquire(0)
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    limiter.acquire(0)
    after = client.info("commandstats")
    assert after["cmdstat_evalsha"]["calls"] == before + 1


def test_redis_may_forget_the_scripts(make, client):
    limiter = make(*BOTH)
    limiter.acquire(0)
    client.script_flush()
    assert limiter.acquire(0) < 5
    assert limiter.status().limits[0].booked == 2


def test_what_is_stored_goes_away_by_itself_and_says_nothing_about_the_key(make, client, server):
    limiter = RedisRing("owner-digest", (Limit(3, 60),), server.url, Clock())
    limiter.acquire(0), limiter.pause(1), limiter.announce(2)
    slots, state = limiter._keys
    assert 60_000 < client.pttl(slots) <= 62_000
    assert 0 < client.pttl(state) <= 86_400_000
    assert not client.keys("*owner*")
    client.delete(slots, state)


def test_a_child_of_a_fork_uses_a_connection_of_its_own(make):
    limiter = make(Limit(100, 60))
    limiter.acquire(0)

    def book():
        return [limiter.acquire(0) for _ in range(20)]

    in_children([book] * 3)
    assert limiter.status().limits[0].booked == 61


def test_a_stored_time_that_cannot_be_holds_nobody_up(make, client):
    limiter = make(Limit(1, 60))
    client.lpush(limiter._keys[0], 10**18)
    client.hset(limiter._keys[1], "blocked", 10**18)
    assert limiter.acquire(0) == 0


class TestTrouble:
    @pytest.fixture
    def own_server(self):
        with RedisServer("s3cret") as server:
            yield server

    def test_a_server_that_is_down_is_a_connection_error_without_the_password(self, own_server):
        limiter = RedisRing("key", BOTH, own_server.url)
        limiter.acquire(0)
        own_server.stop()
        with pytest.raises(
            AvalaConnectionError, match=rf"^rate_limit_store: redis://127.0.0.1:{own_server.port}/0 "
        ) as e:
            limiter.acquire(0)
        assert "s3cret" not in repr(e.value)
        assert e.value.transient
        assert not e.value.sent
        assert e.value.__cause__ is None

    def test_not_even_the_words_of_an_error_may_show_the_password(self, own_server):
        own_server.stop()
        with pytest.raises(AvalaConnectionError, match=r"Connection \*\*\*"):
            RedisRing("key", BOTH, own_server.url.replace("s3cret", "refused")).acquire(0)

    def test_a_server_that_comes_back_is_used_again(self, own_server):
        limiter = RedisRing("key", BOTH, own_server.url)
        limiter.acquire(0)
        own_server.stop()
        with RedisServer("s3cret", own_server.port):
            assert limiter.acquire(0) < 5

    def test_a_wrong_password_is_a_configuration_error_that_does_not_show_it(self, own_server):
        url = own_server.url.replace("s3cret", "wr0ng")
        with pytest.raises(
            AvalaConfigurationError, match=r"^rate_limit_store: .* refuses the credentials"
        ) as e:
            RedisRing("key", BOTH, url).acquire(0)
        assert "wr0ng" not in repr(e.value)

    def test_by_choice_the_host_keeps_the_limits_while_redis_is_down_after_one_warning(
        self, own_server, tmp_path, caplog
    ):
        clock = Clock()
        limiter = open_limiter(
            "key", (Limit(3, 60),), store=own_server.url, state_dir=str(tmp_path), fallback=True, clock=clock
        )
        limiter.acquire(0)
        assert "redis" in limiter.status().kept_in
        own_server.stop()
        for _ in range(3):
            limiter.acquire(0)
        limiter.pause(1)
        with pytest.raises(AvalaRateLimitTimeout):
            limiter.acquire(0)
        assert str(tmp_path) in limiter.status().kept_in
        (warning,) = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
        assert f"within this host only until redis://127.0.0.1:{own_server.port}/0 answers again" in warning
        assert "s3cret" not in caplog.text
        with RedisServer("s3cret", own_server.port):
            clock.now += 31
            limiter.acquire(0)
            assert "redis" in limiter.status().kept_in

    def test_a_server_that_does_not_answer_is_given_up_after_a_while(self, own_server, monkeypatch):
        limiter = RedisRing("key", BOTH, f"{own_server.url}?socket_timeout=0.2")
        limiter.acquire(0)
        own_server.process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        with pytest.raises(AvalaConnectionError, match="cannot be used"):
            limiter.acquire(0)
        assert time.monotonic() - begin < 10

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("redis://:s3cret@host:port/0", "has a port that is no number"),
            ("redis://:s3cret@host:1/0?socket_timeout=soon", "cannot be used"),
            ("redis://:s3cret@host:1/0?no_such_option=1", "cannot be used"),
        ],
    )
    def test_a_url_that_cannot_be_used_is_refused_without_its_password(self, url, problem):
        with pytest.raises(AvalaConfigurationError, match=f"^rate_limit_store: the Redis URL {problem}") as e:
            RedisRing("key", BOTH, url)
        assert "s3cret" not in repr(e.value)

    def test_a_unix_socket_is_shown_as_its_path(self):
        limiter = RedisRing("key", BOTH, "unix://user:s3cret@/run/redis.sock?db=1")
        assert limiter.address == "unix:///run/redis.sock"
        with pytest.raises(AvalaConnectionError, match=r"unix:///run/redis\.sock cannot be used"):
            limiter.acquire(0)
