"""What the attempts of a task tell each other, also across a clear: one JSON value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.operators.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_avala.api.settings import Settings
    from airflow_provider_avala.api.upload_journal import JournalStore


def notes_of(context: Context, run: TaskRun, settings: Settings, key: str) -> JournalStore | None:
    """Where the attempts of a task find each other's notes; None for what is no task, and so has no retry.

    Airflow's task state holds them where there is such (3.3 and later), else a file does, for retries on the same host.

    :param context: Airflow's.
    :param run: the run of the task.
    :param settings: the connection.
    :param key: what the notes are about.
    """
    if context.get("ti") is None:
        return None
    if (state := context.get("task_state_store")) is not None:
        return _TaskState(state, key)

    from airflow_provider_avala.api.upload_journal import FileStore  # only what uploads loads it

    store = FileStore(settings.state_dir, key, settings.base_url, run.instance)
    if not run.is_retry:  # what is there was left behind by something else of these names
        store.remove()
    return store


@dataclass(frozen=True)
class _TaskState:
    """Keeps notes in Airflow's task state.

    :param store: the context's.
    :param key: what the notes are about.
    """

    store: Any
    key: str

    def load(self) -> Any:
        """What was saved last, or None."""
        return self.store.get(self.key)

    def save(self, value: Mapping[str, Any]) -> None:
        """Keep a value instead of the one before."""
        self.store.set(self.key, dict(value))
