"""Bringing items into a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.api.defaults import DEFAULT_PART_SIZE
from airflow_provider_avala.operators.base import AvalaOperator
from airflow_provider_avala.outcomes import fatal_errors_end_the_task

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_avala.api.part_outcomes import OnUnknown

_STATE_KEY = "avala_upload"


class AvalaUploadItemsOperator(AvalaOperator):
    """Uploads JSONL to a dataset, in parts, each of them once; returns what the upload comes to.

    How far the upload came is remembered over the retries of the task: by Airflow's task state where there is such
    (3.3 and later), else in a file, which serves retries on the same host. A retry goes on with the parts that are
    missing, if what was stored is still in the source as it was, and fails with an account of it if not. So does a
    cleared task if its upload did not finish, for example because of a line that has been mended since; if it did, a
    cleared task starts anew. Parts carry an ``Idempotency-Key``, the same until the upload has finished.

    The result is ``{"dataset_id", "items", "parts", "bytes", "resumed_parts", "unknown_parts"}``: of the parts, how
    many an earlier attempt had brought in, and how many were sent again because no answer told their outcome: those may
    be stored twice if Avala does not heed the key; the log names their lines.

    :param dataset_id: id of the dataset (templated).
    :param source: files of JSONL, which may be compressed with gzip: a path, a glob, a directory, an object storage
        URL or ``ObjectStoragePath``, or a list of such; or the items themselves, as dicts (templated).
    :param items: the items themselves, as dicts, instead of ``source`` (templated).
    :param part_size: size of a part in bytes.
    :param concurrency: number of parts in flight.
    :param validate: whether each line is checked to be a JSON object before its part is sent.
    :param on_unknown: what to do about a part that was sent without an answer: ``retry`` sends it again with the same
        key, ``fail`` ends the task and names the lines, ``verify`` (legacy dialect only, one part at a time, and only
        if nobody else writes to the dataset) asks for the number of items first.
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
        validate: bool = True,
        on_unknown: OnUnknown = "retry",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset_id = dataset_id
        self.source = source
        self.items = items
        self.part_size = part_size
        self.concurrency = concurrency
        self.validate = validate
        self.on_unknown = on_unknown

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render paths, too, which Airflow leaves as they are.

        :param content: what is to be rendered.
        :param args: Airflow's own.
        :param kwargs: Airflow's own.
        """
        if isinstance(content, PurePath) and not hasattr(content, "fs"):
            return type(content)(super().render_template(str(content), *args, **kwargs))
        return super().render_template(content, *args, **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Upload, and report what Avala has accepted.

        :raises AirflowFailException: an error that no retry can mend.
        :raises AvalaUploadError: the upload stopped, and a retry goes on where it did.
        """
        from airflow_provider_avala.operators.task_notes import notes_of
        from airflow_provider_avala.operators.task_run import TaskRun

        run = TaskRun.of(context, self.retries or 0)
        with fatal_errors_end_the_task():
            summary = self.hook.upload_items(
                self.dataset_id,
                self.source,
                items=self.items,
                part_size=self.part_size,
                concurrency=self.concurrency,
                validate=self.validate,
                on_unknown=self.on_unknown,
                idempotency_scope=run.digest,
                journal=notes_of(context, run, self.hook.settings, _STATE_KEY),
            )
        self.log.info(
            "Dataset %s: %d items in %d parts, %d of them from an earlier attempt.",
            summary.dataset_id,
            summary.items,
            summary.parts,
            summary.resumed_parts,
        )
        return summary.as_dict()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage that the files went into the dataset.

        :param task_instance: the run of the task.
        """
        from airflow_provider_avala import lineage

        return lineage.operator_lineage(
            lineage.files(self.source), lineage.at_avala(datasets=self.dataset_id)
        )
