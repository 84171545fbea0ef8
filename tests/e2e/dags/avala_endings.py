"""Tasks that wait in the triggerer and end there, and what comes after them."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_avala.operators.avala import AvalaCreateExportOperator
from airflow_provider_avala.sensors.avala import AvalaDatasetSensor, AvalaExportSensor

IN_TRIGGERER = {"deferrable": True, "poke_interval": 1}


@task
def told(found: Any) -> str:
    """What the task before has returned, as it arrives."""
    return f"{type(found).__name__} {found if isinstance(found, str) else found['id']}"


def conf(name: str) -> str:
    """A field of the run's configuration."""
    return f"{{{{ dag_run.conf['{name}'] }}}}"


@dag(schedule=None)
def avala_endings() -> None:
    """Nothing remains to be done for these once they have succeeded."""
    create = AvalaCreateExportOperator(
        task_id="create",
        project_id=conf("project_id"),
        wait_for_completion=True,
        deferrable=True,
        poll_interval=1,
    )
    export = AvalaExportSensor(task_id="export", export_id=conf("export_id"), **IN_TRIGGERER)
    dataset = AvalaDatasetSensor(task_id="dataset", dataset_id=conf("dataset_id"), **IN_TRIGGERER)
    at_once = AvalaExportSensor(
        task_id="at_once", export_id=create.output, start_from_trigger=True, poke_interval=1
    )
    for each in (create, export, dataset, at_once):
        told.override(task_id=f"{each.task_id}_told")(each.output)


avala_endings()
