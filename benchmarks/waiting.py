"""Many exports are waited for in one triggerer process: what does that cost, and how soon is their end noticed?

Run as ``python -m benchmarks.waiting``, for about twelve minutes. Prints a Markdown table. The provider's triggers,
which share one poller, stand beside the naive way: one request for each trigger and interval, with no limit of its own.
The API is the emulator with Avala's documented limits, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import multiprocessing
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from airflow_provider_avala.emulator import running_emulator

_spawn = multiprocessing.get_context("spawn")
_BEAT = 0.005
_LAST_END = 60.0
_HEADS = (
    "",
    "waiting",
    "requests in the busiest minute",
    "429",
    "detected",
    "delay, median",
    "delay, p95",
    "longest stall of the loop",
    "longest step on it",
    "memory per waiter",
)

Wait = Callable[[str], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Case:
    """One run.

    :param way: ``hub`` or ``naive``.
    :param waiting: how many exports are waited for.
    :param interval: seconds between two polls.
    :param seconds: after which to give up.
    :param ends: the seconds between which the exports finish.
    """

    way: str
    waiting: int
    interval: float
    seconds: float
    ends: tuple[float, float] = (10.0, _LAST_END)


@dataclass(frozen=True)
class Found:
    """What the waiting process measured.

    :param detected: when the end of each export was noticed, in seconds since the epoch.
    :param stall: the longest time for which the loop stood still, in seconds.
    :param step: the longest time that the loop's thread used the processor in between, in seconds; what a stall takes
        longer than that is other threads and processes at work.
    :param memory: bytes of memory for each waiter.
    """

    detected: dict[str, float]
    stall: float
    step: float
    memory: float


def main() -> None:
    """Run all cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--waiting", default="10,100,1000,5000", help="how many exports, separated by commas")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two polls")
    parser.add_argument("--ways", default="hub,naive", help="hub, naive or both, separated by a comma")
    options = parser.parse_args()
    print(f"poll_interval {options.interval:g} s, limits 100/60 and 20/1\n")
    print(f"| {' | '.join(_HEADS)} |\n|{'---|' * len(_HEADS)}")
    for way in options.ways.split(","):
        for waiting in map(int, options.waiting.split(",")):
            sweep = max(options.interval, waiting / 100 * 1.2)  # a page each 1.2 s is all that polls may use
            patience = options.interval if way == "naive" else 2.5 * sweep
            print(run(Case(way, waiting, options.interval, _LAST_END + patience)), flush=True)


def run(case: Case) -> str:
    """Run one case and return its line of the table.

    :param case: what to run.
    """
    with _process(_serve, case) as server:
        base_url, api_key, ends = server.recv()
        with _process(_wait_for_all, case, base_url, api_key, list(ends)) as waiter:
            found: Found = waiter.recv()
        server.send("stop")
        requests: list[tuple[float, int]] = server.recv()
    delays = sorted(
        found.detected[each] - end if each in found.detected else math.inf for each, end in ends.items()
    )
    busiest = max(
        sum(at <= other < at + 60 for other, _ in requests) for at, _ in requests[:: len(requests) // 50 + 1]
    )
    rejected = sum(status == 429 for _, status in requests)
    cells = (
        case.way,
        f"{case.waiting:,}",
        f"{busiest:,}",
        f"{rejected:,}",
        f"{len(found.detected) / len(ends):.0%}",
        _seconds(statistics.median_high(delays)),
        _seconds(delays[math.ceil(0.95 * len(delays)) - 1]),
        f"{1000 * found.stall:.0f} ms",
        f"{1000 * found.step:.0f} ms",
        f"{found.memory / 1024:.1f} KiB",
    )
    return f"| {' | '.join(cells)} |"


def _seconds(delay: float) -> str:
    return "not in this run" if math.isinf(delay) else f"{delay:.1f} s"


@contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    here, there = _spawn.Pipe()
    process = _spawn.Process(target=target, args=(there, *arguments))
    process.start()
    there.close()
    try:
        yield here
    finally:
        process.join(10)
        process.kill()


def _serve(pipe: Connection, case: Case) -> None:
    """The API, with exports that run and finish by themselves."""
    with running_emulator() as avala:
        for _ in range(case.waiting):
            avala.add_export(seconds=random.uniform(*case.ends))
        records = avala.store.tables["exports"].values()
        ends = {record["uid"]: record["created_at"] + record["_seconds"] for record in records}
        pipe.send((avala.base_url, avala.api_key, ends))
        pipe.recv()
        asked = [(request.at, request.status or 0) for request in avala.requests]
        pipe.send(asked)


def _wait_for_all(pipe: Connection, case: Case, base_url: str, api_key: str, ids: list[str]) -> None:
    """One process with one loop, as a triggerer is."""
    home = tempfile.mkdtemp(prefix="avala-benchmark-")
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__AVALA__STATE_DIR": f"{home}/limits",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(
            {"conn_type": "avala", "host": base_url, "password": api_key}
        ),
    }
    try:
        wait = (_naive if case.way == "naive" else _hub)(case, base_url, api_key)
        pipe.send(asyncio.run(_measure(wait, case, ids)))
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _measure(wait: Wait, case: Case, ids: list[str]) -> Found:
    detected: dict[str, float] = {}

    async def noticed(export_id: str) -> None:
        await wait(export_id)
        detected[export_id] = time.time()

    # A collection of all that Airflow has loaded stops any process for a tenth of a second; it is not ours to measure.
    gc.collect()
    gc.freeze()
    begin, memory = time.monotonic(), _memory()
    grown, stall, step = 0, 0.0, 0.0
    tasks = []
    for export_id in ids:
        tasks.append(asyncio.create_task(noticed(export_id)))
        await asyncio.sleep(0)  # as Airflow does between two triggers
    before, used = time.monotonic(), time.thread_time()
    while len(detected) < len(ids) and before - begin < case.seconds:
        await asyncio.sleep(_BEAT)
        now = time.monotonic()
        stall, before = max(stall, now - before - _BEAT), now
        step, used = max(step, time.thread_time() - used), time.thread_time()
        if not grown and now - begin > 0.9 * case.ends[0]:
            grown = _memory() - memory
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return Found(detected, stall, step, max(0, grown) / len(ids))


def _hub(case: Case, base_url: str, api_key: str) -> Wait:
    from airflow_provider_avala.api import client  # noqa: F401  # loaded before memory is measured
    from airflow_provider_avala.triggers.avala import AvalaExportTrigger

    async def wait(export_id: str) -> None:
        trigger = AvalaExportTrigger(export_id, "avala_default", case.interval, time.time() + 86400)
        async for event in trigger.run():
            if event.payload["status"] != "finished":
                raise RuntimeError(event.payload)

    return wait


def _naive(case: Case, base_url: str, api_key: str) -> Wait:
    """What a trigger looks like that knows of no other: ask, sleep, ask again, come what may."""
    import requests

    session = requests.Session()
    session.headers["X-Avala-Api-Key"] = api_key

    async def wait(export_id: str) -> None:
        while True:
            answer = await asyncio.to_thread(session.get, f"{base_url}/exports/{export_id}/")
            if answer.status_code == 200 and answer.json()["status"] in ("exported", "failed"):
                return
            await asyncio.sleep(case.interval)

    return wait


def _memory() -> int:
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
