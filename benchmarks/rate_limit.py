"""Several processes share one key against a server that keeps its limits to the letter: who gets how much through?

Run as ``python -m benchmarks.rate_limit``. Prints a Markdown table. Installs nothing: contenders that are not installed
are named, with what to install.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import timeit
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from airflow_provider_avala.api.limiter import Limiter, MemoryLimiter
from airflow_provider_avala.api.limits import Limit
from airflow_provider_avala.api.redis_ring import RedisRing
from airflow_provider_avala.api.ring import FileRing
from benchmarks.contenders import CONTENDERS, Contender, Task
from benchmarks.strict_server import ideal, parse
from tests.api.redis_server import RedisServer, find_server

_fork = multiprocessing.get_context("fork")
_HEADS = ("", "429", "admitted / ideal", "fairness", "CPU ms/call", "429 of a fixed-window server")


@dataclass(frozen=True)
class Result:
    """How a contender did.

    :param admitted: requests that the server let through.
    :param refused: answers of 429.
    :param by_process: the requests let through for each process.
    :param cpu: seconds of processor time that all processes took.
    :param fixed_windows: for each limit, how many of the requests a server with fixed windows would have refused, for
        the kindest and the cruellest phase of its windows.
    """

    admitted: int
    refused: int
    by_process: list[int]
    cpu: float
    fixed_windows: list[list[int]]

    def cells(self, best: int) -> tuple[object, ...]:
        """The result as cells of the table."""
        return (
            self.refused,
            f"{self.admitted / best:.3f}",
            f"{min(self.by_process)}/{max(self.by_process)}",
            f"{self.cpu / max(1, self.admitted) * 1000:.2f}",
            ", ".join(f"{low}-{high}" for low, high in self.fixed_windows),
        )


@dataclass
class Worker:
    """A process of a contender.

    :param process: the process.
    :param cpu_before: seconds of processor time that it took to get ready.
    """

    process: Any
    cpu_before: float

    def end(self) -> float:
        """Kill it, and return the seconds of processor time that its work took."""
        os.kill(self.process.pid, signal.SIGKILL)
        _, _, usage = os.wait4(self.process.pid, 0)
        return usage.ru_utime + usage.ru_stime - self.cpu_before


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--limits", default="100/6,20/1", help="requests/seconds, several separated by commas"
    )
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=24)
    parser.add_argument("--only", default="", help="only contenders whose name contains this")
    options = parser.parse_args()
    best = ideal(parse(options.limits), options.seconds)
    print(
        f"{options.processes} processes, one key, {options.limits} (sliding windows), {options.seconds:g} s;"
        f" at best {best} requests\n"
    )
    print_row(*_HEADS)
    print_row(*["---"] * len(_HEADS))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        redis = stack.enter_context(RedisServer()).url if find_server() else ""
        for number, contender in enumerate(each for each in CONTENDERS if options.only in each.name):
            place = Path(folder) / str(number)
            place.mkdir(mode=0o700)
            task = Task("", "", options.limits, options.processes, place, redis)
            missing = _missing(contender, redis)
            result = None if missing else measure(contender, task, options.seconds)
            print_row(contender.name, *(result.cells(best) if result else (missing, *[""] * 4)))
        print(f"\nOne acquire that need not wait: {_costs(Path(folder), redis)}.")
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {_versions()}.")


def print_row(*cells: object) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _missing(contender: Contender, redis: str) -> str:
    module, packages = contender.needs
    found = importlib.util.find_spec(module) and (redis or module != "redis")
    return "" if found else f"not installed: pip install {packages}"


def measure(contender: Contender, task: Task, seconds: float) -> Result:
    """Let a contender work against a server of its own.

    :param contender: who.
    :param task: what; its URL and its key are filled in here.
    :param seconds: how long.
    """
    with serving(task.limits) as url:
        cpu = _run(contender, replace(task, url=url), seconds)
        report = fetch_report(url, seconds)
    return Result(
        report["admitted"],
        report["refused"],
        [report["by_client"].get(str(number), 0) for number in range(task.processes)],
        cpu,
        report["fixed_windows"],
    )


@contextmanager
def serving(limits: str) -> Iterator[str]:
    """Run the strict server in a process of its own; gives its URL.

    :param limits: the limits that it keeps.
    """
    command = [sys.executable, "-m", "benchmarks.strict_server", limits]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  # ourselves
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline() if server.stdout else 0)}"
        finally:
            server.kill()


def fetch_report(url: str, seconds: float) -> Any:
    """What the strict server saw.

    :param url: its URL.
    :param seconds: how many, from the first request on, count.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/report?seconds={seconds}") as answer:
        return json.load(answer)


def _run(contender: Contender, task: Task, seconds: float) -> float:
    """Let the processes work for so long; return the processor time of all."""
    go = _fork.Event()
    workers = [_start(contender, replace(task, key=str(number)), go) for number in range(task.processes)]
    go.set()
    end, cpu, chance = time.monotonic() + seconds + 0.5, 0.0, random.Random(1)
    while contender.kills and (pause := chance.uniform(1, 4)) < end - time.monotonic():
        time.sleep(pause)
        victim = chance.randrange(max(1, task.processes // 3))
        cpu += workers[victim].end()
        workers[victim] = _start(contender, replace(task, key=str(victim)), go)
    time.sleep(max(0.0, end - time.monotonic()))
    return cpu + sum(worker.end() for worker in workers)


def _start(contender: Contender, task: Task, go: Event) -> Worker:
    receive, send = _fork.Pipe(duplex=False)
    process = _fork.Process(target=_work, args=(contender, task, send, go))
    process.start()
    send.close()
    return Worker(process, receive.recv())


def _work(contender: Contender, task: Task, ready: Any, go: Event) -> None:
    call = contender.prepare(task)
    ready.send(time.process_time())
    go.wait()
    while True:
        call()


def _costs(folder: Path, redis: str) -> str:
    never_full = (Limit(100, 1e-6), Limit(20, 1e-7))
    limiters: dict[str, Limiter] = {
        "file ring": FileRing("cost", never_full, str(folder), margin=0),
        "memory": MemoryLimiter(never_full, margin=0),
    }
    if redis and importlib.util.find_spec("redis"):
        limiters["Redis"] = RedisRing("cost", never_full, redis, margin=0)
    costs = {
        name: min(timeit.repeat(partial(each.acquire, 1), number=1000, repeat=7)) * 1000
        for name, each in limiters.items()
    }
    return ", ".join(f"{name} {cost:.0f} µs" for name, cost in costs.items())


def _versions() -> str:
    packages = ["requests", "tenacity", "pyrate-limiter", "filelock", "avala", "redis"]
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    main()
