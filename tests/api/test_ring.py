"""The file that the processes of a host share: exact, and hard to break."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from itertools import chain

import pytest

from airflow_provider_avala.api import ring as ring_module
from airflow_provider_avala.api.clock import SYSTEM_CLOCK
from airflow_provider_avala.api.errors import AvalaRateLimitTimeout
from airflow_provider_avala.api.limits import Limit
from airflow_provider_avala.api.ring import FileRing
from tests.api.loopback import Clock
from tests.api.processes import for_ever, in_child, in_children, kill_self, running, until

BOTH = (Limit(20, 6), Limit(5, 1))


def slots_of(directory, count, limits=BOTH):
    """Book so many slots on a clock of one's own, and return their times."""
    clock = Clock()
    ring = FileRing("key", limits, str(directory), clock, margin=0)
    slots = []
    for _ in range(count):
        ring.acquire(1e5)
        slots.append(clock.now)
    return slots


def assert_windows_hold(slots, limits=BOTH):
    slots = sorted(slots)
    for limit in limits:
        for earlier, later in zip(slots, slots[limit.requests :], strict=False):
            assert later - earlier >= limit.seconds - 1e-6


def half_a_booking(ring):
    """Die after the first of the two writes; for a child process."""
    write = os.pwrite

    def write_once(*arguments):
        write(*arguments)
        kill_self()

    os.pwrite = write_once
    ring.acquire(0)


def the_file(directory):
    (path,) = directory.iterdir()
    return path


def test_eight_processes_get_every_slot_once_and_lose_none(tmp_path):
    slots = list(chain(*in_children([partial(slots_of, tmp_path, 100)] * 8)))
    assert_windows_hold(slots)
    assert max(slots) - min(slots) == pytest.approx(
        39 * 6 + 3
    )  # 40 windows of 20, the last one's in four bursts


def test_children_that_share_one_limiter_object_exclude_each_other(tmp_path):
    ring = FileRing("key", BOTH, str(tmp_path), Clock(), margin=0)

    def book():
        return [ring._book(1e5).at for _ in range(100)]

    slots = list(chain(*in_children([book] * 4)))
    assert_windows_hold(slots)
    assert len(slots) == 400


def test_killing_processes_at_random_moments_breaks_no_window_and_holds_nobody_up(tmp_path):
    limits = (Limit(20, 6e-3), Limit(5, 1e-3))

    def book_for_ever(ready):
        ring = FileRing("key", limits, str(tmp_path), margin=0)
        ring.acquire(60)
        ready()
        while True:
            ring.acquire(60)

    survivor = FileRing("key", limits, str(tmp_path), margin=0)
    chance, slots = random.Random(7), []
    for _ in range(15):
        with running(book_for_ever) as child:
            end = time.monotonic() + chance.uniform(0, 0.03)
            while time.monotonic() < end:
                slots.append(survivor._book(60).at)
            os.kill(child.pid, signal.SIGKILL)
            slots.append(survivor._book(60).at)
    assert_windows_hold(slots, limits)
    assert slots[-1] - time.monotonic() < 1
    assert the_file(tmp_path).stat().st_size == 32 + 8 * 20


def test_a_kill_between_the_two_writes_of_a_booking_costs_nobody_a_window(tmp_path):
    clock = Clock()
    ring = FileRing("key", (Limit(3, 60),), str(tmp_path), clock, margin=0)
    for _ in range(3):
        ring.acquire(0)
        clock.now += 30
    with pytest.raises(EOFError):
        in_child(partial(half_a_booking, ring))
    assert ring.acquire(0) == 0


def test_no_window_overflows_after_kills_between_the_two_writes(tmp_path):
    clock, chance, slots = Clock(), random.Random(3), []
    ring = FileRing("key", BOTH, str(tmp_path), clock, margin=0)

    for _ in range(30):
        for _ in range(chance.randrange(12)):
            ring.acquire(60)
            slots.append(clock.now)
        with suppress(EOFError, AvalaRateLimitTimeout):
            in_child(partial(half_a_booking, ring))
    assert_windows_hold(slots)


def test_a_frozen_holder_of_the_lock_holds_others_up_for_a_bounded_time_only(tmp_path, monkeypatch):
    monkeypatch.setattr(ring_module, "LOCK_TIMEOUT", 0.3)
    ring = FileRing("key", BOTH, str(tmp_path))
    ring.acquire(0)

    def hold(ready):
        descriptor = os.open(the_file(tmp_path), os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        ready()
        for_ever()

    with running(hold) as holder:
        os.kill(holder.pid, signal.SIGSTOP)
        begin = time.monotonic()
        with pytest.raises(TimeoutError, match="a frozen process has held the lock"):
            ring.acquire(0)
        assert 0.3 <= time.monotonic() - begin < 5
    assert ring.acquire(0) < 1


def test_a_fork_in_the_middle_of_a_booking_does_not_leave_the_lock_with_the_child(tmp_path):
    ring = FileRing("key", BOTH, str(tmp_path))

    def stay(ready):
        ready()
        for_ever()

    with ring._locked():
        child = running(stay)
        child.__enter__()
    try:
        assert ring.acquire(0) < 1
    finally:
        child.__exit__(None, None, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 192,
        b"x",
        os.urandom(192),
        b"avalaRL1" + b"\xff" * 184,
        b"avalaRL1" + b"\xff" * 5000,
        b"avalaRL1",
        b"#!/bin/sh\n" * 100,
    ],
    ids=["empty", "zeros", "short", "random", "damaged", "too long", "cut", "foreign"],
)
def test_a_file_of_any_content_is_taken_over(tmp_path, content):
    clock = Clock()
    ring = FileRing("key", BOTH, str(tmp_path), clock, margin=0)
    ring.acquire(0)
    the_file(tmp_path).write_bytes(content)
    slots = []
    for _ in range(60):
        ring.acquire(60)
        slots.append(clock.now)
    assert slots[0] == 1_000_000
    assert_windows_hold(slots)
    assert the_file(tmp_path).stat().st_size == 32 + 8 * 20


