"""Bringing items into a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.api.defaults import DEFAULT_PART_SIZE
from airflow_provider_avala.operators.base import AvalaOperator
from airflow_provider_avala.outcomes import fatal_errors_end_the_task

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage


class AvalaUploadItemsOperator(AvalaOperator):
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

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage that the files went into the dataset.

        :param task_instance: the run of the task.
        """
        from airflow_provider_avala import lineage

        return lineage.operator_lineage(
            lineage.files(self.source), lineage.at_avala(datasets=self.dataset_id)
        )
