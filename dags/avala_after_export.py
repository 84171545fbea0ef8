"""Run whenever a project has been exported: the other half of ``avala_scheduled_export``.

Needs nothing but that DAG, or any other whose task updates the asset ``avala://projects/<id>/exports``. To make it
yours, put the id of your project into PROJECT, in both, and do something with the file.
"""

from __future__ import annotations

import os
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_avala.assets.avala import create_asset

PROJECT = os.environ.get("AVALA_PROJECT_ID", "0a7a1a00-0000-4000-8000-000000000003")


@dag(
    schedule=[create_asset(project_id=PROJECT, exports=True)],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["avala"],
    doc_md=__doc__,
)
def avala_after_export() -> None:
    """One run: what is to be done with the exports that are new."""

    @task
    def use(triggering_asset_events: Any = None, triggering_dataset_events: Any = None) -> int:
        """Say which DAG runs have made them; Airflow 2 calls assets datasets."""
        events = triggering_asset_events or triggering_dataset_events or {}
        made_by = [event.source_run_id for found in events.values() for event in found]
        print(f"New exports by: {', '.join(map(str, made_by)) or 'nobody, this run was started by hand'}")
        return len(made_by)

    use()


avala_after_export()