@pytest.mark.parametrize("field", [1, 2, 3, 4], ids=["count", "blocked", "announced", "slot"])
@pytest.mark.parametrize("value", [0, 1, 2**63, 2**64 - 1, 0x7FF8000000000000, 0x41CDCD6500000000])
def test_a_file_with_one_damaged_field_delays_by_a_pause_at_most(tmp_path, field, value):
    clock = Clock()
    ring = FileRing("key", BOTH, str(tmp_path), clock, margin=0)
    ring.acquire(0)
    with the_file(tmp_path).open("r+b") as file:
        file.seek(8 * field)
        file.write(struct.pack("=Q", value))
    slots = []
    for _ in range(45):
        ring.acquire(7200)
        slots.append(clock.now)
    assert_windows_hold(slots)


def test_a_pause_still_works_after_a_damaged_one(tmp_path):
    clock = Clock()
    ring = FileRing("key", BOTH, str(tmp_path), clock, margin=0)
    ring.acquire(0)
    with the_file(tmp_path).open("r+b") as file:
        file.seek(16)
        file.write(struct.pack("=d", 1e300))
    assert ring.acquire(0) == 0
    ring.pause(9)
    assert ring.acquire(60) == 9


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path):
    ring = FileRing("key", BOTH, str(tmp_path / "state"))
    ring.acquire(0)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file = the_file(tmp_path / "state")
    file.unlink()
    file.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        ring.acquire(0)
    assert victim.read_text() == "precious"


def test_a_directory_that_was_tidied_away_is_made_again(tmp_path):
    ring = FileRing("key", BOTH, str(tmp_path / "state"))
    ring.acquire(0)
    the_file(tmp_path / "state").unlink()
    (tmp_path / "state").rmdir()
    assert ring.acquire(0) < 1
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_the_file_is_private_and_says_nothing_about_the_key(tmp_path):
    FileRing("owner-digest", BOTH, str(tmp_path)).acquire(0)
    file = the_file(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "owner" not in file.name
    assert b"owner" not in file.read_bytes()


def test_other_keys_other_limits_and_other_directories_are_apart(tmp_path):
    one = (Limit(1, 60),)
    FileRing("key", one, str(tmp_path / "a")).acquire(0)
    FileRing("another", one, str(tmp_path / "a")).acquire(0)
    FileRing("key", (Limit(1, 61),), str(tmp_path / "a")).acquire(0)
    FileRing("key", one, str(tmp_path / "b")).acquire(0)
    assert FileRing("key", one, str(tmp_path / "a")).status().limits[0].free == 0


def test_bookings_from_before_a_restart_of_the_machine_are_left_behind(tmp_path, monkeypatch):
    FileRing("key", (Limit(1, 60),), str(tmp_path)).acquire(0)
    monkeypatch.setattr(
        ring_module, "boot_id", lambda: "the next start, with a monotonic clock that begins anew"
    )
    assert FileRing("key", (Limit(1, 60),), str(tmp_path)).acquire(0) < 1


def test_another_process_finds_the_same_file(tmp_path):
    FileRing("key", BOTH, str(tmp_path)).acquire(0)
    code = (
        "import sys; from airflow_provider_avala.api.ring import FileRing, Limit;"
        "ring = FileRing('key', (Limit(20, 6), Limit(5, 1)), sys.argv[1]);"
        "print(ring.status().limits[0].booked)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_steps_of_the_wall_clock_change_nothing(tmp_path):
    class Unset(Clock):
        def time(self):
            raise AssertionError("the wall clock can be set")

    ring = FileRing("key", BOTH, str(tmp_path), Unset(), margin=0)
    assert [ring.acquire(60) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    ring.pause(1), ring.announce(3), ring.status()


def test_a_pause_reaches_a_process_that_is_asleep(tmp_path):
    ring = FileRing("key", (Limit(1, 0.5),), str(tmp_path), margin=0)
    ring.acquire(0)

    def wait(ready):
        mine = FileRing("key", (Limit(1, 0.5),), str(tmp_path), Announcing(ready), margin=0)
        mine.acquire(60)
        (tmp_path / "done").write_text(str(time.monotonic()))

    with running(wait) as child:
        paused_until = time.monotonic() + 1.2
        ring.pause(1.2)
        child.join(30)
    assert float((tmp_path / "done").read_text()) >= paused_until


class Announcing:
    """The machine's time; tells when somebody goes to sleep."""

    def __init__(self, ready):
        self._ready = ready
        self.monotonic = SYSTEM_CLOCK.monotonic

    def sleep(self, seconds):
        self._ready()
        SYSTEM_CLOCK.sleep(seconds)


def test_waiting_costs_no_processor_time(tmp_path):
    ring = FileRing("key", (Limit(1, 1),), str(tmp_path), margin=0)
    ring.acquire(0)
    begin = time.process_time()
    assert ring.acquire(5) == pytest.approx(1, abs=0.5)
    assert time.process_time() - begin < 0.1


def test_an_acquire_costs_little(tmp_path):
    ring = FileRing("key", (Limit(100, 1e-6), Limit(20, 1e-7)), str(tmp_path), margin=0)

    def cost():
        begin = time.process_time()
        for _ in range(300):
            ring.acquire(1)
        return (time.process_time() - begin) / 300

    best = []
    until(lambda: best.append(cost()) or min(best) < 50e-6, patience=20)
