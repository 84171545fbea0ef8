"""Whatever happens to an export or on the way to it, the three modes of waiting end the task the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_avala.emulator import SEED_PROJECT_ID, Emulator, faults
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.sensors.avala import AvalaExportSensor
from tests.airflow_support import MODES, Connect, context, in_mode, run_to_end

POLLS = 0.02


def sensor(mode: str, export_id: str, **arguments) -> AvalaExportSensor:
    defaults = {"task_id": "wait", "export_id": export_id, "poke_interval": POLLS, "timeout": 30}
    return AvalaExportSensor(**defaults | in_mode(mode) | arguments)


@dataclass(frozen=True)
class Case:
    """What is the matter, and how the task ends: without and with ``soft_fail``."""

    prepare: Callable[[Emulator, Connect], str]
    outcome: type[Exception] | None = None
    softly: type[Exception] | None = None
    says: str = ""
    timeout: float = 30


def running(avala: Emulator, seconds: float = 0.15) -> str:
    return avala.add_export(name="labels", seconds=seconds)


def with_fault(fault: faults.Fault, *, times: int = 1, skip: int = 0) -> Callable[[Emulator, Connect], str]:
    def prepare(avala: Emulator, connect: Connect) -> str:
        avala.inject(fault, path="/exports/", times=times, skip=skip)
        return running(avala)

    return prepare


def with_wrong_key(avala: Emulator, connect: Connect) -> str:
    connect(avala, password="avk_another_key")
    return running(avala)


def fails_later(avala: Emulator, connect: Connect) -> str:
    avala.export_seconds = 0.2
    avala.fail_next_export()
    return AvalaHook().create_export(project_id=SEED_PROJECT_ID).id


def ends_during_500s(avala: Emulator, connect: Connect) -> str:
    """No request is retried, and the export ends while Avala answers none."""
    connect(avala, max_retry_seconds=0)
    avala.inject(faults.status(500), path="/exports/", skip=2, times=4)
    return running(avala, 0.02)


FOREVER, BRIEFLY = 10_000, 0.2
FAILS = {"outcome": AirflowFailException, "softly": AirflowSkipException}
FATAL = {"outcome": AirflowFailException, "softly": AirflowFailException}
TIMES_OUT = {"outcome": AirflowSensorTimeout, "softly": AirflowSkipException, "timeout": BRIEFLY}

CASES = {
    "is finished": Case(lambda avala, _: running(avala, 0)),
    "finishes later": Case(lambda avala, _: running(avala)),
    "is failed": Case(lambda avala, _: avala.add_export(status="failed"), **FAILS, says="'failed'"),
    "was cancelled": Case(lambda avala, _: avala.add_export(status="canceled"), **FAILS, says="'canceled'"),
    "fails later": Case(fails_later, **FAILS, says="'failed'"),
    "is not there": Case(lambda avala, _: str(uuid4()), **FATAL, says="404"),
    "needs another key": Case(with_wrong_key, **FATAL, says="401"),
    "is forbidden": Case(with_fault(faults.status(403)), **FATAL, says="403"),
    "is forbidden later": Case(with_fault(faults.status(403), skip=2), **FATAL, says="403"),
    "vanishes": Case(with_fault(faults.status(404), skip=2), **FATAL, says="404"),
    "meets 500s": Case(with_fault(faults.status(500), times=3)),
    "meets 500s later": Case(with_fault(faults.status(500), times=3, skip=2)),
    "meets a gateway's page": Case(with_fault(faults.html(502), times=3)),
    "meets a proxy's page": Case(with_fault(faults.html(200), times=3)),
    "ends during 500s": Case(ends_during_500s),
    "meets resets": Case(with_fault(faults.reset_before_commit(), times=3)),
    "meets cut answers": Case(with_fault(faults.truncated(), times=3)),
    "meets 429": Case(with_fault(faults.status(429, headers={"Retry-After": "0"}), times=3)),
    "is never done": Case(lambda avala, _: running(avala, FOREVER), **TIMES_OUT),
    "meets 500s for ever": Case(with_fault(faults.status(500), times=FOREVER), **TIMES_OUT),
    "meets resets for ever": Case(with_fault(faults.reset_before_commit(), times=FOREVER), **TIMES_OUT),
}


@pytest.mark.parametrize("soft_fail", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_outcome_is_the_same_in_every_mode(
    case: Case, mode: str, soft_fail: bool, avala: Emulator, connect: Connect
) -> None:
    export_id = case.prepare(avala, connect)
    task = sensor(mode, export_id, soft_fail=soft_fail, timeout=case.timeout)
    expected = case.softly if soft_fail else case.outcome
    if expected is None:
        found = run_to_end(task, context(task_id="wait"))
        assert (found["id"], found["uid"], found["status"]) == (export_id, export_id, "exported")
        assert "download_url" not in found
        return
    with pytest.raises(expected) as raised:
        run_to_end(task, context(task_id="wait"))
    assert type(raised.value) is expected
    assert case.says in str(raised.value)


NEVER = (
    "is failed",
    "fails later",
    "is not there",
    "needs another key",
    "is forbidden later",
    "is never done",
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", [CASES[name] for name in NEVER], ids=NEVER)
def test_never_fail_skips_whatever_happens(case: Case, mode: str, avala: Emulator, connect: Connect) -> None:
    task = sensor(mode, case.prepare(avala, connect), never_fail=True, timeout=case.timeout)
    with pytest.raises(AirflowSkipException):
        run_to_end(task, context(task_id="wait"))
