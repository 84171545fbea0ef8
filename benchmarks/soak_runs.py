"""The load of a soak: DAG runs on a real Airflow, and one process beside it that works through the hook without end."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from airflow_provider_avala.emulator import Emulator
from benchmarks.soak_tally import Job
from benchmarks.vitals import Look, look
from scripts.local_airflow import FINISHED, LocalAirflow
from scripts.processes import ChildProcess, LocalError

DAG_ID = "soak"
ROWS = 200
#: Runs that have to be over before the first look at the processes, so that everything is loaded by then.
WARM_UP = 8
#: Seconds that what is under way gets after the last start.
GRACE = 300.0
#: Seconds between two questions for what is active, and that are left to the processes before the last look.
INTERVAL, REST = 2.0, 5.0
_STEADY_JOBS = 600


class Load:
    """Starts runs and follows them.

    :param airflow: the processes.
    :param avala: the emulator.
    :param folder: for sources and targets.
    :ivar jobs: the runs that were started, by name.
    :ivar looks: at the processes: after the warm-up, in the middle, at the end.
    """

    def __init__(self, airflow: LocalAirflow, avala: Emulator, folder: Path) -> None:
        self.airflow, self.avala, self.folder = airflow, avala, folder
        self.jobs: dict[str, Job] = {}
        self.steady_jobs = [self._job(f"steady{number:04}") for number in range(_STEADY_JOBS)]
        self.looks: list[Look] = []
        self._pause = threading.Event()

    def run(self, seconds: float, runs: int, at_a_time: int) -> None:
        """Start runs until the time is up or enough of them were started, then wait for the rest."""
        steady = self._begin_steady()
        processes = {**self.airflow.children, "one hook": steady}
        pids = {name: child.popen.pid for name, child in processes.items()}
        try:
            begin = told = time.monotonic()
            active = 0
            while (elapsed := time.monotonic() - begin) < seconds + GRACE:
                over = elapsed > seconds or len(self.jobs) >= runs
                if over and not active:
                    break
                for _ in range(0 if over else min(at_a_time - active, runs - len(self.jobs))):
                    self._start()
                finished = len(self.jobs) - (active := self._active())
                if (finished >= WARM_UP and not self.looks) or (
                    len(self.looks) == 1 and elapsed > seconds / 2
                ):
                    self.looks.append(look(pids))
                if time.monotonic() > told + 30:
                    told = time.monotonic()
                    say(f"{elapsed:.0f} s: {len(self.jobs)} runs started, {finished} finished")
                self._pause.wait(INTERVAL)
            self._pause.wait(REST)
            self.looks.append(look(pids))
        finally:
            steady.stop()

    def states(self) -> dict[str, str]:
        """The state of each run by name."""
        found: dict[str, str] = {}
        while len(found) < len(self.jobs):
            page = self._ask("GET", f"?limit=100&offset={len(found)}&order_by=id")["dag_runs"]
            if not page:
                break
            found |= {run["dag_run_id"]: run["state"] for run in page}
        return {name: found.get(name, "unknown") for name in self.jobs}

    def unfinished_tasks(self, states: dict[str, str]) -> list[str]:
        """The tasks that neither succeeded nor failed, of runs that have not ended."""
        return [
            f"{name}.{task_id}: {task['state']}"
            for name, state in states.items()
            if state not in FINISHED
            for task_id, task in self.airflow.task_instances(DAG_ID, name).items()
            if task["state"] not in FINISHED
        ]

    def steady_done(self) -> set[str]:
        """Names of the jobs that the process beside Airflow has finished."""
        done = self.folder / "done"
        return {*done.read_text().split()} if done.exists() else set()

    def _begin_steady(self) -> ChildProcess:
        jobs = [{key: str(value) for key, value in vars(job).items()} for job in self.steady_jobs]
        listed = self.folder / "steady.json"
        listed.write_text(json.dumps(jobs))
        command = [sys.executable, "-m", "benchmarks.steady_worker", str(listed), str(self.folder / "done")]
        return ChildProcess("one hook", command, env=self.airflow.env, log=self.folder / "steady.log")

    def _job(self, name: str) -> Job:
        files = self.folder / name
        dataset_id = self.avala.add_dataset(name)
        job = Job(name, dataset_id, files.with_suffix(".jsonl"), files.with_suffix(".zip"), ROWS)
        job.write()
        return job

    def _start(self) -> None:
        job = self._job(f"run{len(self.jobs):04}")
        self.jobs[job.name] = job
        conf = {"dataset_id": job.dataset_id, "source": str(job.source), "target": str(job.target)}
        body = {**self.airflow.flavour.run_defaults, "dag_run_id": job.name, "conf": conf}
        # By an id of its own, so that asking again, when the answer got lost, starts nothing twice.
        self._ask("POST", "", body, fine="answered 409")

    def _active(self) -> int:
        found = self._ask("GET", "?state=queued&state=running&limit=100")
        return len(found["dag_runs"])

    def _ask(self, method: str, query: str, body: Any = None, fine: str = "no error") -> Any:
        """Ask Airflow, again and again while it is too busy to answer."""
        path = f"{self.airflow.flavour.api}/dags/{DAG_ID}/dagRuns{query}"
        end = time.monotonic() + GRACE
        while True:
            try:
                return self.airflow.request(method, path, body)
            except (LocalError, OSError) as error:
                if fine in str(error):
                    return None
                for child in self.airflow.children.values():
                    child.check()
                if time.monotonic() > end:
                    raise
                say(f"Airflow does not answer: {str(error)[:200]}")
            self._pause.wait(INTERVAL)


def say(text: str) -> None:
    """Tell how it goes, apart from the result."""
    print(text, file=sys.stderr, flush=True)
