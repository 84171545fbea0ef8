"""The waiting itself, in the triggerer."""

from __future__ import annotations

import random
import time

from airflow.triggers.base import TriggerEvent

from airflow_provider_avala.api.models import State
from airflow_provider_avala.outcomes import FINISHED, ID, TIMEOUT, error_event
from airflow_provider_avala.triggers.ending import end_of_task
from airflow_provider_avala.triggers.poll_hub import waiting
from airflow_provider_avala.triggers.poll_plan import SHORTEST_INTERVAL
from airflow_provider_avala.triggers.waiters import UNKNOWN, Waiter
from airflow_provider_avala.triggers.waiting import WaitingTrigger

#: Seconds, on average, between two looks at whether there is progress to log.
LOG_INTERVAL = 60.0
#: Seconds in which the last look, at the deadline, has to be over. Airflow's own time-out comes after it.
LAST_LOOK = 30.0


async def outcome_event(trigger: WaitingTrigger) -> TriggerEvent:
    """Wait until there is an outcome, or until the deadline, and say so in an event.

    :param trigger: what waits.
    """
    (resource_id,) = trigger.identity.values()
    begin = time.time()
    with waiting(trigger.avala_conn_id, trigger.kind, resource_id, trigger.poll_interval) as waiter:
        ended = await _ended(trigger, waiter)
    if not ended:
        message = (
            f"{trigger.kind.name} {resource_id} was not finished in time: last status {waiter.progress!r},"
            f" {waiter.failed_polls} polls failed, the trigger waited {time.time() - begin:.0f} s"
            + (f"; the last error: {waiter.last_error}" if waiter.last_error else "")
        )
        payload = {"status": TIMEOUT, "message": message}
    elif isinstance(outcome := waiter.outcome.result(), Exception):
        payload = error_event(outcome)
    else:
        payload = {"status": FINISHED}
        if outcome.state is State.SUCCEEDED and trigger.returns:
            result = outcome.id if trigger.returns == ID else outcome.as_dict()
            if event := await end_of_task(trigger, result):
                return event
    return TriggerEvent({**payload, **trigger.identity})


async def _ended(trigger: WaitingTrigger, waiter: Waiter) -> bool:
    told = ""
    deadline = float("inf") if trigger.deadline is None else trigger.deadline
    while (rest := deadline - time.time()) > 0:
        # At random, so that thousands that began together do not all log in the same instant.
        pause = (LOG_INTERVAL if told else max(trigger.poll_interval, SHORTEST_INTERVAL)) * random.uniform(
            0.5, 1.5
        )
        if await waiter.ended(min(rest, pause)):
            return True
        told = _tell(trigger, waiter, told)
    return await waiter.last_look(LAST_LOOK)


def _tell(trigger: WaitingTrigger, waiter: Waiter, told: str) -> str:
    words = waiter.progress
    if words == UNKNOWN and not waiter.failed_polls:
        return told
    if waiter.failed_polls:
        words += f", {waiter.failed_polls} polls failed"
    if waiter.last_error:
        words += f", the last one: {waiter.last_error}"
    if words != told:
        trigger.log.info("%s %s: %s", trigger.kind.name.capitalize(), waiter.id, words)
    return words
