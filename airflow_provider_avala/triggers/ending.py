"""Ending a task from its trigger, so that no worker is needed any more."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_avala.outcomes import is_unobserved

_XCOM_KEY = "return_value"


async def end_of_task(trigger: BaseTrigger, result: Any) -> TriggerEvent | None:
    """The event that ends a task with success and this result; None if the task has to be resumed instead.

    It has to be where no triggerer runs the trigger (``dag.test()``), where this release of Airflow lets triggers store
    no XCom, and where storing it failed.

    :param trigger: the trigger that waited.
    :param result: what the task is to return.
    """
    task_instance: Any = trigger.task_instance
    task = getattr(task_instance, "task", None)  # known here if no worker has seen it
    if task_instance is None or (task and not is_unobserved(task)):
        return None
    try:
        from airflow.sdk.execution_time.xcom import XCom
    except ImportError:  # Airflow 2
        return TaskSuccessEvent(xcoms={_XCOM_KEY: result})
    if not hasattr(BaseTrigger, "on_kill"):  # before Airflow 3.3
        return None
    # Not by the event: up to 3.3.2 Airflow encodes such XComs twice, and passes over the XCom backend.
    store = partial(
        XCom.set,
        key=_XCOM_KEY,
        value=result,
        dag_id=task_instance.dag_id,
        task_id=task_instance.task_id,
        run_id=task_instance.run_id,
        map_index=-1 if task_instance.map_index is None else task_instance.map_index,
    )
    try:
        await asyncio.to_thread(store)
    except Exception:
        trigger.log.warning("The XCom cannot be stored here; a worker will do it.", exc_info=True)
        return None
    return TaskSuccessEvent()
