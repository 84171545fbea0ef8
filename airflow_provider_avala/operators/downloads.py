"""Fetching the files of exports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.api.targets import checked_if_exists
from airflow_provider_avala.operators.base import AvalaOperator
from airflow_provider_avala.outcomes import fatal_errors_end_the_task

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage


class AvalaDownloadExportOperator(AvalaOperator):
    """Downloads the file of a finished export; returns the path.

    The file is written under another name, verified, and then renamed, so that whoever sees it sees all of it. A retry
    goes on where the attempt before it was cut off; on the way to an object storage, if it runs on the same machine.

    :param export_id: id of the export (templated).
    :param path: local path or object storage URL; a folder if it ends with a slash or is one. With ``unpack``, the
        local folder for what is in the file (templated).
    :param if_exists: what to do if the file is there already, or with ``unpack`` anything in the folder: ``replace``
        it, ``skip`` the download, or end the task with an ``error``. What has its final name is complete. A task that
        is cleared, or killed right after its download, finds its own file there.
    :param unpack: whether to unpack the file, a zip, which is not kept; the folder is returned. A zip that leads out of
        the folder, holds links, or unpacks to more than 200 times its size, ends the task. The folder gets its name
        when all is in it; if there is such a folder, files of the same names are replaced and others stay.
    :param avala_conn_id: id of the Airflow connection (templated).
    :raises AvalaConfigurationError: if ``if_exists`` is none of the three.
    """

    template_fields: Sequence[str] = ("export_id", "path", "avala_conn_id")

    def __init__(
        self, *, export_id: str, path: str, if_exists: str = "replace", unpack: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.export_id = export_id
        self.path = path
        self.if_exists = checked_if_exists(if_exists)
        self.unpack = unpack

    def execute(self, context: Context) -> str:
        """Download, and return the path of the file or folder.

        :raises AirflowFailException: an error that no retry can mend.
        :raises AvalaError: an error that a retry may mend.
        """
        with fatal_errors_end_the_task():
            summary = self.hook.download_export(
                self.export_id, self.path, if_exists=self.if_exists, unpack=self.unpack
            )
        self._downloaded = summary.path
        if summary.skipped:
            self.log.info("Export %s: %s is there already.", self.export_id, summary.path)
        else:
            self.log.info(
                "Export %s: %d bytes in %s (files unpacked: %d; taken up again: %d times).",
                self.export_id,
                summary.bytes,
                summary.path,
                summary.files,
                summary.resumed,
            )
        return summary.path

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage that the file was made of the export.

        :param task_instance: the run of the task.
        """
        from airflow_provider_avala import lineage

        made = lineage.files(getattr(self, "_downloaded", self.path))
        return lineage.operator_lineage(lineage.at_avala(exports=self.export_id), made)
