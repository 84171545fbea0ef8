"""DAGs that must fail: a wrong key, an export that fails, a file store that refuses."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_avala.operators.avala import AvalaCreateExportOperator, AvalaDownloadExportOperator
from airflow_provider_avala.sensors.avala import AvalaExportSensor

RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=0)}
PROJECT = "{{ dag_run.conf['project_id'] }}"
EXPORT = "{{ dag_run.conf['export_id'] }}"


@dag(schedule=None, default_args=RETRIES | {"avala_conn_id": "avala_wrong_key"})
def avala_wrong_key() -> None:
    """Once on a worker, once in the triggerer."""
    AvalaCreateExportOperator(task_id="create", project_id=PROJECT)
    AvalaExportSensor(task_id="wait", export_id=EXPORT, deferrable=True, poke_interval=1)


@dag(schedule=None, default_args=RETRIES)
def avala_failed_export() -> None:
    """The export is created and then fails at Avala."""
    export = AvalaCreateExportOperator(task_id="create", project_id=PROJECT)
    AvalaExportSensor(task_id="wait", export_id=export.output, deferrable=True, poke_interval=1)


@dag(schedule=None, default_args={"retries": 0, "avala_conn_id": "avala_impatient"})
def avala_broken_download() -> None:
    """The file store refuses one signed URL, drops another's connection, and sends a third to where nobody listens."""
    for task_id in ("refused", "dropped", "astray"):
        AvalaDownloadExportOperator(
            task_id=task_id,
            export_id=f"{{{{ dag_run.conf['{task_id}'] }}}}",
            path=f"{{{{ dag_run.conf['folder'] }}}}/{task_id}.zip",
        )


avala_wrong_key()
avala_failed_export()
avala_broken_download()
