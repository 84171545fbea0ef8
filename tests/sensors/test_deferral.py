"""What a sensor makes of the events and failures that come back from the triggerer."""

from __future__ import annotations

import asyncio
import time

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.sensors.avala import AvalaExportSensor
from tests.airflow_support import Connect, context, first_event, run_deferred, trigger_timeout

pytestmark = pytest.mark.parametrize("soft_fail", [False, True], ids=["hard", "soft"])


def sensor(export_id: str, **arguments) -> AvalaExportSensor:
    defaults = {"task_id": "wait", "export_id": export_id, "deferrable": True, "poke_interval": 0.02}
    return AvalaExportSensor(**defaults | arguments)


def deferral(task: AvalaExportSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context())
    return raised.value


def test_nothing_is_deferred_when_the_export_is_finished(soft_fail: bool, avala: Emulator) -> None:
    assert sensor(avala.add_export(), soft_fail=soft_fail).execute(context())["status"] == "exported"
    assert len(avala.requests) == 1


def test_airflows_own_timeout_is_a_sensor_timeout(soft_fail: bool, avala: Emulator) -> None:
    task = sensor(avala.add_export(status="processing"), soft_fail=soft_fail)
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout, match="not finished"):
        task.resume_execution("__fail__", trigger_timeout(), context())


def test_an_export_that_ended_before_airflows_own_timeout_counts(soft_fail: bool, avala: Emulator) -> None:
    export_id = avala.add_export()
    task = sensor(export_id, soft_fail=soft_fail)
    assert task.resume_execution("__fail__", trigger_timeout(), context())["id"] == export_id


def test_airflows_own_timeout_comes_after_that_of_the_trigger(soft_fail: bool, avala: Emulator) -> None:
    deferred = deferral(sensor(avala.add_export(status="processing"), soft_fail=soft_fail, timeout=100))
    assert deferred.trigger.deadline == pytest.approx(time.time() + 100, abs=5)
    assert deferred.timeout.total_seconds() > 110


@pytest.mark.parametrize("error", ["Trigger failure", "Unknown"])
def test_a_crashed_trigger_is_an_error_that_may_be_retried(
    error: str, soft_fail: bool, avala: Emulator
) -> None:
    task = sensor(avala.add_export(status="processing"), soft_fail=soft_fail)
    with pytest.raises(AirflowException) as raised:
        task.resume_execution("__fail__", {"error": error, "traceback": ["Boom\n"]}, context())
    assert type(raised.value).__name__ == "TaskDeferralError"


@pytest.mark.parametrize(
    "event",
    [
        None,
        "finished",
        {},
        {"status": "success"},
        {"status": "finished"},
        {"status": "finished", "export_id": "another"},
        {"status": "timeout", "export_id": "another", "message": "late"},
    ],
)
def test_an_event_that_is_none_of_ours_never_succeeds(event, soft_fail: bool, avala: Emulator) -> None:
    task = sensor(avala.add_export(), soft_fail=soft_fail)
    with pytest.raises(AirflowException, match="not about export") as raised:
        task.resume_execution("execute_complete", {"event": event}, context())
    assert type(raised.value) is AirflowException


def test_an_announced_end_that_is_none_is_an_error(soft_fail: bool, avala: Emulator) -> None:
    export_id = avala.add_export(status="processing")
    event = {"status": "finished", "export_id": export_id}
    task = sensor(export_id, soft_fail=soft_fail)
    with pytest.raises(AirflowException, match="'processing'"):
        task.resume_execution("execute_complete", {"event": event}, context())


def test_an_export_that_ended_while_time_ran_out_counts(soft_fail: bool, avala: Emulator) -> None:
    export_id = avala.add_export()
    event = {"status": "timeout", "export_id": export_id, "message": "late"}
    task = sensor(export_id, soft_fail=soft_fail)
    assert task.resume_execution("execute_complete", {"event": event}, context())["id"] == export_id


def test_a_connection_without_key_ends_the_task(
    soft_fail: bool, avala: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = sensor(avala.add_export(status="processing"), soft_fail=soft_fail)
    deferred = deferral(task)
    monkeypatch.setenv("AIRFLOW_CONN_AVALA_DEFAULT", "{}")
    with pytest.raises(AirflowFailException, match="password"):
        run_deferred(task, deferred, context())


def test_a_task_that_cannot_reach_avala_goes_back_to_waiting(
    soft_fail: bool, avala: Emulator, connect: Connect
) -> None:
    connect(avala, max_retry_seconds=0)
    export_id = avala.add_export(status="processing")
    task = sensor(export_id, soft_fail=soft_fail)
    deferred = deferral(task)
    avala.finish_export(export_id)
    event = asyncio.run(first_event(deferred.trigger))
    avala.inject(faults.reset_before_commit())
    with pytest.raises(TaskDeferred) as raised:
        task.resume_execution("execute_complete", {**deferred.kwargs, "event": event}, context())
    assert raised.value.trigger.serialize() == deferred.trigger.serialize()
    assert run_deferred(task, raised.value, context())["id"] == export_id


def test_the_key_is_judged_by_what_it_is_now(soft_fail: bool, avala: Emulator, connect: Connect) -> None:
    export_id = avala.add_export(status="processing")
    task = sensor(export_id, soft_fail=soft_fail)
    deferred = deferral(task)
    connect(avala, password="avk_revoked")
    with pytest.raises(AirflowFailException, match="401"):
        run_deferred(task, deferred, context())
