"""How what happens at Avala ends an Airflow task: the same for operators and sensors, in every mode of waiting.

Fatal errors end a task at once (:class:`AirflowFailException`), because its retries could only fail again.
Everything else is raised as it is, so that Airflow retries the task.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_avala.api.errors import (
    AvalaError,
    AvalaExportFailedError,
    AvalaFailedError,
    AvalaTimeoutError,
    is_fatal,
    is_transient,
)
from airflow_provider_avala.kinds import EXPORTS, Kind

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    from airflow_provider_avala.api.models import Resource
    from airflow_provider_avala.hooks.avala import AvalaHook

#: Statuses of trigger events.
FINISHED = "finished"
TIMEOUT = "timeout"
ERROR = "error"
DUE = "due"

#: What a task returns that its trigger may end: the id of what was waited for, or all of it as a dict.
ID = "id"
RESOURCE = "resource"

#: Seconds for which a task that resumes tries to reach Avala, before it goes back to waiting in the triggerer.
_PATIENCE = 30.0
#: Seconds for which the last look, after the deadline, queues for the key's rate limit.
_LAST_QUEUE = 5.0


@contextmanager
def fatal_errors_end_the_task() -> Iterator[None]:
    """Turn an error that no retry can mend into one that Airflow does not retry.

    :raises AirflowFailException: from the fatal error, with its message.
    """
    try:
        yield
    except AvalaError as error:
        if is_fatal(error):
            raise AirflowFailException(str(error)) from error
        raise


def error_event(error: Exception) -> dict[str, Any]:
    """What a trigger tells the task about an error that it cannot wait out.

    :param error: what a poll raised.
    """
    return {"status": ERROR, "message": str(error) or type(error).__name__, "fatal": is_fatal(error)}


def is_successful(resource: Resource) -> bool:
    """Whether an export, or something else, has finished well; false while it runs.

    :param resource: the resource as last read.
    :raises AvalaFailedError: if it failed; of an export, an :class:`.AvalaExportFailedError`.
    """
    from airflow_provider_avala.api.models import Export, State

    if resource.state is State.FAILED:
        raise AvalaExportFailedError(resource) if isinstance(resource, Export) else AvalaFailedError(resource)
    return resource.state is State.SUCCEEDED


def resumed(hook: AvalaHook, resource_id: str, event: Any, kind: Kind = EXPORTS) -> Resource | None:
    """Decide after a trigger's event, by what the export says now: the event may be stale.

    :param hook: the hook of the task's connection.
    :param resource_id: id of what was waited for.
    :param event: what the trigger sent.
    :param kind: what was waited for.
    :returns: the resource, successful; None if Avala cannot be asked at the moment, so that waiting has to go on.
    :raises AirflowFailException: the trigger met an error that no retry can mend.
    :raises AirflowException: the trigger met another error, or the event is none of ours.
    :raises AvalaFailedError: it failed.
    :raises AvalaTimeoutError: it was not finished in time.
    """
    status = event.get("status") if isinstance(event, dict) else None
    if status == ERROR:
        message = f"waiting ended with an error: {event.get('message')}"
        raise (AirflowFailException if event.get("fatal") else AirflowException)(message)
    if status not in (FINISHED, TIMEOUT) or not resource_id or told_id(event, kind) != resource_id:
        raise AirflowException(
            f"the trigger sent an event that is not about {kind.name} {resource_id}: {event!r}"
        )
    try:
        patience = _PATIENCE if status == FINISHED else 0.0
        resource = kind.ask(hook, resource_id, patience=patience, queue=max(patience, _LAST_QUEUE))
    except AvalaError as error:
        if not is_transient(error):
            raise
        if status == FINISHED:
            return None
        raise AvalaTimeoutError(str(event.get("message"))) from error
    if is_successful(resource):
        return resource
    if status == TIMEOUT:
        raise AvalaTimeoutError(str(event.get("message")))
    raise AirflowException(f"{kind.name} {resource_id} was announced as finished, but is {resource.status!r}")


def nothing_remains(task: BaseOperator) -> bool:
    """Whether no worker is needed any more once a task has succeeded, so that its trigger may end it.

    :param task: the operator or sensor, in its DAG.
    """
    return is_plain(task) and task.get_dag() is not None and is_unobserved(task)


def is_plain(task: BaseOperator) -> bool:
    """Whether a task asks for nothing that only workers do: the part that is known as soon as the task is made.

    Workers alone send asset events for outlets, run callbacks (Airflow 3 drops them otherwise), and store the keys of a
    dict as XComs of their own. A subclass may do anything.

    :param task: the operator or sensor.
    """
    return (
        type(task).__module__.startswith(f"{__package__}.")
        and bool(task.do_xcom_push)
        and not task.outlets
        and not task.on_success_callback
        and not getattr(task, "_post_execute_hook", None)
        and not getattr(task, "multiple_outputs", False)
        and not getattr(task, "returns_dag_result", False)
    )


def is_unobserved(task: BaseOperator) -> bool:
    """Whether nobody depends on a worker's word that the task has succeeded: the part that the whole DAG decides.

    Workers alone tell listeners, such as OpenLineage's, and note how many tasks are to be mapped over an XCom.

    :param task: the operator or sensor in its DAG, or what Airflow makes of it in the triggerer.
    """
    from airflow.providers.common.compat.sdk import get_listener_manager  # which reads all plugins

    return not get_listener_manager().has_listeners and not any(task.iter_mapped_dependants())


def told_id(event: Any, kind: Kind = EXPORTS) -> str:
    """The id of the resource that an event is about, or empty.

    :param event: what a trigger sent.
    :param kind: what it is to be about.
    """
    return str(event.get(kind.id_field) or "") if isinstance(event, dict) else ""


def backstop(deadline: float, poll_interval: float) -> timedelta:
    """After how long Airflow itself ends a deferral whose trigger did not.

    :param deadline: when the trigger gives up, in seconds since the epoch.
    :param poll_interval: seconds between two polls.
    """
    return timedelta(seconds=max(0.0, deadline - time.time()) + 2 * poll_interval + 60)


def is_backstop(next_method: str, next_kwargs: dict[str, Any] | None) -> bool:
    """Whether a task is resumed because its deferral reached :func:`backstop`.

    :param next_method: what Airflow resumes the task with.
    :param next_kwargs: the arguments of that.
    """
    return next_method == "__fail__" and "timeout" in str((next_kwargs or {}).get("error")).lower()
