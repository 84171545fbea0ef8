"""A task that is killed while it uploads items."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_avala.operators.avala import AvalaUploadItemsOperator


@dag(schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=0)})
def avala_killed_upload() -> None:
    """Each row once."""
    AvalaUploadItemsOperator(
        task_id="upload",
        dataset_id="{{ dag_run.conf['dataset_id'] }}",
        source="{{ dag_run.conf['source'] }}",
        part_size=60,
        concurrency=1,
    )


avala_killed_upload()
