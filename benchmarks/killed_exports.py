"""Workers are killed with -9 while they create exports, and Airflow's retries go on: how many exports does a run make?

Run as ``python -m benchmarks.killed_exports``, for about a minute. Prints a Markdown table of where the kills hit, and
fails unless each task run has made exactly one export, and each cleared task exactly one more. The operator runs in
processes of its own; what Airflow keeps between them (deferral, task state) is kept in files; the emulator's list of
exports is the witness.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_avala.emulator import SEED_PROJECT_ID, Emulator, faults, running_emulator

_PRELOADED = ("airflow_provider_avala.operators.avala", "airflow_provider_avala.api.client", __name__)
_RETRIES = 3
#: Seconds between the death of a worker and the retry, and for which the server sits on a request.
_PAUSE, _HANG = 0.15, 0.1
#: Where a kill can hit.
BEFORE, SENT, CREATED, DEFERRED, RESUMED = (
    "before the POST",
    "POST sent, nothing created",
    "export created, the task not yet ended",
    "deferred, but that was not stored",
    "while the deferred task was resumed",
)


@dataclass(frozen=True)
class Way:
    """One way of running the operator.

    :param name: for people.
    :param arguments: of the operator.
    :param dialect: of the API.
    :param state: whether Airflow keeps task state (3.3 and later).
    :param map_index: of a mapped task.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dialect: str = "current"
    state: bool = False
    map_index: int = -1


_WAIT = {"wait_for_completion": True}
WAYS = (
    Way("without waiting"),
    Way("without waiting, with task state", state=True),
    Way("waiting on the worker", {**_WAIT, "deferrable": False}),
    Way("waiting on the worker, mapped", {**_WAIT, "deferrable": False}, map_index=3),
    Way("waiting in the triggerer", {**_WAIT, "deferrable": True}),
    Way("in the triggerer, mapped, with task state", {**_WAIT, "deferrable": True}, state=True, map_index=3),
)


@dataclass(frozen=True)
class Blow:
    """What one worker is killed by.

    :param fault: what the server does to a request, upon which the worker is killed; None for a random moment.
    :param method: of that request.
    :param path: of that request.
    :param skip: how many such requests to let pass first.
    :param resumed: whether it is meant for a worker that resumes a deferred task; None for any.
    :param loses_deferral: the worker is killed when it has told of a deferral, which is not stored any more.
    """

    fault: Callable[[float], faults.Fault] | None = None
    method: str = "POST"
    path: str = "/exports"
    skip: int = 0
    resumed: bool | None = None
    loses_deferral: bool = False


@dataclass(frozen=True)
class TaskRun:
    """What all attempts of one task run share.

    :param way: how the operator runs.
    :param url: base URL of the API.
    :param key: its key.
    :param run_id: of the DAG run.
    :param folder: where the notes are.
    :param clears: how often the task was cleared.
    """

    way: Way
    url: str
    key: str
    run_id: str
    folder: Path
    clears: int = 0


class Notes:
    """Task state in a file, as Airflow 3.3 keeps it in its database.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> Any:
        """What was noted."""
        return json.loads(self.path.read_text()).get(key) if self.path.exists() else None

    def set(self, key: str, value: Any, **_: Any) -> None:
        """Note something, all of it or nothing."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({key: value}))
        draft.replace(self.path)


def attempt(run: TaskRun, deferral: Mapping[str, Any] | None, pipe: Connection) -> None:
    """One worker's life: execute the operator, or resume it after its trigger; tell how it ended.

    :param deferral: what the operator wanted Airflow to remember.
    :param pipe: to the parent: first that it begins, then the id or the deferral.
    """
    connection = {"conn_type": "avala", "host": run.url, "password": run.key}
    connection["extra"] = {
        "rate_limits": "100000/1",
        "rate_limit_store": "memory",
        "dialect": run.way.dialect,
    }
    os.environ["AIRFLOW_CONN_AVALA_DEFAULT"] = json.dumps(connection)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Airflow's log; errors are told on stderr
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_provider_avala.operators.avala import AvalaCreateExportOperator

    task = AvalaCreateExportOperator(
        task_id="export",
        project_id=SEED_PROJECT_ID,
        retries=_RETRIES,
        poll_interval=0.02,
        **run.way.arguments,
    )
    pipe.send("begin")
    try:
        if deferral is None:
            pipe.send(task.execute(_context(run)))
        else:
            kwargs = {**deferral["kwargs"], "event": asyncio.run(_first_event(deferral["trigger"]))}
            pipe.send(task.resume_execution(deferral["method"], kwargs, _context(run)))
    except TaskDeferred as deferred:
        _, arguments = deferred.trigger.serialize()
        found = {"trigger": arguments, "method": deferred.method_name, "kwargs": deferred.kwargs}
        pipe.send(json.loads(json.dumps(found)))


async def _first_event(arguments: Mapping[str, Any]) -> Any:
    from airflow_provider_avala.triggers.avala import AvalaExportTrigger

    async for event in AvalaExportTrigger(**arguments).run():
        return json.loads(json.dumps(event.payload))


