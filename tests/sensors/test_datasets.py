"""Waiting for a dataset ends like waiting for an export, in every mode."""

from __future__ import annotations

from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.sensors.avala import AvalaDatasetSensor
from airflow_provider_avala.triggers.avala import AvalaDatasetTrigger
from tests.airflow_support import MODES, context, in_mode, run_to_end

pytestmark = pytest.mark.parametrize("mode", MODES)


def sensor(mode: str, dataset_id: str, **arguments) -> AvalaDatasetSensor:
    defaults = {"task_id": "wait", "dataset_id": dataset_id, "poke_interval": 0.02, "timeout": 30}
    return AvalaDatasetSensor(**defaults | in_mode(mode) | arguments)


def outcome(mode: str, dataset_id: str, **arguments) -> dict[str, object]:
    return run_to_end(sensor(mode, dataset_id, **arguments), context(task_id="wait"))


def getting_ready(avala: Emulator, seconds: float = 0.15) -> str:
    dataset_id = avala.add_dataset("labels")
    avala.store.tables["datasets"][dataset_id]["_ready_at"] = avala.now() + seconds
    return dataset_id


@pytest.mark.parametrize(
    "fault", [None, faults.status(503), faults.html(502)], ids=["calm", "503", "gateway"]
)
def test_a_dataset_is_waited_for_until_it_is_created(
    mode: str, fault: faults.Fault | None, avala: Emulator
) -> None:
    dataset_id = getting_ready(avala)
    if fault:
        avala.inject(fault, path="/datasets/", times=3, skip=1)
    found = outcome(mode, dataset_id)
    assert (found["id"], found["name"], found["status"]) == (dataset_id, "labels", "created")
    assert len(avala.requests_to("GET", f"/datasets/{dataset_id}/")) == len(avala.requests)


@pytest.mark.parametrize(
    ("soft_fail", "expected"),
    [(False, AirflowSensorTimeout), (True, AirflowSkipException)],
    ids=["hard", "soft"],
)
def test_a_dataset_that_is_never_created_is_a_time_out(
    mode: str, soft_fail: bool, expected: type[Exception], avala: Emulator
) -> None:
    with pytest.raises(expected):
        outcome(mode, getting_ready(avala, 10_000), soft_fail=soft_fail, timeout=0.2)


@pytest.mark.parametrize(
    ("soft_fail", "expected"),
    [(False, AirflowFailException), (True, AirflowSkipException)],
    ids=["hard", "soft"],
)
def test_a_dataset_that_failed_ends_the_wait(
    mode: str, soft_fail: bool, expected: type[Exception], avala: Emulator
) -> None:
    dataset_id = avala.add_dataset(status="failed")
    with pytest.raises(expected, match=f"dataset {dataset_id} ended with status 'failed'"):
        outcome(mode, dataset_id, soft_fail=soft_fail)


def test_an_unknown_dataset_ends_the_wait(mode: str, avala: Emulator) -> None:
    with pytest.raises(AirflowFailException, match="404"):
        outcome(mode, str(uuid4()), soft_fail=True)


def test_the_id_is_templated_and_the_trigger_is_the_datasets_own(mode: str, avala: Emulator) -> None:
    task = sensor(mode, "{{ params.dataset }}")
    assert "dataset_id" in task.template_fields
    task.dataset_id = getting_ready(avala, 10_000)
    if mode in ("poke", "reschedule"):
        assert not task.poke(context()).is_done
        return
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())
    assert isinstance(deferred.value.trigger, AvalaDatasetTrigger)
    assert deferred.value.trigger.dataset_id == task.dataset_id
