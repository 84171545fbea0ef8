"""What the tests of hooks, operators, sensors and triggers share: an emulator, connections, contexts, ways to wait."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_avala.emulator import Emulator, running_emulator

CONN_ID = "avala_default"
AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
MODES = ("poke", "reschedule", "deferrable", *(["start from trigger"] if AIRFLOW >= (3, 3) else []))
#: No test shall wait for a rate limit, and none for long.
EXTRA = {"rate_limits": "100000/1", "rate_limit_store": "memory", "max_retry_seconds": 5}


@pytest.fixture(scope="module")
def emulators() -> Iterator[Callable[[str], Emulator]]:
    """One emulator for each dialect, started when it is first asked for."""
    running: dict[str, Any] = {}

    def emulator(dialect: str) -> Emulator:
        if dialect not in running:
            manager = running_emulator(
                dialect=dialect, rate_limits=None, export_seconds=0.0, max_exports=1000
            )
            running[dialect] = (manager, manager.__enter__())
        return running[dialect][1]

    yield emulator
    for manager, _ in running.values():
        manager.__exit__(None, None, None)


@pytest.fixture
def avala(emulators: Callable[[str], Emulator], connect: Connect) -> Emulator:
    """A fresh emulator of the current dialect, and the default connection to it."""
    emulator = emulators("current")
    emulator.reset()
    emulator.export_seconds = 0.0
    connect(emulator)
    return emulator


@pytest.fixture
def legacy(emulators: Callable[[str], Emulator], connect: Connect) -> Emulator:
    """A fresh emulator of the legacy dialect, and the default connection to it."""
    emulator = emulators("legacy")
    emulator.reset()
    emulator.export_seconds = 0.0
    connect(emulator, dialect="legacy")
    return emulator


Connect = Callable[..., None]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Defines an Airflow connection, the way users do it: ``connect(avala, password="wrong", timeout=3)``."""

    def define(
        avala: Emulator | str, *, conn_id: str = CONN_ID, password: str | None = None, **extra: Any
    ) -> None:
        host = avala if isinstance(avala, str) else avala.base_url
        key = password or (avala.api_key if isinstance(avala, Emulator) else "avk_some_key")
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", connection(host, key, **extra))

    return define


def connection(host: str, key: str, **extra: Any) -> str:
    """A connection as JSON."""
    return json.dumps({"conn_type": "avala", "host": host, "password": key, "extra": EXTRA | extra})


@dataclass
class StateStore:
    """Stands in for Airflow's task state, which 3.3 keeps in its database."""

    notes: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        return self.notes.get(key)

    def set(self, key: str, value: Any, **_: Any) -> None:
        self.notes[key] = json.loads(json.dumps(value))


def context(
    *,
    dag_id: str = "labels",
    task_id: str = "task",
    run_id: str = "manual__1",
    map_index: int = -1,
    max_tries: int = 0,
    store: StateStore | None = None,
) -> dict[str, Any]:
    """As much of a task's context as the operators read."""
    ti = SimpleNamespace(
        dag_id=dag_id,
        task_id=task_id,
        run_id=run_id,
        map_index=map_index,
        max_tries=max_tries,
        try_number=1,
        first_reschedule=None,
    )
    ti.get_first_reschedule_date = lambda context: ti.first_reschedule
    found = {"ti": ti, "dag_run": SimpleNamespace(start_date=datetime.now(UTC))}
    return found if store is None else found | {"task_state_store": store}


def stored_and_loaded(trigger: Any) -> Any:
    """A trigger as the triggerer gets it: out of Airflow's own table row."""
    from airflow.models.trigger import Trigger

    row = Trigger.from_object(trigger)
    return resolve_name(row.classpath)(**row.kwargs)


async def first_event(trigger: Any) -> Any:
    """The first event of a trigger, as the task gets it: through JSON."""
    async for event in trigger.run():
        return json.loads(json.dumps(event.payload))
    raise AssertionError("the trigger ended without an event")


def run_deferred(task: Any, deferred: TaskDeferred, context: Mapping[str, Any]) -> Any:
    """Go through the deferrals of a task: trigger, event, resumption, until it ends."""
    while True:
        event = asyncio.run(first_event(stored_and_loaded(deferred.trigger)))
        try:
            return task.resume_execution(
                deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context
            )
        except TaskDeferred as again:
            deferred = again


def run_from_trigger(task: Any, context: Mapping[str, Any]) -> Any:
    """Go through a task that begins in the triggerer, as scheduler and triggerer do."""
    start = task.start_trigger_args
    trigger = stored_and_loaded(resolve_name(start.trigger_cls)(**start.trigger_kwargs))
    try:
        event = asyncio.run(asyncio.wait_for(first_event(trigger), start.timeout.total_seconds()))
    except TimeoutError:
        return task.resume_execution("__fail__", trigger_timeout(), context)
    try:
        return task.resume_execution(start.next_method, {"event": event}, context)
    except TaskDeferred as deferred:
        return run_deferred(task, deferred, context)


def trigger_timeout() -> dict[str, str]:
    """What Airflow resumes a task with whose deferral took too long."""
    try:
        from airflow.sdk.bases.operator import TriggerFailureReason
    except ImportError:
        return {"error": "Trigger/execution timeout"}
    return {"error": TriggerFailureReason.TRIGGER_TIMEOUT.value}


def run_to_end(task: Any, context: dict[str, Any]) -> Any:
    """Execute an operator or a sensor as Airflow does, over all reschedules and deferrals."""
    if getattr(task, "start_from_trigger", False):
        return run_from_trigger(task, context)
    with _first_reschedule_known(context):
        while True:
            try:
                return task.execute(context)
            except AirflowRescheduleException:
                ti = context["ti"]
                ti.first_reschedule = ti.first_reschedule or datetime.now(UTC)
            except TaskDeferred as deferred:
                return run_deferred(task, deferred, context)


@contextmanager
def _first_reschedule_known(context: Mapping[str, Any]) -> Iterator[None]:
    """Airflow 2 reads it from its database, Airflow 3 from the task instance."""
    import airflow.sensors.base as base

    if not hasattr(base, "_orig_start_date"):
        yield
        return
    with mock.patch.object(base, "_orig_start_date", side_effect=lambda **_: context["ti"].first_reschedule):
        yield


def in_mode(mode: str) -> dict[str, Any]:
    """The arguments that put a sensor into a mode of waiting."""
    ways = {"deferrable": {"deferrable": True}, "start from trigger": {"start_from_trigger": True}}
    return ways.get(mode, {"mode": mode, "deferrable": False})


@cache
def metadata_database() -> None:
    """Airflow's own database in this run's AIRFLOW_HOME, made once."""
    from airflow.utils import db

    db.initdb()


def in_subprocess(program: str, **variables: str) -> str:
    """What a program prints last, run by a Python of its own with these environment variables."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=os.environ | variables,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
