"""Triggers that wait for Avala in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_avala.kinds import DATASETS, EXPORTS
from airflow_provider_avala.outcomes import DUE
from airflow_provider_avala.triggers.waiting import WaitingTrigger

if TYPE_CHECKING:
    from airflow_provider_avala.triggers.events import AvalaExportEventTrigger

__all__ = ["AvalaDatasetTrigger", "AvalaDelayTrigger", "AvalaExportEventTrigger", "AvalaExportTrigger"]


class AvalaExportTrigger(WaitingTrigger):
    """Waits until an export has finished, well or badly, or until the deadline; see :class:`.WaitingTrigger`.

    :param export_id: id of the export.
    :param avala_conn_id: id of the Airflow connection.
    :param poll_interval: seconds between two polls; more if the key's budget is too short for it.
    :param deadline: when to give up, in seconds since the epoch; holds across restarts of the triggerer. None leaves
        that to Airflow's own time-out.
    :param returns: what the task returns if the trigger is to end it; see :class:`.WaitingTrigger`.
    """

    kind = EXPORTS

    def __init__(
        self,
        export_id: str,
        avala_conn_id: str,
        poll_interval: float,
        deadline: float | None,
        returns: str = "",
    ) -> None:
        super().__init__(avala_conn_id, poll_interval, deadline, returns)
        self.export_id = export_id


class AvalaDatasetTrigger(WaitingTrigger):
    """Waits until a dataset has been created, or until the deadline; see :class:`.WaitingTrigger`.

    :param dataset_id: id of the dataset.
    :param avala_conn_id: id of the Airflow connection.
    :param poll_interval: seconds between two polls; more if the key's budget is too short for it.
    :param deadline: when to give up, in seconds since the epoch; holds across restarts of the triggerer. None leaves
        that to Airflow's own time-out.
    :param returns: what the task returns if the trigger is to end it; see :class:`.WaitingTrigger`.
    """

    kind = DATASETS

    def __init__(
        self,
        dataset_id: str,
        avala_conn_id: str,
        poll_interval: float,
        deadline: float | None,
        returns: str = "",
    ) -> None:
        super().__init__(avala_conn_id, poll_interval, deadline, returns)
        self.dataset_id = dataset_id


class AvalaDelayTrigger(BaseTrigger):
    """Lets time pass, for a task that Avala cannot serve at the moment.

    :param until: when the task is to try again, in seconds since the epoch.
    :param deadline: when the task gives up; the event tells it again.
    """

    def __init__(self, until: float, deadline: float) -> None:
        super().__init__()
        self.until = until
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer needs to build this trigger again."""
        return (
            "airflow_provider_avala.triggers.avala.AvalaDelayTrigger",
            {"until": self.until, "deadline": self.deadline},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Send one event when the time has come."""
        await asyncio.sleep(max(0.0, self.until - time.time()))
        yield TriggerEvent({"status": DUE, "deadline": self.deadline})


def __getattr__(name: str) -> Any:
    """Load the trigger of event-driven DAGs only for those: Airflow parses all DAG files time and again."""
    if name == "AvalaExportEventTrigger":
        from airflow_provider_avala.triggers.events import AvalaExportEventTrigger

        return AvalaExportEventTrigger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
