"""Creating exports, exactly once."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import conf

from airflow_provider_avala.api.errors import (
    AvalaError,
    AvalaNotFoundError,
    AvalaRateLimitError,
    AvalaTimeoutError,
)
from airflow_provider_avala.kinds import EXPORTS
from airflow_provider_avala.operators.base import AvalaOperator, seconds
from airflow_provider_avala.outcomes import (
    ID,
    backstop,
    fatal_errors_end_the_task,
    is_successful,
    nothing_remains,
    resumed,
    told_id,
)
from airflow_provider_avala.triggers.avala import AvalaDelayTrigger, AvalaExportTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_avala.api.models import Export
    from airflow_provider_avala.operators.task_run import TaskRun

_STATE_KEY = "avala_export"


class AvalaCreateExportOperator(AvalaOperator):
    """Creates an export, exactly once for each run of the task; returns its id in every mode.

    The export's name ends with a digest of the task run. A retry finds its own export by that name and goes on with it;
    a cleared task creates a new one, and so does a retry whose export has failed. While Avala takes no further export,
    because too many are running, the operator waits for its turn: in the triggerer if ``deferrable``.

    :param project_id: the project to export, or a list of them (templated).
    :param dataset_id: the dataset to export, or a list of them (templated).
    :param slice_id: the slice to export, or a list of them (templated).
    :param export_format: the API's name of the format (templated).
    :param name: how the export's name begins; by default with DAG and task (templated).
    :param payload: a body that replaces all of the above; a retry can then recognise its export only where
        Airflow keeps task state (3.3 and later) (templated).
    :param wait_for_completion: whether to wait until the export has finished.
    :param deferrable: whether to wait in the triggerer; by default Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds between two polls.
    :param timeout: seconds after which to stop waiting, be it for a place or for the export.
    :param avala_conn_id: id of the Airflow connection (templated).
    """

    template_fields: Sequence[str] = (
        "project_id",
        "dataset_id",
        "slice_id",
        "export_format",
        "name",
        "payload",
        "avala_conn_id",
    )
    template_fields_renderers = {"payload": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        project_id: str | Sequence[str] | None = None,
        dataset_id: str | Sequence[str] | None = None,
        slice_id: str | Sequence[str] | None = None,
        export_format: str = "json",
        name: str | None = None,
        payload: Mapping[str, Any] | None = None,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 10,
        timeout: float | timedelta = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.dataset_id = dataset_id
        self.slice_id = slice_id
        self.export_format = export_format
        self.name = name
        self.payload = payload
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self.timeout = seconds(timeout, "timeout")

    def execute(self, context: Context) -> str:
        """Create the export, or find the one of this task run; then wait for it, if that is wanted.

        :raises AirflowFailException: an error that no retry can mend.
        :raises AvalaError: an error that a retry may mend; an export that failed is one.
        """
        return self._create_and_wait(context, time.time() + self.timeout)

    def execute_later(self, context: Context, event: Any = None, deadline: float = 0.0) -> str:
        """Try again to create the export, after Avala had no place for another one.

        :param event: what the trigger sent: that the time has come.
        :param deadline: when to give up, in seconds since the epoch.
        """
        # dag.test() hands on nothing but the event
        told = event.get("deadline") if isinstance(event, dict) else None
        return self._create_and_wait(context, deadline or told or time.time() + self.timeout)

    def _create_and_wait(self, context: Context, deadline: float) -> str:
        from airflow_provider_avala.operators.polling import poll_until_successful

        with fatal_errors_end_the_task():
            if not self.wait_for_completion or self.deferrable:
                export = self._create(context, deadline)
                if not self.wait_for_completion or is_successful(export):
                    return export.id
                self._wait_in_triggerer(export.id, deadline)
            with self.hook.client.export_slot(max(0.0, deadline - time.time())):
                export = self._create(context, deadline)
                return poll_until_successful(
                    self.hook,
                    EXPORTS,
                    export.id,
                    poll_interval=self.poll_interval,
                    deadline=deadline,
                    timeout=self.timeout,
                ).id

    def _create(self, context: Context, deadline: float) -> Export:
        """Create the export, waiting for a place among the running ones if need be."""
        while True:
            try:
                return self._of_this_run(context)
            except AvalaRateLimitError as refused:
                again = time.time() + max(refused.retry_after or 0.0, self.poll_interval) * random.uniform(
                    1.0, 1.2
                )
                if again > deadline:
                    raise AvalaTimeoutError(
                        f"no export could be created within {self.timeout:g} s, Avala is busy: {refused}"
                    ) from refused
                self.log.info(
                    "Avala takes no further export yet; next attempt in %.0f s.", again - time.time()
                )
            if self.deferrable:
                self.defer(
                    trigger=AvalaDelayTrigger(again, deadline),
                    method_name="execute_later",
                    kwargs={"deadline": deadline},
                    timeout=backstop(again, self.poll_interval),
                )
            time.sleep(max(0.0, again - time.time()))

    def _wait_in_triggerer(self, export_id: str, deadline: float) -> NoReturn:
        returns = ID if nothing_remains(self) else ""
        self.defer(
            trigger=AvalaExportTrigger(export_id, self.avala_conn_id, self.poll_interval, deadline, returns),
            method_name="execute_complete",
            kwargs={"export_id": export_id, "deadline": deadline},
            timeout=backstop(deadline, self.poll_interval),
        )

    def execute_complete(
        self, context: Context, event: Any = None, export_id: str = "", deadline: float = 0.0
    ) -> str:
        """Go on after the trigger's event.

        :param event: what the trigger sent.
        :param export_id: id of the export that was waited for.
        :param deadline: when to give up, in seconds since the epoch.
        """
        with fatal_errors_end_the_task():
            export_id = export_id or told_id(event)  # dag.test() hands on the event and nothing else
            export = resumed(self.hook, export_id, event)
            if export is None:
                self._wait_in_triggerer(export_id, deadline or time.time() + self.timeout)
            self._created_id = export.id
            return export.id

    def _of_this_run(self, context: Context) -> Export:
        from airflow_provider_avala.operators.task_run import TaskRun

        run = TaskRun.of(context, self.retries or 0)
        store = context.get("task_state_store")
        note = store.get(_STATE_KEY) if store is not None else None
        if not isinstance(note, dict) or note.get("run") != run.digest:
            note = {"run": run.digest}
        export = self._remembered(note) or self._created(run, store, note)
        if store is not None:
            store.set(_STATE_KEY, {"run": run.digest, "export_id": export.id})
        self.log.info("Export %s (%s): %s", export.id, export.name or "unnamed", export.progress)
        self.link_to(context, export)
        self._created_id = export.id
        return export

    def _remembered(self, note: Mapping[str, Any]) -> Export | None:
        from airflow_provider_avala.api.models import State

        if not note.get("export_id"):
            return None
        try:
            export = self.hook.get_export(str(note["export_id"]))
        except AvalaNotFoundError:
            return None
        return None if export.state is State.FAILED else export

    def _created(self, run: TaskRun, store: Any, note: Mapping[str, Any]) -> Export:
        """Create the export. Where its name does not tell whose it is, note first that it is about to be created."""
        notes = store is not None and not (self.payload is None and self.hook.client.dialect.names_exports)
        if notes and note.get("asked"):
            raise _interrupted()
        if notes:
            store.set(_STATE_KEY, {"run": run.digest, "asked": True})
        try:
            return self.hook.create_export(
                project_id=self.project_id,
                dataset_id=self.dataset_id,
                slice_id=self.slice_id,
                export_format=self.export_format,
                name=run.name(self.name),
                payload=self.payload,
                reattach=self.payload is None,
                created_after=run.oldest,
                patient=False,
                marker=run.digest,
                must_look=run.is_retry,
            )
        except AvalaError as error:
            if notes and not error.may_double:
                store.set(_STATE_KEY, {"run": run.digest})
            raise

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage that the export was made of its projects, datasets and slices.

        :param task_instance: the run of the task.
        """
        from airflow_provider_avala import lineage

        sources = lineage.of_export(self.project_id, self.dataset_id, self.slice_id, self.payload)
        return lineage.operator_lineage(sources, lineage.at_avala(exports=getattr(self, "_created_id", None)))


def _interrupted() -> AvalaError:
    error = AvalaError(
        "An earlier attempt of this task was interrupted while it created an export that has no name of its own."
        " Whether the export was created is unknown: look at the list of exports. Clear the task to create another one."
    )
    error.may_double = True
    return error
