"""What the end-to-end tests remember of a DAG run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_avala.emulator import RequestRecord
from scripts.local_airflow import LocalAirflow

WRONG_KEY = f"avk_wrong_{secrets.token_hex(16)}"
ASTRAY = secrets.token_hex(16)  # signature of a URL that leads nowhere


@dataclass
class Run:
    """A DAG run that is over, and what was seen on the way.

    :param conf: what it was triggered with
    :param changes: task id -> its task instances as the REST API showed them at each change of state
    """

    dag_id: str
    run_id: str
    conf: dict[str, str] = field(default_factory=dict)
    state: str = ""
    changes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def follow_until(self, changes: Iterator[dict[str, Any]], state: str = "") -> None:
        """Note changes up to the first of this state, or all there are."""
        for task in changes:
            self.changes.setdefault(task["task_id"], []).append(task)
            if task["state"] == state:
                return

    def finish(self, airflow: LocalAirflow, changes: Iterator[dict[str, Any]]) -> None:
        """Note all changes up to the end of the run."""
        self.follow_until(changes)
        self.state = airflow.run_state(self.dag_id, self.run_id)

    def last(self, task_id: str) -> dict[str, Any]:
        """The final task instance."""
        return self.changes[task_id][-1]

    def states(self, task_id: str) -> list[str]:
        """The states that were seen, in order."""
        return [change["state"] for change in self.changes[task_id]]


@dataclass
class Quickstart(Run):
    """The quickstart's run.

    :param polls_while_deferred: requests about the export that came while no task of the run was on a worker
    :param export_state_then: what Avala said about the export at that time
    :param key_then: where the API key was to be found at that time
    :param export_id_then: where the export's id was to be found at that time
    :param requests: all that reached Avala during the run
    """

    polls_while_deferred: list[RequestRecord] = field(default_factory=list)
    export_state_then: str = ""
    key_then: list[str] = field(default_factory=list)
    export_id_then: list[str] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)