def _context(run: TaskRun) -> Any:
    ti = SimpleNamespace(
        dag_id="labels",
        task_id="export",
        run_id=run.run_id,
        map_index=run.way.map_index,
        max_tries=_RETRIES + run.clears * (_RETRIES + 1),
        try_number=1,
    )
    context = {"ti": ti, "dag_run": SimpleNamespace(start_date=datetime.now(UTC))}
    return context | ({"task_state_store": Notes(run.folder / "state.json")} if run.way.state else {})


class Killer:
    """Runs task runs and kills their workers.

    :param avala: the server.
    :param seed: of the random numbers.
    :ivar hits: how many kills hit where.
    """

    def __init__(self, avala: Emulator, seed: int = 1) -> None:
        self.avala = avala
        self.hits: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(list(_PRELOADED))
        self._pause = threading.Event()

    def torment(self, run: TaskRun, blows: Iterable[Blow]) -> str:
        """Run a task to its end, over its retries; return the id of its export.

        :param blows: what its workers are killed by, one after the other.
        """
        left = list(blows)
        deferral: dict[str, Any] | None = None
        while True:
            blow = left[0] if left and left[0].resumed in (None, deferral is not None) else None
            hit, outcome = self._attempt(run, deferral, blow)
            if hit:
                left.remove(blow)  # type: ignore[arg-type]
                self.hits[hit] += 1
                deferral = None  # a retry begins anew
                self._pause.wait(_PAUSE)
            elif isinstance(outcome, str):
                return outcome
            else:
                deferral = outcome

    def _attempt(
        self, run: TaskRun, deferral: dict[str, Any] | None, blow: Blow | None
    ) -> tuple[str, dict[str, Any] | str | None]:
        """Run one worker; say where it was killed, if it was, or how it ended."""
        created_before = len(self.avala.exports)
        self.avala.clear_requests()
        self.avala.clear_faults()
        if blow:
            fault = blow.fault or self._random.choice((faults.hang_before_commit, faults.hang_after_commit))
            seconds = 60.0 if blow.fault else _HANG
            self.avala.inject(fault(seconds), method=blow.method, path=blow.path, skip=blow.skip)
        ours, theirs = self._processes.Pipe()
        process = self._processes.Process(target=attempt, args=(run, deferral, theirs))
        process.start()
        theirs.close()
        if not ours.poll(120) or ours.recv() != "begin":
            raise RuntimeError("the worker did not begin")
        struck = bool(blow) and self._wait_for_the_moment(blow, ours, created_before)
        if struck:
            process.kill()
        process.join(120)
        outcome = _heard(ours)
        if outcome is None and not struck:
            raise RuntimeError("the worker ended without a word, see above")
        if isinstance(outcome, dict) and blow and blow.loses_deferral:
            return DEFERRED, None
        if outcome is None:
            return self._place(created_before, deferral), None
        return "", outcome

    def _wait_for_the_moment(self, blow: Blow, worker: Connection, created_before: int) -> bool:
        """Whether it comes before the worker has ended by itself."""
        if blow.loses_deferral:
            return worker.poll(120)
        if not blow.fault:
            return not worker.poll(self._random.uniform(0, 0.05 + 2 * _HANG))
        while not worker.poll(0.002):
            if blow.fault is faults.hang_after_commit and len(self.avala.exports) == created_before:
                continue
            if any(request.fault for request in self.avala.requests):
                return True
        return False

    def _place(self, created_before: int, deferral: object) -> str:
        if deferral:
            return RESUMED
        if len(self.avala.exports) > created_before:
            return CREATED
        return SENT if self.avala.requests_to("POST") else BEFORE


def _heard(pipe: Connection) -> Any:
    try:
        return pipe.recv() if pipe.poll() else None
    except EOFError:
        return None


def check(killer: Killer, way: Way, name: str, folder: Path, blows: Iterable[Blow]) -> None:
    """One task run whose workers are killed, and the same once it was cleared.

    :param name: of the run.
    :param folder: for its notes; made here.
    :param blows: what its workers are killed by, before and after it was cleared.
    :raises AssertionError: if there is not exactly one export of each.
    """
    folder.mkdir()
    avala, blows = killer.avala, list(blows)
    for clears in range(2):
        before = {export["id"] for export in avala.exports}
        found = killer.torment(TaskRun(way, avala.base_url, avala.api_key, name, folder, clears), blows)
        created = {export["id"] for export in avala.exports} - before
        if created != {found}:
            raise AssertionError(f"{way.name}, {name}, cleared {clears} times: {found} of {created}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100, help="how many workers to kill at least")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        with running_emulator(rate_limits=None, export_seconds=0.0, max_exports=100_000) as avala:
            killer, runs = Killer(avala, options.seed), 0
            while killer.hits.total() < options.kills:
                blows = [Blow(loses_deferral=runs % 4 == 0), Blow()]
                check(killer, WAYS[runs % len(WAYS)], f"run {runs}", Path(home) / str(runs), blows)
                runs += 1
            exports = len(avala.exports)
    print(f"{killer.hits.total()} workers killed, {runs} task runs, each cleared once: {exports} exports\n")
    print("| killed | times |\n| --- | --- |")
    for where in (BEFORE, SENT, CREATED, DEFERRED, RESUMED):
        print(f"| {where} | {killer.hits[where]} |")
    if exports != 2 * runs:
        sys.exit(f"{2 * runs} exports were to be created, but there are {exports}")


if __name__ == "__main__":
    main()
