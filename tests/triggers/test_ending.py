"""A trigger ends its task itself only where nothing is lost by it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, TaskDeferred, get_listener_manager, task
from airflow.triggers.base import TaskSuccessEvent

from airflow_provider_avala.emulator import SEED_PROJECT_ID, Emulator
from airflow_provider_avala.operators.avala import AvalaCreateExportOperator
from airflow_provider_avala.outcomes import ID, RESOURCE
from airflow_provider_avala.sensors.avala import AvalaExportSensor
from airflow_provider_avala.triggers.avala import AvalaExportTrigger
from tests.airflow_support import CONN_ID, context

AIRFLOW_2 = version("apache-airflow").startswith("2.")
TASK_INSTANCE = SimpleNamespace(
    id="1", dag_id="labels", task_id="wait", run_id="manual__1", map_index=-1, try_number=1
)


class Subclass(AvalaExportSensor):
    """Does who knows what."""


class Listener:
    """Wants to be told of successes."""


def sensor(kind: type[AvalaExportSensor] = AvalaExportSensor, **arguments: Any) -> AvalaExportSensor:
    with DAG("labels", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        return kind(task_id="wait", export_id="x", deferrable=True, **arguments)


def mapped_over() -> AvalaExportSensor:
    @task
    def each(item: Any) -> None:
        pass

    with DAG("labels", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        found = AvalaExportSensor(task_id="wait", export_id="x", deferrable=True)
        each.expand(item=found.output)
    return found


def returns(waiting: AvalaExportSensor, avala: Emulator) -> str:
    """What the trigger of a sensor is told to return for it."""
    waiting.export_id = avala.add_export(status="processing")
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute(context())
    return deferred.value.trigger.returns


def test_a_task_with_nothing_more_to_do_ends_in_the_triggerer(avala: Emulator) -> None:
    assert returns(sensor(), avala) == RESOURCE


def test_an_operator_returns_the_id_from_the_triggerer(avala: Emulator) -> None:
    avala.export_seconds = 100
    with DAG("labels", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
        create = AvalaCreateExportOperator(
            task_id="create", project_id=SEED_PROJECT_ID, wait_for_completion=True, deferrable=True
        )
    with pytest.raises(TaskDeferred) as deferred:
        create.execute(context())
    assert deferred.value.trigger.returns == ID


@pytest.mark.parametrize(
    "make",
    [
        lambda: sensor(outlets=[Asset("s3://labels/export")]),
        lambda: sensor(on_success_callback=lambda context: None),
        lambda: sensor(post_execute=lambda context, result: None),
        lambda: sensor(multiple_outputs=True),
        lambda: sensor(do_xcom_push=False),
        lambda: sensor(Subclass),
        lambda: AvalaExportSensor(task_id="wait", export_id="x", deferrable=True),
        mapped_over,
    ],
    ids=["outlets", "callback", "post_execute", "outputs", "no XCom", "subclass", "no DAG", "mapped over"],
)
def test_a_task_with_something_left_to_do_goes_on_on_a_worker(
    make: Callable[[], AvalaExportSensor], avala: Emulator
) -> None:
    assert returns(make(), avala) == ""


def test_a_task_that_is_listened_to_goes_on_on_a_worker(avala: Emulator) -> None:
    manager, listener = get_listener_manager(), Listener()
    manager.pm.register(listener)
    try:
        assert returns(sensor(), avala) == ""
    finally:
        manager.pm.unregister(listener)


def end_of(export_id: str, returns: str, *, in_triggerer: bool = True) -> Any:
    """The first event of a trigger that waits for an export."""

    async def first() -> Any:
        trigger = AvalaExportTrigger(export_id, CONN_ID, 0.02, time.time() + 30, returns)
        trigger.task_instance = TASK_INSTANCE if in_triggerer else None
        return await anext(trigger.run())

    return asyncio.run(first())


def test_without_a_triggerer_the_task_is_resumed(avala: Emulator) -> None:
    """So it is in ``dag.test()``, which takes the payload of an event and nothing else."""
    export_id = avala.add_export()
    event = end_of(export_id, RESOURCE, in_triggerer=False)
    assert not isinstance(event, TaskSuccessEvent)
    assert event.payload == {"status": "finished", "export_id": export_id}


def test_a_task_that_was_not_told_to_end_there_is_resumed(avala: Emulator) -> None:
    assert not isinstance(end_of(avala.add_export(), ""), TaskSuccessEvent)


def test_an_export_that_failed_is_judged_by_the_task(avala: Emulator) -> None:
    event = end_of(avala.add_export(status="failed"), RESOURCE)
    assert not isinstance(event, TaskSuccessEvent)
    assert event.payload["status"] == "finished"


def test_an_xcom_that_cannot_be_stored_is_left_to_a_worker(avala: Emulator) -> None:
    """There is no supervisor here that could store it for Airflow 3; Airflow 2 stores it with the event."""
    event = end_of(avala.add_export(), RESOURCE)
    assert isinstance(event, TaskSuccessEvent) is AIRFLOW_2
    if AIRFLOW_2:
        assert event.xcoms["return_value"]["status"] == "exported"
        assert "://" not in json.dumps(event.xcoms)
