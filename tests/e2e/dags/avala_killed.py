"""A task that is killed while it creates an export."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_avala.operators.avala import AvalaCreateExportOperator


@dag(schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=0)})
def avala_killed() -> None:
    """One export for each run."""
    AvalaCreateExportOperator(task_id="create", project_id="{{ dag_run.conf['project_id'] }}")


avala_killed()
