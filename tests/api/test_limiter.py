"""What every limiter promises, wherever it keeps its bookings, and what is built out of several."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api import limiter as limiter_module
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaRateLimitTimeout
from airflow_provider_avala.api.limiter import MemoryLimiter, Portion, WithFallback, open_limiter
from airflow_provider_avala.api.limits import MARGIN, Limit
from airflow_provider_avala.api.ring import FileRing
from tests.api.loopback import Clock
from tests.api.processes import in_child

BOTH = (Limit(100, 60), Limit(20, 1))


@pytest.fixture(params=["memory", "file"])
def make(request, tmp_path):
    """Makes limiters that share one clock and, with a file, one store."""
    clock = Clock()

    def make(*limits, margin=0.0):
        if request.param == "memory":
            return MemoryLimiter(limits, clock, margin)
        return FileRing("owner", limits, str(tmp_path), clock, margin)

    make.clock = clock
    return make


def test_nobody_waits_until_a_window_is_full(make):
    limiter = make(*BOTH)
    assert [limiter.acquire(0) for _ in range(20)] == [0.0] * 20
    assert limiter.acquire(60) == 1
    assert [limiter.acquire(0) for _ in range(19)] == [0.0] * 19
    assert make.clock.sleeps == [1]


def test_windows_are_kept_longer_by_a_margin(make):
    limiter = make(Limit(1, 10), margin=MARGIN)
    limiter.acquire(0)
    assert limiter.acquire(60) == pytest.approx(10.25)


def test_a_wait_that_would_be_too_long_fails_at_once_and_books_nothing(make):
    limiter = make(Limit(2, 10))
    limiter.acquire(0), limiter.acquire(0)
    for _ in range(5):
        with pytest.raises(
            AvalaRateLimitTimeout, match=r"\(2/10 requests/seconds\).* 10.0 s away.*\(9.0 s\)"
        ):
            limiter.acquire(9)
    assert make.clock.sleeps == []
    assert limiter.acquire(10) == 10
    assert limiter.acquire(0) == 0


def test_a_negative_time_out_means_now_or_never(make):
    limiter = make(Limit(1, 10))
    assert limiter.acquire(-5) == 0
    with pytest.raises(AvalaRateLimitTimeout):
        limiter.acquire(-5)


def test_a_pause_holds_everybody_and_a_shorter_one_does_not_shorten_it(make):
    limiter = make(*BOTH)
    limiter.pause(30)
    limiter.pause(5)
    with pytest.raises(AvalaRateLimitTimeout):
        limiter.acquire(29)
    assert limiter.acquire(30) == 30
    assert limiter.acquire(0) == 0


def test_a_pause_is_cut_at_an_hour(make):
    limiter = make(*BOTH)
    limiter.pause(1e9)
    assert limiter.acquire(4000) == pytest.approx(3600)


def test_who_is_asleep_when_a_pause_begins_wakes_up_only_after_it(make):
    limiter = make(Limit(1, 10))
    limiter.acquire(0)
    sleep = make.clock.sleep

    def paused_meanwhile(seconds):
        make.clock.sleep = sleep
        sleep(seconds)
        limiter.pause(7)

    make.clock.sleep = paused_meanwhile
    assert limiter.acquire(60) == pytest.approx(
        20
    )  # the slot slept for is gone, the next one is a window later


def test_a_lower_limit_that_the_server_announces_holds_until_it_announces_the_higher_one(make):
    limiter = make(Limit(10, 60), Limit(4, 1))
    limiter.announce(4)  # that of the shorter window: no news
    assert limiter.status().announced is None
    limiter.announce(2)
    assert limiter.status().announced == 2
    limiter.acquire(0), limiter.acquire(0)
    with pytest.raises(AvalaRateLimitTimeout, match="2/60, 4/1"):
        limiter.acquire(59)
    limiter.announce(4)
    with pytest.raises(AvalaRateLimitTimeout):
        limiter.acquire(59)
    limiter.announce(10)
    assert limiter.acquire(0) == 0


def test_what_the_server_says_all_the_time_does_not_touch_the_store(make, monkeypatch):
    limiter = make(*BOTH)
    limiter.acquire(0)
    monkeypatch.setattr(limiter, "_store_announcement", None)
    limiter.announce(100)
    limiter.announce(20)
    limiter.announce(5000)


def test_the_status_tells_what_is_used_and_what_is_free(make):
    limiter = make(*BOTH)
    assert [(each.booked, each.free) for each in limiter.status().limits] == [(0, 100), (0, 20)]
    for _ in range(25):
        limiter.acquire(2)
    assert [(each.booked, each.free) for each in limiter.status().limits] == [(25, 75), (5, 15)]
    limiter.pause(3)
    limiter.announce(50)
    status = limiter.status()
    assert (status.wait, status.paused, status.announced) == (3, 3, 50)
    assert str(status).startswith(
        "25 of 50/60, 5 of 20/1 requests/seconds used (next call in 3.0 s; paused for 3.0 s; the server announced 50; "
    )


def test_at_least_one_limit_is_needed(make):
    with pytest.raises(AvalaConfigurationError, match=r"^rate_limits: give at least one"):
        make()


@given(
    st.lists(st.builds(Limit, st.integers(1, 6), st.integers(1, 30)), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=60),
)
def test_for_any_limits_arrivals_and_time_outs_no_window_overflows_and_no_free_slot_is_refused(limits, calls):
    clock = Clock()
    limiter, sent = MemoryLimiter(limits, clock, margin=0), []

    def fits(at):
        return all(sum(at - limit.seconds < other for other in sent) < limit.requests for limit in limits)

    for gap, timeout in calls:
        clock.now += gap
        begin = clock.now
        try:
            limiter.acquire(timeout)
        except AvalaRateLimitTimeout:
            assert clock.now == begin
            assert not any(fits(begin + second) for second in range(timeout + 1))
        else:
            assert fits(clock.now)
            assert clock.now == begin or not fits(clock.now - 1)
            sent.append(clock.now)


def test_threads_share_a_limiter_without_overbooking(make):
    limiter, slots, lock = make(Limit(10, 1)), [], threading.Lock()

    def book():
        for _ in range(50):
            at = limiter._book(1e4).at
            with lock:
                slots.append(at)

    threads = [threading.Thread(target=book) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    slots.sort()
    assert len(slots) == 400
    assert all(later - earlier >= 1 for earlier, later in zip(slots, slots[10:], strict=False))


class TestOpening:
    @pytest.mark.parametrize("store", ["", "memory"])
    def test_the_same_arguments_give_the_same_limiter(self, store, tmp_path):
        options = {"store": store, "state_dir": str(tmp_path)}
        first = open_limiter("one key", BOTH, **options)
        assert open_limiter("one key", BOTH, **options) is first
        assert open_limiter("another key", BOTH, **options) is not first
        assert open_limiter("one key", BOTH[:1], **options) is not first

    @pytest.mark.parametrize(
        ("store", "shown"),
        [
            ("file", "'file'"),
            ("http://:secret@host", "'http'"),
            ("REDIS://host", "'REDIS'"),
            ("redis", "'redis'"),
        ],
    )
    def test_an_unknown_store_is_refused_without_its_password(self, store, shown):
        with pytest.raises(
            AvalaConfigurationError, match=f"^rate_limit_store: {shown} is not a known store"
        ) as e:
            open_limiter("key", BOTH, store=store)
        assert "secret" not in str(e.value)

    def test_a_relative_state_directory_is_refused(self):
        with pytest.raises(AvalaConfigurationError, match=r"^state_dir: 'here' is not an absolute path"):
            open_limiter("key", BOTH, state_dir="here")

    @pytest.mark.parametrize("portion", [0, -1, 2])
    def test_a_portion_outside_0_to_1_is_refused(self, portion):
        with pytest.raises(AvalaConfigurationError, match=r"^portion: "):
            open_limiter("key", BOTH, store="memory", portion=portion)

    def test_redis_without_redis_py_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(AvalaConfigurationError, match=r"pip install 'airflow-provider-avala\[redis\]'"):
            open_limiter("key", BOTH, store="redis://:secret@127.0.0.1:1/0")

    def test_a_child_can_use_a_limiter_whose_lock_another_thread_held_during_the_fork(self):
        limiter = open_limiter("forked key", BOTH, store="memory")
        with limiter._lock, limiter_module._registry_lock:
            assert in_child(lambda: open_limiter("forked key", BOTH, store="memory").acquire(0)) < 1

    def test_importing_the_limiter_loads_nothing_that_airflow_has_not_loaded_anyway(self):
        code = (
            "import sys, airflow_provider_avala.api.limiter, airflow_provider_avala.api.slots;"
            "print([name for name in ('requests', 'redis', 'asyncio', 'airflow') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestPortion:
    @pytest.fixture
    def limiters(self, tmp_path):
        clock, options = Clock(), {"state_dir": str(tmp_path)}
        whole = open_limiter("key", (Limit(10, 60),), clock=clock, **options)
        polls = open_limiter("key", (Limit(10, 60),), clock=clock, portion=0.5, **options)
        return whole, polls, clock

    def test_polls_get_their_portion_and_leave_the_rest(self, limiters):
        whole, polls, _ = limiters
        for _ in range(5):
            assert polls.acquire(0) == 0
        with pytest.raises(AvalaRateLimitTimeout, match="5/60"):
            polls.acquire(0)
        for _ in range(5):
            assert whole.acquire(0) == 0
        with pytest.raises(AvalaRateLimitTimeout, match="10/60"):
            whole.acquire(0)

    def test_a_request_does_not_queue_behind_a_line_of_polls(self, limiters):
        whole, polls, clock = limiters
        for _ in range(5):
            polls.acquire(0)
        sleep = clock.sleep

        def operator_comes_while_polls_wait(seconds):
            clock.sleep = sleep
            assert whole.acquire(0) == 0
            sleep(seconds)

        clock.sleep = operator_comes_while_polls_wait
        assert polls.acquire(100) == pytest.approx(60 + MARGIN)
        assert clock.sleep is sleep

    def test_polls_wait_when_the_requests_have_used_everything(self, limiters):
        whole, polls, _ = limiters
        for _ in range(10):
            whole.acquire(0)
        with pytest.raises(AvalaRateLimitTimeout, match="10/60"):
            polls.acquire(60)

    def test_a_trickle_of_polls_goes_on_while_work_keeps_the_key_busy(self, tmp_path):
        clock, options = Clock(), {"state_dir": str(tmp_path)}
        whole = open_limiter("key", (Limit(100, 60),), clock=clock, **options)
        polls = open_limiter("key", (Limit(100, 60),), clock=clock, portion=0.5, **options)
        for _ in range(70):
            whole.acquire(0)
        for _ in range(10):
            assert polls.acquire(0) == 0
        with pytest.raises(AvalaRateLimitTimeout, match=r"busy with work.*60.2 s.*\(30.0 s\)"):
            polls.acquire(30)
        for _ in range(20):
            assert whole.acquire(0) == 0

    def test_a_time_out_covers_both_waits(self):
        clock = Clock()
        whole = MemoryLimiter([Limit(1, 30)], clock, 0)
        part, trickle = MemoryLimiter([Limit(1, 10)], clock, 0), MemoryLimiter([Limit(1, 300)], clock, 0)
        polls = Portion(whole, part, trickle, 0.5, clock)
        polls.acquire(0)
        trickle.acquire(0)
        clock.sleep(5)
        with pytest.raises(AvalaRateLimitTimeout, match=r"in 50\.0 s, later than.*\(20\.0 s\)"):
            polls.acquire(20)

    def test_what_the_server_says_reaches_the_whole_and_the_portion(self, limiters):
        whole, polls, _ = limiters
        polls.announce(4)
        assert whole.status().announced == 4
        assert polls.status().announced == 2
        polls.pause(9)
        assert whole.status().paused == pytest.approx(9)


class Broken:
    """A limiter whose store fails as long as it is told to."""

    limits = ()

    def __init__(self, error):
        self.error = error
        self.calls = 0

    def acquire(self, timeout):
        self.calls += 1
        if self.error:
            raise self.error
        return 0.0

    pause = announce = wait = acquire

    def status(self):
        return self.acquire(0)


class TestFallback:
    def test_a_failed_store_is_replaced_for_a_while_then_tried_again(self):
        clock = Clock()
        first, second = Broken(OSError("gone")), MemoryLimiter([Limit(3, 60)], clock)
        limiter = WithFallback(first, second, failures=OSError, warning="tried again: %s", clock=clock)
        limiter.acquire(0), limiter.pause(0), limiter.announce(1), limiter.status()
        assert first.calls == 1
        first.error = None
        clock.now += 31
        limiter.acquire(0)
        assert first.calls == 2

    def test_a_time_out_is_no_failure(self):
        first = MemoryLimiter([Limit(1, 60)], Clock())
        limiter = WithFallback(first, Broken(AssertionError()), failures=OSError, warning="%s")
        limiter.acquire(0)
        with pytest.raises(AvalaRateLimitTimeout):
            limiter.acquire(0)

    def test_an_unusable_directory_is_named_in_one_warning_and_the_limits_hold_in_the_process(
        self, tmp_path, caplog
    ):
        (tmp_path / "file").write_text("in the way")
        directory, clock = tmp_path / "file" / "below", Clock()
        for owner in ("one key", "another"):
            limiter = open_limiter(owner, (Limit(2, 60),), state_dir=str(directory), clock=clock)
            for _ in range(2):
                assert limiter.acquire(0) == 0
                clock.now += 31
            assert "this process only" in limiter.status().kept_in
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert f"the directory {directory} cannot be used" in warnings[0]
        assert "state_dir" in warnings[0]

    def test_a_full_disk_leaves_the_limits_in_the_process(self, tmp_path):
        def acquire_without_room():
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            limiter = open_limiter("key", BOTH, state_dir=str(tmp_path))
            limiter.acquire(0)
            return limiter.status().kept_in, limiter.status().limits[0].booked

        kept_in, booked = in_child(acquire_without_room)
        assert "this process only" in kept_in
        assert booked == 1

    def test_a_directory_without_permission_leaves_the_limits_in_the_process(self, tmp_path):
        directory = tmp_path / "closed"
        directory.mkdir()

        def acquire_as_nobody():
            if os.getuid() == 0:
                os.setuid(65534)
            limiter = open_limiter("key", BOTH, state_dir=str(directory))
            limiter.acquire(0)
            return limiter.status().kept_in

        directory.chmod(0o500)
        assert "this process only" in in_child(acquire_as_nobody)
