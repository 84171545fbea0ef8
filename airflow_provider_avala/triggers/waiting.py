"""What all triggers have in common that wait for something at Avala to finish."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_avala.api.models import State
from airflow_provider_avala.kinds import Kind
from airflow_provider_avala.outcomes import FINISHED, ID, TIMEOUT, error_event
from airflow_provider_avala.triggers.ending import end_of_task
from airflow_provider_avala.triggers.poll_hub import waiting
from airflow_provider_avala.triggers.poll_plan import SHORTEST_INTERVAL
from airflow_provider_avala.triggers.waiters import UNKNOWN, Waiter

#: Seconds, on average, between two looks at whether there is progress to log.
LOG_INTERVAL = 60.0
#: Seconds in which the last look, at the deadline, has to be over. Airflow's own time-out comes after it.
LAST_LOOK = 30.0


class WaitingTrigger(BaseTrigger):
    """Waits until something has finished, well or badly, or until the deadline.

    A failed poll is not a failed export: as long as the error is one that passes, polling goes on.
    The event says only that there is something to look at; the task reads the resource itself before it decides.
    Where nothing remains to be done for a task, the trigger ends it, with its XCom, once all went well.

    :param avala_conn_id: id of the Airflow connection.
    :param poll_interval: seconds between two polls; more if the key's budget is too short for it.
    :param deadline: when to give up, in seconds since the epoch; holds across restarts of the triggerer. None leaves
        that to Airflow's own time-out.
    :param returns: what the task returns if the trigger is to end it: :data:`.outcomes.ID` or
        :data:`.outcomes.RESOURCE`; empty if the task is to go on by itself.
    """

    #: What is waited for; its id is the attribute ``export_id`` of a trigger that waits for an export, and so on.
    kind: ClassVar[Kind]

    def __init__(
        self, avala_conn_id: str, poll_interval: float, deadline: float | None, returns: str = ""
    ) -> None:
        super().__init__()
        self.avala_conn_id = avala_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.returns = returns

    @property
    def _identity(self) -> dict[str, str]:
        return {self.kind.id_field: getattr(self, self.kind.id_field)}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer needs to build this trigger again: neither a key nor a signed URL."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self._identity,
                "avala_conn_id": self.avala_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                **({"returns": self.returns} if self.returns else {}),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until there is an outcome, and send one event about it."""
        (resource_id,) = self._identity.values()
        begin = time.time()
        with waiting(self.avala_conn_id, self.kind, resource_id, self.poll_interval) as waiter:
            ended = await self._ended(waiter)
        if not ended:
            message = (
                f"{self.kind.name} {resource_id} was not finished in time: last status {waiter.progress!r},"
                f" {waiter.failed_polls} polls failed, the trigger waited {time.time() - begin:.0f} s"
                + (f"; the last error: {waiter.last_error}" if waiter.last_error else "")
            )
            payload = {"status": TIMEOUT, "message": message}
        elif isinstance(outcome := waiter.outcome.result(), Exception):
            payload = error_event(outcome)
        else:
            payload = {"status": FINISHED}
            if outcome.state is State.SUCCEEDED and self.returns:
                result = outcome.id if self.returns == ID else outcome.as_dict()
                if event := await end_of_task(self, result):
                    yield event
                    return
        yield TriggerEvent({**payload, **self._identity})

    async def _ended(self, waiter: Waiter) -> bool:
        told = ""
        deadline = float("inf") if self.deadline is None else self.deadline
        while (rest := deadline - time.time()) > 0:
            # At random, so that thousands that began together do not all log in the same instant.
            pause = (LOG_INTERVAL if told else max(self.poll_interval, SHORTEST_INTERVAL)) * random.uniform(
                0.5, 1.5
            )
            if await waiter.ended(min(rest, pause)):
                return True
            told = self._tell(waiter, told)
        return await waiter.last_look(LAST_LOOK)

    def _tell(self, waiter: Waiter, told: str) -> str:
        words = waiter.progress
        if words == UNKNOWN and not waiter.failed_polls:
            return told
        if waiter.failed_polls:
            words += f", {waiter.failed_polls} polls failed"
        if waiter.last_error:
            words += f", the last one: {waiter.last_error}"
        if words != told:
            self.log.info("%s %s: %s", self.kind.name.capitalize(), waiter.id, words)
        return words
