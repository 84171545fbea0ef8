"""Work and waiting on one key: how much longer does an operator's call wait because sensors and a triggerer poll?

Run as ``python -m benchmarks.mixed_load``. One process uploads in bursts, ten poll as sensors do and one as a triggerer
does, against a server that keeps its limits to the letter; then the same without the polls. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_provider_avala.api.limiter import Limiter, open_limiter
from benchmarks.contenders import Task, new_session
from benchmarks.rate_limit import fetch_report, print_row, serving

_fork = multiprocessing.get_context("fork")
#: Parts of one upload, how many travel at a time, and seconds between two uploads.
PARTS, CONCURRENCY, GAP = 30, 4, 6.0
SENSORS, SENSOR_INTERVAL, TRIGGERER_INTERVAL = 10, 1.0, 0.5


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--limits", default="100/6,20/1", help="requests/seconds, several separated by commas"
    )
    parser.add_argument("--seconds", type=float, default=36)
    options = parser.parse_args()
    print(
        f"An operator that sends {PARTS} parts every {GAP:g} s, {CONCURRENCY} at a time; limits {options.limits};"
        f" {options.seconds:g} s\n"
    )
    print_row("", "429", "operator's calls", "mean wait", "longest wait", "polls")
    print_row(*["---"] * 6)
    for name, polls in (("operator alone", False), (f"with {SENSORS} sensors and a triggerer", True)):
        print_row(name, *measure(options.limits, options.seconds, polls=polls))


def measure(limits: str, seconds: float, *, polls: bool) -> tuple[object, ...]:
    """Let the operator work, with or without polls beside it, and return the cells of the table.

    :param limits: the key's limits.
    :param seconds: how long.
    :param polls: whether sensors and a triggerer poll meanwhile.
    """
    with tempfile.TemporaryDirectory() as folder, serving(limits) as url:
        task = Task(url, "operator", limits, 1, Path(folder), "")
        intervals = [SENSOR_INTERVAL] * SENSORS + [TRIGGERER_INTERVAL] if polls else []
        others = [
            _start(_poll, replace(task, key=f"poll{number}"), gap) for number, gap in enumerate(intervals)
        ]
        try:
            waits = _work(task, time.monotonic() + seconds)
        finally:
            for process in others:
                process.kill()
                process.join()
        seen = fetch_report(url, seconds)
    polled = seen["admitted"] - seen["by_client"].get("operator", 0)
    return seen["refused"], len(waits), f"{statistics.mean(waits):.2f} s", f"{max(waits):.2f} s", polled


def _start(target: Any, *arguments: Any) -> Any:
    process = _fork.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def _limiter(task: Task, portion: float) -> Limiter:
    return open_limiter("bench", task.parsed, state_dir=str(task.folder), portion=portion)


def _work(task: Task, end: float) -> list[float]:
    limiter, http = _limiter(task, 1.0), new_session(task)

    def send(_: int) -> float:
        waited = limiter.acquire(3600)
        http.get(f"{task.url}/datasets/", timeout=30)
        return waited

    waits: list[float] = []
    with ThreadPoolExecutor(CONCURRENCY) as threads:
        while (begin := time.monotonic()) < end - GAP:
            waits += threads.map(send, range(PARTS))
            time.sleep(max(0.0, begin + GAP - time.monotonic()))
    return waits


def _poll(task: Task, interval: float) -> None:
    limiter, http = _limiter(task, 0.5), new_session(task)
    while True:
        begin = time.monotonic()
        limiter.acquire(3600)
        http.get(f"{task.url}/exports/", timeout=30)
        time.sleep(max(0.0, begin + interval - time.monotonic()))


if __name__ == "__main__":
    main()
