"""Operators for Avala: upload items, create and download exports, call any endpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaError,
    AvalaNotFoundError,
    AvalaTimeoutError,
    is_transient,
)
from airflow_provider_avala.api.models import State
from airflow_provider_avala.api.uploads import DEFAULT_PART_SIZE
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.operators.task_run import TaskRun
from airflow_provider_avala.outcomes import backstop, fatal_errors_end_the_task, is_successful, resumed
from airflow_provider_avala.triggers.avala import AvalaExportTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_avala.api.models import Export

_STATE_KEY = "avala_export"


class _AvalaOperator(BaseOperator):
    """What all operators share: the connection.

    :param avala_conn_id: id of the Airflow connection (templated).
    """

    ui_color = "#e4f0f6"

    def __init__(self, *, avala_conn_id: str = AvalaHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.avala_conn_id = avala_conn_id

    @cached_property
    def hook(self) -> AvalaHook:
        """The hook of this operator's connection."""
        return AvalaHook(self.avala_conn_id)


class AvalaUploadItemsOperator(_AvalaOperator):
    """Uploads JSONL to a dataset, in parts; returns ``{"dataset_id", "items", "parts", "bytes"}``.

    Every line is checked before its part is sent. If Avala has accepted some of the parts when the upload stops, the
    task fails at once and says which lines are stored: a retry would store them a second time.

    :param dataset_id: id of the dataset (templated).
    :param source: JSONL file: a local path or an object storage URL, or a list of such (templated).
    :param items: the items themselves, as dicts, instead of ``source`` (templated).
    :param part_size: size of a part in bytes.
    :param concurrency: number of parts in flight.
    :param avala_conn_id: id of the Airflow connection (templated).
    """

    template_fields: Sequence[str] = ("dataset_id", "source", "items", "avala_conn_id")

    def __init__(
        self,
        *,
        dataset_id: str,
        source: Any = None,
        items: Any = None,
        part_size: int = DEFAULT_PART_SIZE,
        concurrency: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset_id = dataset_id
        self.source = source
        self.items = items
        self.part_size = part_size
        self.concurrency = concurrency

    def execute(self, context: Context) -> dict[str, Any]:
        """Upload, and report what Avala has accepted.

        :raises AirflowFailException: an error that no retry can mend.
        """
        with fatal_errors_end_the_task():
            summary = self.hook.upload_items(
                self.dataset_id,
                self.source,
                items=self.items,
                part_size=self.part_size,
                concurrency=self.concurrency,
            )
        self.log.info("Dataset %s: %d items in %d parts.", summary.dataset_id, summary.items, summary.parts)
        return summary.as_dict()


class AvalaCreateExportOperator(_AvalaOperator):
    """Creates an export, exactly once for each run of the task; returns its id in every mode.

    The export's name ends with a digest of the task run. A retry finds its own export by that name and goes on with it;
    a cleared task creates a new one, and so does a retry whose export has failed.

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
    :param timeout: seconds after which to stop waiting.
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
        self.poll_interval = _seconds(poll_interval, "poll_interval")
        self.timeout = _seconds(timeout, "timeout")

    def execute(self, context: Context) -> str:
        """Create the export, or find the one of this task run; then wait for it, if that is wanted.

        :raises AirflowFailException: an error that no retry can mend.
        :raises AvalaError: an error that a retry may mend; an export that failed is one.
        """
        deadline = time.time() + self.timeout
        with fatal_errors_end_the_task():
            export = self._of_this_run(context)
            if not self.wait_for_completion or is_successful(export):
                return export.id
            if not self.deferrable:
                return self._wait(export.id, deadline)
            self._wait_in_triggerer(export.id, deadline)

    def _wait_in_triggerer(self, export_id: str, deadline: float) -> NoReturn:
        self.defer(
            trigger=AvalaExportTrigger(export_id, self.avala_conn_id, self.poll_interval, deadline),
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
            export = resumed(self.hook, export_id, event)
            if export is None:
                self._wait_in_triggerer(export_id, deadline)
            return export.id

    def _of_this_run(self, context: Context) -> Export:
        run = TaskRun.of(context, self.retries or 0)
        store = context.get("task_state_store")
        export = self._remembered(store, run) or self.hook.create_export(
            project_id=self.project_id,
            dataset_id=self.dataset_id,
            slice_id=self.slice_id,
            export_format=self.export_format,
            name=run.name(self.name),
            payload=self.payload,
            reattach=self.payload is None,
            created_after=run.oldest,
        )
        if store is not None:
            store.set(_STATE_KEY, {"run": run.digest, "export_id": export.id})
        self.log.info("Export %s (%s): %s", export.id, export.name or "unnamed", export.progress)
        return export

    def _remembered(self, store: Any, run: TaskRun) -> Export | None:
        note = store.get(_STATE_KEY) if store is not None else None
        if not isinstance(note, dict) or note.get("run") != run.digest:
            return None
        try:
            export = self.hook.get_export(str(note.get("export_id")))
        except AvalaNotFoundError:
            return None
        return None if export.state is State.FAILED else export

    def _wait(self, export_id: str, deadline: float) -> str:
        status = "unknown"
        while True:
            try:
                export = self.hook.poll_export(export_id, patience=self.poll_interval)
            except AvalaError as error:
                if not is_transient(error):
                    raise
                self.log.warning("A poll of export %s failed, polling goes on: %s", export_id, error)
            else:
                if is_successful(export):
                    return export_id
                status = export.progress
            rest = deadline - time.time()
            if rest <= 0:
                raise AvalaTimeoutError(
                    f"export {export_id} was not finished within {self.timeout:g} s, its last status was {status!r}"
                )
            time.sleep(min(self.poll_interval, rest))


class AvalaDownloadExportOperator(_AvalaOperator):
    """Downloads the file of a finished export; returns the path.

    The file is written under another name, verified, and then renamed, so that whoever sees it sees all of it.

    :param export_id: id of the export (templated).
    :param path: local path or object storage URL; a folder if it ends with a slash or is one (templated).
    :param avala_conn_id: id of the Airflow connection (templated).
    """

    template_fields: Sequence[str] = ("export_id", "path", "avala_conn_id")

    def __init__(self, *, export_id: str, path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.export_id = export_id
        self.path = path

    def execute(self, context: Context) -> str:
        """Download, and return the path of the file.

        :raises AirflowFailException: an error that no retry can mend.
        """
        with fatal_errors_end_the_task():
            summary = self.hook.download_export(self.export_id, self.path)
        self.log.info("Export %s: %d bytes in %s.", self.export_id, summary.bytes, summary.path)
        return summary.path


class _OwnParams(type(BaseOperator)):  # type: ignore[misc]
    """Lets an operator have an argument ``params``, although Airflow merges the DAG's params into that name."""

    def __call__(cls, *args: Any, params: Any = None, **kwargs: Any) -> Any:
        """Pass ``params`` on as ``query``, which Airflow leaves alone.

        :param params: query parameters; in a mapped task Airflow's own, because ``partial`` has taken ours.
        """
        if kwargs.get("_airflow_from_mapped"):
            _refuse_expanded(params or {}, getattr(kwargs.get("dag"), "params", {}))
        elif "query" not in kwargs:
            kwargs["query"] = params
        return super().__call__(*args, **kwargs)


def _refuse_expanded(params: Any, of_the_dag: Any) -> None:
    def value(of: Any, name: str) -> Any:
        return of.get_param(name).resolve(suppress_exception=True)

    for name in params:
        if name not in of_the_dag or value(params, name) != value(of_the_dag, name):
            raise AvalaConfigurationError(
                f"params: Airflow keeps {name!r} for itself in a mapped task; write expand(query=...)"
            )


class AvalaApiOperator(_AvalaOperator, metaclass=_OwnParams):
    """Calls any endpoint; returns the decoded JSON, or with ``paginate`` the list of all resources.

    A POST whose answer was lost is not repeated by this operator, but it is by the task's ``retries``: set them to 0
    where doing it twice would do harm.

    :param endpoint: relative to the base URL, such as ``/datasets/`` (templated).
    :param method: HTTP method.
    :param params: query parameters (templated).
    :param json: body, sent as JSON (templated).
    :param paginate: whether to follow the pages of a list to its end.
    :param query: the same as ``params``; ``expand`` needs this name, because Airflow keeps the other for itself.
    :param avala_conn_id: id of the Airflow connection (templated).
    """

    template_fields: Sequence[str] = ("endpoint", "query", "json", "avala_conn_id")
    template_fields_renderers = {"query": "json", "json": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        endpoint: str,
        method: str = "GET",
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        paginate: bool = False,
        query: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.method = method
        self.query = query
        self.json = json
        self.paginate = paginate
        if paginate and (method.upper() != "GET" or json is not None):
            raise AvalaConfigurationError(
                "paginate: only a GET without json has pages; drop paginate or the body"
            )

    @classmethod
    def partial(cls, *, params: Any = None, **kwargs: Any) -> Any:
        """Begin a mapped task.

        :param params: query parameters, passed on as ``query``.
        """
        if params is not None:
            kwargs.setdefault("query", params)
        return super().partial(**kwargs)

    def execute(self, context: Context) -> Any:
        """Call the endpoint.

        :raises AirflowFailException: an error that no retry can mend.
        """
        with fatal_errors_end_the_task():
            if self.paginate:
                return list(self.hook.paginate(self.endpoint, params=self.query))
            return self.hook.run(self.method, self.endpoint, params=self.query, json=self.json)


def _seconds(value: float | timedelta, field: str) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise AvalaConfigurationError(
            f"{field}: {value!r} is not a number of seconds above 0, nor a timedelta"
        )
    return float(seconds)
