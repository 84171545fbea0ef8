"""Hundreds of DAG runs on a real Airflow while calls fail: is anything doubled, lost, stuck or leaked?

Run as ``python -m benchmarks.soak --minutes 10``, or ``make soak``. Scheduler, triggerer, dag-processor and api-server
run as processes, the emulator in this one. Each DAG run fills a dataset of its own, exports it, waits in the triggerer
and downloads the export; beside them one process does the same through the hook, without end. Prints what was seen,
and fails if a row or an export is there twice, a row is missing, or a task neither succeeds nor fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from airflow_provider_avala.emulator import Emulator, faults, recorder, running_emulator
from benchmarks.rate_limit import print_row
from benchmarks.soak_runs import DAG_ID, Load, say
from benchmarks.soak_tally import Job, Tally, calls
from benchmarks.vitals import lasting
from scripts.local_airflow import LocalAirflow
from scripts.processes import end_on_signals

DAG_FILE = Path(__file__).parent / "dags" / f"{DAG_ID}.py"
#: What both sides keep, so that a 429 of the rate limit which nobody injected would be a mistake of ours.
LIMITS = "3000/60"
EXPORT_SECONDS = 2.0
API_FAULTS = (
    faults.status(500),
    faults.status(503),
    faults.status(503, after_commit=True),
    faults.status(429, headers={"Retry-After": "1"}),
    faults.reset_before_commit(),
    faults.reset_after_commit(),
    faults.truncated(),
)
STORAGE_FAULTS = (faults.status(503), faults.reset_mid_body(), faults.truncated())


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10, help="how long runs are started (%(default)s)")
    parser.add_argument("--runs", type=int, default=600, help="the most DAG runs (%(default)s)")
    parser.add_argument("--workers", type=int, default=8, help="of the executor (%(default)s)")
    parser.add_argument(
        "--fault-rate", type=float, default=0.05, help="part of the calls that fail (%(default)s)"
    )
    parser.add_argument(
        "--database", default="", help="SQLAlchemy URL of Airflow's database (a file of SQLite)"
    )
    options = parser.parse_args()
    end_on_signals()
    recorder.RECORD_CAP = 1_000_000  # every request is counted
    limits = {"rate_limits": LIMITS, "export_seconds": EXPORT_SECONDS}
    with tempfile.TemporaryDirectory() as name, running_emulator(**limits) as avala:
        folder = Path(name)
        with LocalAirflow(folder / "airflow", dags_folder=_dags(folder), env=_env(avala, options)) as airflow:
            airflow.wait_for_dag(DAG_ID)
            order(avala, options.fault_rate)
            load = Load(airflow, avala, folder)
            begin, load_before = time.monotonic(), os.getloadavg()[0]
            load.run(options.minutes * 60, options.runs, 2 * options.workers)
            seconds = time.monotonic() - begin
            states = load.states()
            stuck = load.unfinished_tasks(states)
        return report(avala, load, states, stuck, f"{seconds:.0f} s; load average {load_before:.1f} before")


def order(avala: Emulator, rate: float) -> None:
    """Let a part of all calls fail: each kind of failure as often as the others, evenly spread."""
    for origin, kinds in (("api", API_FAULTS), ("storage", STORAGE_FAULTS)) if rate else ():
        every = max(len(kinds), round(len(kinds) / rate))
        for position, fault in enumerate(kinds):
            avala.inject(fault, origin=origin, times=None, skip=position * every // len(kinds), every=every)


def report(avala: Emulator, load: Load, states: dict[str, str], stuck: list[str], title: str) -> int:
    """Print what was seen; 0 if nothing was doubled, lost or stuck."""
    outcomes = Counter(states.values())
    done = load.steady_done()
    tally = Tally()
    for job in load.jobs.values():
        _count(avala, tally, job, succeeded=states[job.name] == "success")
    begun = [job for job in load.steady_jobs if avala.items(job.dataset_id)]
    for job in begun:
        _count(avala, tally, job, succeeded=job.name in done)
    seen = calls(avala.requests)
    print(f"{title}, {os.getloadavg()[0]:.1f} after\n")
    print_row("what", "seen")
    print_row("---", "---")
    print_row("DAG runs", f"{len(states)}: " + ", ".join(f"{n} {state}" for state, n in outcomes.items()))
    print_row("jobs of the process beside Airflow", f"{len(done)} of {len(begun)} done")
    print_row("calls, with faults", f"{seen['calls']}, {seen['faults']}")
    for name in list(seen)[2:]:
        print_row(name, seen[name])
    print_row("exports, beyond one for each run", f"{tally.exports}, {tally.double_exports}")
    print_row("rows stored, doubled, lost", f"{tally.stored}, {tally.double_rows}, {tally.lost_rows}")
    print_row("stuck tasks", len(stuck))
    print("\nDescriptors, threads, MB after the warm-up, in the middle, at the end\n")
    print_row("processes that lived throughout", "descriptors", "threads", "MB")
    print_row(*["---"] * 4)
    for name, held in lasting(load.looks).items():
        print_row(
            f"{name} ({held[0].processes})",
            " → ".join(str(one.descriptors) for one in held),
            " → ".join(str(one.threads) for one in held),
            " → ".join(f"{one.megabytes:.0f}" for one in held),
        )
    for problem in tally.problems + stuck:
        say(problem)
    return 1 if tally.problems or stuck or not outcomes["success"] else 0


def _count(avala: Emulator, tally: Tally, job: Job, *, succeeded: bool) -> None:
    exports = [export for export in avala.exports if job.dataset_id in export["datasets"]]
    tally.count(job, exports, [row["name"] for row in avala.items(job.dataset_id)], succeeded=succeeded)


def _dags(folder: Path) -> Path:
    dags = folder / "dags"
    dags.mkdir()
    shutil.copy(DAG_FILE, dags)
    return dags


def _env(avala: Emulator, options: argparse.Namespace) -> dict[str, str]:
    connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key}
    connection["extra"] = {"rate_limits": LIMITS}
    env = {
        "AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__PARALLELISM": str(options.workers),
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))),
    }
    if options.database:
        env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = options.database
    return env


if __name__ == "__main__":
    sys.exit(main())
