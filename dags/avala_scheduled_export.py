"""Export a project every day into an object storage, and tell other DAGs when the file is there.

Needs one connection, ``avala_default``. To make it yours, put the id of your project into PROJECT and choose a folder:
local, or s3://, gs://, ... with Airflow's provider for it. The DAG ``avala_after_export`` then runs after each
export, and so does any other that is scheduled on the same asset.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_avala.assets.avala import create_asset
from airflow_provider_avala.operators.avala import AvalaCreateExportOperator, AvalaDownloadExportOperator

FOLDER = os.environ.get("AVALA_EXPORTS_FOLDER", "file:///tmp/avala-exports")
PROJECT = os.environ.get("AVALA_PROJECT_ID", "0a7a1a00-0000-4000-8000-000000000003")


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["avala"],
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "project_id": Param(PROJECT, type="string", title="Project to export"),
    },
)
def avala_scheduled_export() -> None:
    """One run: export, wait, download."""
    # Create the export and wait for it in the triggerer. A retry goes on with the export that it finds.
    export = AvalaCreateExportOperator(
        task_id="create_export",
        project_id="{{ params.project_id }}",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=10,  # seconds
    )

    # One file a day, named after the run if it has no date. The outlet updates the asset once the whole file is there.
    AvalaDownloadExportOperator(
        task_id="download_export",
        export_id=export.output,
        path=f"{FOLDER}/daily/{{{{ ds | default(run_id) }}}}.zip",
        outlets=[create_asset(project_id=PROJECT, exports=True)],
    )


avala_scheduled_export()
