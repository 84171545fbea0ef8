"""Workers are killed with -9 while they upload items, and Airflow's retries go on: is every row stored, and once?

Run as ``python -m benchmarks.killed_uploads --kills 100``. The operator runs in processes of its own, which are killed
at random moments; its journal is kept in a file, by Airflow's task state or by itself. The emulator is the witness.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_avala.emulator import SEED_DATASET_ID, Emulator, faults, running_emulator
from benchmarks.killed_exports import Notes

_PRELOADED = ("airflow_provider_avala.operators.avala", "airflow_provider_avala.api.uploads", __name__)
_ROWS, _RETRIES = 60, 1000
#: Seconds that the server takes for each answer; an upload of all parts takes about 15 of them.
_DELAY = 0.03


def attempt(connection: str, run: str, tries: int, folder: Path, state: bool, pipe: Connection) -> None:
    """One worker's life: upload, and tell what the operator returns."""
    os.environ["AIRFLOW_CONN_AVALA_DEFAULT"] = connection
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Airflow's log; errors are told on stderr
    from airflow_provider_avala.operators.avala import AvalaUploadItemsOperator

    ti = SimpleNamespace(
        dag_id="labels", task_id="upload", run_id=run, map_index=-1, max_tries=_RETRIES, try_number=tries
    )
    context: Any = {"ti": ti}
    if state:
        context["task_state_store"] = Notes(folder / "state.json")
    task = AvalaUploadItemsOperator(
        task_id="upload",
        dataset_id=SEED_DATASET_ID,
        source=folder / "items.jsonl",
        part_size=60,
        concurrency=2,
        retries=_RETRIES,
    )
    pipe.send("begin")
    pipe.send(task.execute(context))


def torment(
    avala: Emulator, folder: Path, run: str, rng: random.Random, kills: int
) -> tuple[int, dict[str, Any]]:
    """Upload some rows, over so many deaths of the worker; return how many were killed and what the last one returned.

    :raises AssertionError: if a row is missing or stored twice.
    """
    rows = [{"run": run, "row": row} for row in range(_ROWS)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    extra = {"rate_limits": "100000/1", "rate_limit_store": "memory"}
    connection = json.dumps(
        {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key, "extra": extra}
    )
    state, killed = rng.random() < 0.5, 0
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(list(_PRELOADED))
    for tries in range(1, _RETRIES):
        avala.clear_faults()
        avala.clear_requests()
        for _ in range(5):
            slow = rng.choice((faults.hang_before_commit, faults.hang_after_commit))
            avala.inject(slow(_DELAY), method="POST", times=10)
        ours, theirs = processes.Pipe()
        process = processes.Process(target=attempt, args=(connection, run, tries, folder, state, theirs))
        process.start()
        theirs.close()
        if not ours.poll(60) or ours.recv() != "begin":
            raise RuntimeError("the worker did not begin")
        if killed < kills and _comes(avala, rng.randint(0, 8), rng.uniform(0, _DELAY), ours):
            process.kill()
            killed += 1
            process.join()
            continue
        found: dict[str, Any] = ours.recv()
        process.join()
        stored = Counter(row["row"] for row in avala.items(SEED_DATASET_ID) if row["run"] == run)
        assert stored == Counter(range(_ROWS)), f"{run}: {stored}"  # noqa: S101
        assert found["items"] == _ROWS, found  # noqa: S101
        return killed, found
    raise AssertionError("unreachable")


def _comes(avala: Emulator, requests: int, later: float, worker: Connection) -> bool:
    """Wait for so many requests of this worker, and a little longer; whether that came before the worker's end."""
    while len(avala.requests_to("POST")) < requests:
        if worker.poll(0.002):
            return False
    return not worker.poll(later)


def run(kills: int, seed: int = 1) -> Counter[str]:
    """Kill so many workers, and count what happened."""
    counts, rng = Counter[str](), random.Random(seed)
    with running_emulator(rate_limits=None) as avala, tempfile.TemporaryDirectory() as home:
        while counts["workers killed"] < kills:
            folder = Path(home) / str(counts["uploads"])
            folder.mkdir()
            killed, found = torment(avala, folder, f"run {counts['uploads']}", rng, rng.randint(1, 5))
            counts["uploads"] += 1
            counts["workers killed"] += killed
            counts["parts taken over by the last attempt"] += found["resumed_parts"]
            counts["parts sent again by the last attempt"] += found["unknown_parts"]
    return counts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100, help="how many workers to kill at least")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        print("|  | number |\n| --- | --- |")
        for what, number in run(options.kills, options.seed).items():
            print(f"| {what} | {number} |")


if __name__ == "__main__":
    main()
