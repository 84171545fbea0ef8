"""Export many projects at once, five at a time: one mapped group of tasks for each project.

Needs one connection, ``avala_default``, and the pools that come with this provider; without them the tasks would stay
scheduled for ever::

    airflow pools import "$(python -c 'import airflow_provider_avala as a; print(a.__path__[0])')/pools.json"
"""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task, task_group

from airflow_provider_avala.operators.avala import AvalaCreateExportOperator, AvalaDownloadExportOperator

FOLDER = os.environ.get("AVALA_EXPORTS_FOLDER", "file:///tmp/avala-exports")


@dag(
    schedule=None,
    catchup=False,
    tags=["avala"],
    doc_md=__doc__,
    params={
        "project_ids": Param(
            [], type="array", items={"type": "string"}, title="Projects; empty: all of them"
        ),
    },
)
def avala_many_exports() -> None:
    """One run: choose projects, export each, download each."""

    @task
    def choose_projects(params: Any = None) -> list[str]:
        """The projects that were asked for, or all of the account."""
        from airflow_provider_avala.hooks.avala import AvalaHook

        projects = AvalaHook().paginate("/users/me/projects/")
        return params["project_ids"] or [project.get("uid") or project["id"] for project in projects]

    @task_group
    def export_project(project_id: str) -> None:
        """One project; each file is fetched as soon as it is there, whatever the other projects do."""
        # Avala runs five exports at a time, and so many slots has the pool. Tasks keep theirs while they wait in the
        # triggerer, so that the sixth project waits in Airflow, where one sees it, until one of the five is done.
        export = AvalaCreateExportOperator(
            task_id="create_export",
            project_id=project_id,
            pool="avala_exports",
            wait_for_completion=True,
            deferrable=True,
            poll_interval=10,  # seconds
        )
        # A folder as path: the file is named after the export.
        AvalaDownloadExportOperator(task_id="download", export_id=export.output, path=f"{FOLDER}/")

    export_project.expand(project_id=choose_projects())


avala_many_exports()
