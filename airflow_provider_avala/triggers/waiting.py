"""What all triggers have in common that wait for something at Avala to finish."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_avala.kinds import Kind


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
    def identity(self) -> dict[str, str]:
        """What is waited for, as an argument of this trigger."""
        return {self.kind.id_field: getattr(self, self.kind.id_field)}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer needs to build this trigger again: neither a key nor a signed URL."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self.identity,
                "avala_conn_id": self.avala_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                **({"returns": self.returns} if self.returns else {}),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until there is an outcome, and send one event about it."""
        from airflow_provider_avala.triggers.wait import outcome_event  # needed in the triggerer only

        yield await outcome_event(self)
