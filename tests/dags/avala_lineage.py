"""A DAG whose lineage the tests look at."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_avala.emulator.seeds import SEED_DATASET_ID, SEED_PROJECT_ID
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.operators.avala import (
    AvalaCreateExportOperator,
    AvalaDownloadExportOperator,
    AvalaUploadItemsOperator,
)

FOLDER = os.environ.get("AVALA_LINEAGE_FOLDER", ".")


@dag(schedule=None)
def avala_lineage() -> None:
    """Each thing that has a lineage, once."""

    @task
    def by_hook() -> str:
        return AvalaHook().create_export(dataset_id=SEED_DATASET_ID).id

    uploaded = AvalaUploadItemsOperator(
        task_id="upload", dataset_id=SEED_DATASET_ID, source=f"{FOLDER}/items.jsonl"
    )
    created = AvalaCreateExportOperator(task_id="create", project_id=SEED_PROJECT_ID)
    deferred = AvalaCreateExportOperator(
        task_id="create_deferred",
        project_id=SEED_PROJECT_ID,
        wait_for_completion=True,
        deferrable=True,
        poll_interval=0.05,
    )
    uploaded >> created
    AvalaDownloadExportOperator(task_id="download", export_id=deferred.output, path=f"{FOLDER}/files/")
    by_hook()


lineage = avala_lineage()
