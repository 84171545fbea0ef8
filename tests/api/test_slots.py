"""How many may do something at a time, on one host."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from airflow_provider_avala.api import slots as slots_module
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaRateLimitTimeout
from airflow_provider_avala.api.slots import Slots
from tests.api.loopback import Clock
from tests.api.processes import for_ever, in_child, in_children, running, until


@pytest.fixture
def slots(tmp_path):
    """Five places."""
    return Slots("owner", "exports", 5, state_dir=str(tmp_path / "state"))


def free_places(slots):
    taken = 0
    with ExitStack() as stack:
        try:
            while True:
                stack.enter_context(slots.hold(0))
                taken += 1
        except AvalaRateLimitTimeout:
            return taken


def test_there_are_as_many_places_as_said_and_they_are_free_again_afterwards(slots):
    assert free_places(slots) == 5
    with slots.hold(0) as waited:
        assert waited < 1
        assert free_places(slots) == 4
    assert free_places(slots) == 5


def test_a_place_is_free_again_after_an_error(slots):
    with pytest.raises(RuntimeError), slots.hold(0):
        raise RuntimeError
    assert free_places(slots) == 5


def test_other_processes_threads_and_objects_share_the_places(slots, tmp_path):
    with slots.hold(0), slots.hold(0):
        assert in_child(lambda: free_places(slots)) == 3
        assert free_places(Slots("owner", "exports", 5, state_dir=str(tmp_path / "state"))) == 3
        found = []
        thread = threading.Thread(target=lambda: found.append(free_places(slots)))
        thread.start()
        thread.join()
        assert found == [3]


def test_other_keys_and_other_purposes_have_places_of_their_own(slots, tmp_path):
    with slots.hold(0):
        assert free_places(Slots("another", "exports", 5, state_dir=str(tmp_path / "state"))) == 5
        assert free_places(Slots("owner", "uploads", 10, state_dir=str(tmp_path / "state"))) == 10


def test_a_killed_holder_frees_its_place(slots):
    def hold(ready):
        with slots.hold(0):
            ready()
            for_ever()

    with running(hold) as holder:
        assert free_places(slots) == 4
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        assert free_places(slots) == 5


def test_a_child_of_the_holder_does_not_keep_the_place(slots):
    def stay(ready):
        ready()
        for_ever()

    with ExitStack() as stack:
        with slots.hold(0):
            stack.enter_context(running(stay))
        assert free_places(slots) == 5


def test_a_child_that_leaves_the_block_does_not_free_the_place_of_its_parent(slots):
    def leave(context, descriptor):
        os.dup2(1, descriptor)  # the child has a file of its own there by now
        context.__exit__(None, None, None)
        os.fstat(descriptor)

    with ExitStack() as stack:
        place = slots.hold(0)
        stack.enter_context(place)
        (descriptor,) = slots_module._held
        in_child(lambda: leave(place, descriptor))
        assert free_places(slots) == 4


def test_who_waits_gets_the_place_that_is_given_back(slots):
    clock = Clock()
    waiter = Slots("owner", "exports", 5, state_dir=str(slots._dir.path), clock=clock)
    with ExitStack() as stack:
        holders = [stack.enter_context(ExitStack()) for _ in range(5)]
        for holder in holders:
            holder.enter_context(slots.hold(0))

        def give_back_after_a_while(seconds):
            clock.now += seconds
            if clock.now > 1_000_003:
                holders[2].close()

        clock.sleep = give_back_after_a_while
        with waiter.hold(10) as waited:
            assert 3 < waited < 4


def test_a_time_out_says_what_is_full_and_is_not_passed(slots):
    clock = Clock()
    waiter = Slots("owner", "exports", 5, state_dir=str(slots._dir.path), clock=clock)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(slots.hold(0))
        with (
            pytest.raises(
                AvalaRateLimitTimeout, match=r"all 5 places for exports .* raise max_concurrent_exports"
            ),
            waiter.hold(60),
        ):
            pass
    assert clock.now == pytest.approx(1_000_060)
    assert max(clock.sleeps) <= 0.75
    assert free_places(slots) == 5


def test_never_more_than_the_number_work_at_the_same_time(tmp_path):
    slots = Slots("owner", "uploads", 2, state_dir=str(tmp_path / "state"))
    present = tmp_path / "present"
    present.mkdir()

    def work():
        most = 0
        for _ in range(20):
            with slots.hold(60):
                mine = present / str(os.getpid())
                mine.touch()
                most = max(most, len(list(present.iterdir())))
                mine.unlink()
        return most

    assert max(in_children([work] * 5)) <= 2


def test_without_a_usable_directory_the_number_holds_in_the_process_after_one_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "below"
    slots = Slots("owner", "uploads", 3, state_dir=str(directory))
    with slots.hold(0):
        assert free_places(slots) == 2
        assert in_child(lambda: free_places(slots)) == 3
    assert free_places(slots) == 3
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "How many uploads run at a time is limited within this process only" in warning
    assert str(directory) in warning


def test_the_files_are_private_and_say_nothing(slots):
    free_places(slots)
    files = list(slots._dir.path.iterdir())
    assert len(files) == 5
    assert all("owner" not in file.name and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert all(file.stat().st_size == 0 for file in files)


@pytest.mark.parametrize("count", [0, -1])
def test_no_place_at_all_is_refused_by_the_name_of_its_field(count):
    with pytest.raises(AvalaConfigurationError, match=f"^max_concurrent_uploads: {count} is not at least 1"):
        Slots("owner", "uploads", count)


def test_whoever_waits_gets_a_place_in_the_end(tmp_path):
    slots = Slots("owner", "exports", 1, state_dir=str(tmp_path))

    def hold(ready):
        with slots.hold(0):
            ready()
            for_ever()

    with running(hold) as holder:
        got = threading.Event()

        def wait():
            with slots.hold(60):
                got.set()

        thread = threading.Thread(target=wait)
        thread.start()
        os.kill(holder.pid, signal.SIGKILL)
        until(got.is_set)
        thread.join()


def test_the_places_in_use_are_counted_across_processes_and_stay_free(tmp_path: Path) -> None:
    slots = Slots("me", "uploads", 3, state_dir=str(tmp_path))
    others = Slots("me", "uploads", 3, state_dir=str(tmp_path))
    assert others.in_use() == 0
    with slots.hold(0), slots.hold(0):
        assert others.in_use() == 2
        with others.hold(0):
            assert slots.in_use() == 3
    assert slots.in_use() == 0
