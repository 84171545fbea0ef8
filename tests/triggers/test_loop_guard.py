"""Nothing that a trigger does may hold up the event loop, on which all triggers of a triggerer run."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.triggers import poll_hub
from airflow_provider_avala.triggers.avala import AvalaDatasetTrigger, AvalaExportTrigger
from tests.airflow_support import CONN_ID, Connect, first_event
from tests.triggers.hub_support import finish, lists, running, start, until

#: What Python tells its auditors when something waits for the world outside.
BLOCKING = {
    "fcntl.flock",
    "import",
    "open",
    "os.listdir",
    "socket.connect",
    "socket.getaddrinfo",
    "sqlite3.connect",
    "subprocess.Popen",
}
#: The longest that a step on the loop may keep the processor, in seconds.
LONGEST_STEP = 0.05


@pytest.fixture(autouse=True)
def own_garbage_only() -> Iterator[None]:
    """Airflow's part is not our step: sweeping through all that it has loaded, and what its log reads at first."""
    logging.getLogger(poll_hub.__name__).warning("The first line, for which Airflow asks for the time zone.")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


_watched: dict[int, list[str]] = {}


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in BLOCKING and (seen := _watched.get(threading.get_ident())) is not None:
        seen.append(f"{event} {arguments}")


sys.addaudithook(_audit)


@contextmanager
def blocking_calls() -> Iterator[list[str]]:
    """The calls of this thread that block, for the length of the block."""
    here, sleep = threading.get_ident(), time.sleep
    seen = _watched[here] = []

    def observed(seconds: float) -> None:  # Python 3.11 does not tell its auditors
        if threading.get_ident() == here:
            seen.append(f"time.sleep {seconds}")
        sleep(seconds)

    try:
        with mock.patch("time.sleep", observed):
            yield seen
    finally:
        del _watched[here]


async def watched(work: Callable[[], Awaitable[None]]) -> tuple[list[str], float]:
    """Run something on the loop: what of it blocked, and the longest step in seconds of processor time."""
    longest, task = 0.0, asyncio.ensure_future(work())
    with blocking_calls() as seen:
        before = time.thread_time()
        while not task.done():
            await asyncio.wait([task], timeout=0.001)
            now = time.thread_time()
            longest, before = max(longest, now - before), now
    await task
    return seen, longest


@pytest.fixture
def state_on_disk(avala: Emulator, connect: Connect) -> None:
    """As in production: the limits are kept in a file."""
    connect(avala, rate_limit_store="", rate_limits="100000/1")


@pytest.mark.usefixtures("state_on_disk")
def test_waiting_neither_blocks_nor_keeps_the_loop(avala: Emulator) -> None:
    exports, dataset = running(avala, 300), avala.add_dataset(status="creating")
    avala.inject(faults.status(503), path="/exports/", times=2, skip=3)
    deadline = time.time() + 60

    async def wait() -> None:
        triggers = [AvalaExportTrigger(each, CONN_ID, 0.1, deadline) for each in exports]
        triggers.append(AvalaDatasetTrigger(dataset, CONN_ID, 0.1, deadline))
        waits = start(*map(first_event, triggers))
        await until(lambda: lists(avala) > 12)
        finish(avala, exports)
        avala.store.tables["datasets"][dataset]["_pinned"] = "created"
        assert {(await each)["status"] for each in waits} == {"finished"}

    blocked, longest = asyncio.run(watched(wait))
    assert blocked == []
    assert longest < LONGEST_STEP


@pytest.mark.usefixtures("state_on_disk")
def test_a_thousand_waiters_do_not_keep_the_loop(avala: Emulator) -> None:
    exports = running(avala, 1000)

    async def wait() -> None:
        waits = []
        for each in exports:
            waits += start(first_event(AvalaExportTrigger(each, CONN_ID, 0.5, 2e9)))
            await asyncio.sleep(0)  # as a triggerer does between two triggers
        await until(lambda: lists(avala) >= 20)
        finish(avala, exports)
        assert {(await each)["status"] for each in waits} == {"finished"}

    blocked, longest = asyncio.run(watched(wait))
    assert blocked == []
    assert longest < LONGEST_STEP


def test_the_connection_is_read_in_another_thread(avala: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    export_id, read, readers = avala.add_export(status="exported"), AvalaHook.get_connection, []

    def get_connection(conn_id: str) -> Any:
        readers.append(threading.current_thread())
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return read(conn_id)

    monkeypatch.setattr(AvalaHook, "get_connection", staticmethod(get_connection))
    asyncio.run(first_event(AvalaExportTrigger(export_id, CONN_ID, 0.02, 2e9)))
    assert readers
    assert threading.current_thread() not in readers


@pytest.mark.parametrize(
    "mistake",
    [
        lambda hook: time.sleep(0),
        lambda hook: hook.get_conn().rate_limit_status(),
        lambda hook: hook.get_conn().list_datasets().__next__(),
        lambda hook: sum(range(10_000_000)),
    ],
    ids=["sleep", "lock", "request", "computation"],
)
@pytest.mark.usefixtures("state_on_disk")
def test_the_guard_sees_what_is_done_on_the_loop(mistake: Callable[[AvalaHook], Any]) -> None:
    async def work() -> None:
        mistake(AvalaHook(CONN_ID))

    blocked, longest = asyncio.run(watched(work))
    assert blocked or longest >= LONGEST_STEP


def test_the_hub_uses_up_no_thread_of_the_loops_own(avala: Emulator) -> None:
    ids = running(avala, 30)
    avala.inject(faults.hang_before_commit(30), path="/exports/", times=30)

    async def wait() -> None:
        waits = start(*(first_event(AvalaExportTrigger(each, CONN_ID, 0.02, 2e9)) for each in ids))
        await until(lambda: avala.requests)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 1) == "free"
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)

    avala.clear_requests()
    begin = time.monotonic()
    asyncio.run(wait())
    assert time.monotonic() - begin < 5
    assert not poll_hub._hubs
    avala.clear_faults()
