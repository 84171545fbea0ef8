"""Triggers that wait for Avala in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_avala.api.errors import is_transient
from airflow_provider_avala.api.models import State
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.outcomes import DUE, FINISHED, TIMEOUT, error_event


class AvalaExportTrigger(BaseTrigger):
    """Waits until an export has finished, well or badly, or until the deadline.

    A failed poll is not a failed export: as long as the error is one that passes, polling goes on.
    The event says only that there is something to look at; the task reads the export itself before it decides.

    :param export_id: id of the export.
    :param avala_conn_id: id of the Airflow connection.
    :param poll_interval: seconds between two polls.
    :param deadline: when to give up, in seconds since the epoch; holds across restarts of the triggerer.
    """

    def __init__(self, export_id: str, avala_conn_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()
        self.export_id = export_id
        self.avala_conn_id = avala_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer needs to build this trigger again: neither a key nor a signed URL."""
        return (
            "airflow_provider_avala.triggers.avala.AvalaExportTrigger",
            {
                "export_id": self.export_id,
                "avala_conn_id": self.avala_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is an outcome, and send one event about it."""
        hook = AvalaHook(self.avala_conn_id)
        begin = time.time()
        last_status, failed_polls = "unknown", 0
        while True:
            try:
                export = await asyncio.to_thread(hook.poll_export, self.export_id)
            except Exception as error:
                if not is_transient(error):
                    yield TriggerEvent({**error_event(error), "export_id": self.export_id})
                    return
                failed_polls += 1
                self.log.warning("A poll of export %s failed, polling goes on: %s", self.export_id, error)
            else:
                last_status = export.progress
                if export.state is not State.RUNNING:
                    yield TriggerEvent({"status": FINISHED, "export_id": self.export_id})
                    return
                self.log.info("Export %s: %s", self.export_id, last_status)
            rest = self.deadline - time.time()
            if rest <= 0:
                message = (
                    f"export {self.export_id} was not finished in time: last status {last_status!r},"
                    f" {failed_polls} polls failed, the trigger waited {time.time() - begin:.0f} s"
                )
                yield TriggerEvent({"status": TIMEOUT, "export_id": self.export_id, "message": message})
                return
            await asyncio.sleep(min(self.poll_interval, rest))


class AvalaDelayTrigger(BaseTrigger):
    """Lets time pass, for a task that Avala cannot serve at the moment.

    :param until: when the task is to try again, in seconds since the epoch.
    """

    def __init__(self, until: float) -> None:
        super().__init__()
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer needs to build this trigger again."""
        return "airflow_provider_avala.triggers.avala.AvalaDelayTrigger", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Send one event when the time has come."""
        await asyncio.sleep(max(0.0, self.until - time.time()))
        yield TriggerEvent({"status": DUE})
