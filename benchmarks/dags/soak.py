"""One run of the soak: fill a dataset, export it, wait without a worker, download the export."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_avala.operators.avala import (
    AvalaCreateExportOperator,
    AvalaDownloadExportOperator,
    AvalaUploadItemsOperator,
)
from airflow_provider_avala.sensors.avala import AvalaExportSensor

#: Four parts for each run's file of 200 rows.
PART_SIZE = 4096


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=64,
    default_args={"retries": 5, "retry_delay": timedelta(seconds=5)},
)
def soak() -> None:
    """What a run is about stands in its configuration: dataset, source and target."""
    upload = AvalaUploadItemsOperator(
        task_id="upload",
        dataset_id="{{ dag_run.conf['dataset_id'] }}",
        source="{{ dag_run.conf['source'] }}",
        part_size=PART_SIZE,
    )
    export = AvalaCreateExportOperator(task_id="export", dataset_id="{{ dag_run.conf['dataset_id'] }}")
    ready = AvalaExportSensor(
        task_id="wait", export_id=export.output, deferrable=True, poke_interval=2, timeout=900
    )
    download = AvalaDownloadExportOperator(
        task_id="download", export_id=export.output, path="{{ dag_run.conf['target'] }}"
    )
    upload >> export >> ready >> download


soak()
