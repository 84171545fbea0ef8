"""Download each export as soon as it is finished, whoever started it: this DAG has no schedule but Avala's events.

Needs Airflow 3 and one connection, ``avala_default``. A watcher in the triggerer looks at the account's exports and
updates an asset for each one that has finished; the asset starts this DAG. To make it yours, narrow down what is
watched with ``project_id``, ``dataset_id`` or ``name_pattern``, and choose a folder: local, or s3://, gs://, ...
"""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.common.compat.sdk import Asset, dag, task

from airflow_provider_avala.operators.avala import AvalaDownloadExportOperator
from airflow_provider_avala.triggers.avala import AvalaExportEventTrigger

try:
    from airflow.sdk import AssetWatcher
except ImportError:  # Airflow 2 has no watchers; this file then defines no DAG
    AssetWatcher = None

FOLDER = os.environ.get("AVALA_EXPORTS_FOLDER", "file:///tmp/avala-exports")


def avala_on_export() -> None:
    """One run: download what has finished, usually a single export."""

    @task
    def finished_exports(triggering_asset_events: Any = None) -> list[str]:
        """Exports that finish at about the same time share a run, so there may be several; by hand, there is none."""
        events = [event for of_asset in (triggering_asset_events or {}).values() for event in of_asset]
        return list(dict.fromkeys(event.extra["payload"]["id"] for event in events))

    # One task for each of them. The file is named after the export, so that a repetition changes nothing.
    AvalaDownloadExportOperator.partial(task_id="download", path=f"{FOLDER}/").expand(
        export_id=finished_exports()
    )


if AssetWatcher:
    watcher = AssetWatcher(
        name="avala_exports",
        trigger=AvalaExportEventTrigger(
            name_pattern="*",  # such as "nightly-*"
            poll_interval=60,  # seconds
        ),
    )
    exports = Asset(name="avala_exports", watchers=[watcher])
    dag(schedule=[exports], catchup=False, tags=["avala"], doc_md=__doc__)(avala_on_export)()
