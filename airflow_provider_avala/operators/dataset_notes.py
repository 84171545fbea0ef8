"""What attempts at making a dataset tell each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.operators.task_notes import notes_of
from airflow_provider_avala.operators.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_avala.api.settings import Settings
    from airflow_provider_avala.api.upload_journal import JournalStore

_STATE_KEY = "avala_dataset"

log = logging.getLogger(__name__)


def dataset_notes(
    context: Context, settings: Settings, retries: int, dataset: Sequence[str | None]
) -> DatasetNotes:
    """The notes of a task.

    :param context: Airflow's.
    :param settings: the connection.
    :param retries: how many the task has.
    :param dataset: what is to be made; notes about something else do not count.
    """
    run = TaskRun.of(context, retries)
    store = notes_of(context, run, settings, _STATE_KEY)
    return DatasetNotes(run, store, dataset, certain=context.get("task_state_store") is not None)


class DatasetNotes:
    """What attempts of one task tell each other, also across a clear.

    :param run: the run of the task.
    :param store: where the notes are kept, if anywhere.
    :param dataset: what is to be made; notes about something else do not count.
    :param certain: whether the notes reach every attempt, wherever it runs.
    :ivar made_before_clear: whether the dataset that is noted was made before the task was cleared.
    """

    def __init__(
        self, run: TaskRun, store: JournalStore | None, dataset: Sequence[str | None], *, certain: bool
    ) -> None:
        self._run, self._store, self._certain = run, store, certain
        found = store.load() if store is not None else None
        earlier = found if isinstance(found, dict) and found.get("dataset") == [*dataset] else {}
        self._new = {"dataset": [*dataset], "run": run.digest, "scope": run.digest}
        self._notes: dict[str, Any] = {**self._new, **earlier}
        self.made_before_clear = bool(self.get("dataset_id")) and self.get("run") != run.digest
        self._notes["run"] = run.digest

    def get(self, key: str) -> Any:
        """See :class:`.Memory`."""
        return self._notes.get(key)

    def update(self, **notes: Any) -> None:
        """See :class:`.Memory`."""
        self._notes.update(notes)
        if self._store is None:
            return
        try:
            self._store.save(self._notes)
        except Exception as error:  # whatever keeps it from being kept, the upload itself can go on
            self._store, self._certain = None, False
            log.warning("How far the upload has come cannot be noted, a retry may send it again: %s", error)

    def begin_anew(self) -> None:
        """Forget the dataset that is noted, and its files, which may be gone with it; write nothing yet."""
        # Another scope, or the sessions of the old upload would pass for complete.
        self._new["scope"] = f"{self._run.digest}-{self.get('dataset_id')}"
        # A dataset of this very run may only not be seen yet by its id: then it is found by its name.
        kept = {} if self.made_before_clear else {"finalizing": self.get("finalizing")}
        self._notes, self.made_before_clear = {**self._new, **kept}, False

    def are_about(self, source: Any) -> bool:
        """Whether the files that were sent are those that a source names now.

        :param source: see :func:`.find_files`.
        :raises AvalaConfigurationError: if they cannot be found.
        """
        from airflow_provider_avala.api.ledger import manifest_of
        from airflow_provider_avala.api.managed_files import find_files

        return bool(self.get("manifest") == manifest_of(find_files(source)))

    @property
    def scope(self) -> str:
        """What the upload is known by: the run that began it."""
        return str(self.get("scope"))

    @property
    def dataset_may_exist(self) -> bool:
        """Whether an earlier attempt may have come as far as asking for the dataset."""
        return bool(self.get("finalizing")) or (not self._certain and self._run.attempt > 1)

    @property
    def oldest(self) -> datetime | None:
        """No dataset older than this is one of an earlier attempt's, as far as the notes do not say it."""
        return None if self._certain or self.get("finalizing") else self._run.oldest
