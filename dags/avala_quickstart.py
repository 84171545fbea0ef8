"""Upload 1,000 items to Avala, create an export, wait for it without holding a worker, download it.

Needs one connection, ``avala_default``: connection type Avala, password = your API key. To make it yours,
put the ids of your dataset and project into the params below, or type them in when you trigger the DAG.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_avala.operators.avala import (
    AvalaCreateExportOperator,
    AvalaDownloadExportOperator,
    AvalaUploadItemsOperator,
)
from airflow_provider_avala.sensors.avala import AvalaExportSensor

FOLDER = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "avala"


@dag(
    schedule=None,
    catchup=False,
    tags=["avala"],
    doc_md=__doc__,
    params={
        "dataset_id": Param("0a7a1a00-0000-4000-8000-000000000004", type="string", title="Dataset to fill"),
        "project_id": Param("0a7a1a00-0000-4000-8000-000000000003", type="string", title="Project to export"),
        "folder": Param(str(FOLDER), type="string", title="Folder for the files"),
    },
)
def avala_quickstart() -> None:
    """One run: write, upload, export, wait, download."""

    @task
    def write_items(folder: str, count: int = 1000) -> str:
        """Write the items, one JSON object a line; in real life they come from your own data."""
        path = Path(folder) / "items.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        items = (
            {"name": f"frame-{n:04}.jpg", "url": f"https://example.com/frame-{n:04}.jpg"}
            for n in range(count)
        )
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
        return str(path)

    # Send the file in parts; the XCom tells how many items Avala has accepted.
    upload = AvalaUploadItemsOperator(
        task_id="upload_items",
        dataset_id="{{ params.dataset_id }}",
        source=write_items("{{ params.folder }}"),
    )

    # Ask for an export of the project; the XCom is the export's id.
    export = AvalaCreateExportOperator(task_id="create_export", project_id="{{ params.project_id }}")

    # Wait in the triggerer: no worker is busy meanwhile.
    ready = AvalaExportSensor(
        task_id="wait_for_export",
        export_id=export.output,
        deferrable=True,
        poke_interval=2,  # seconds; tens of seconds suit real exports
        timeout=3600,
    )

    # Fetch the file; it appears under its name only when it is complete.
    download = AvalaDownloadExportOperator(
        task_id="download_export",
        export_id=export.output,
        path="{{ params.folder }}/export-{{ ti.xcom_pull('create_export') }}.zip",
    )

    upload >> export >> ready >> download


avala_quickstart()
