"""DAGs that the tests run for real, on Airflow's own database."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_avala.operators.avala import (
    AvalaApiOperator,
    AvalaCreateExportOperator,
    AvalaDownloadExportOperator,
    AvalaUploadItemsOperator,
)
from airflow_provider_avala.sensors.avala import AvalaExportSensor

PROJECT = "{{ dag_run.conf['project_id'] }}"
DATASET = "{{ dag_run.conf['dataset_id'] }}"
FOLDER = "{{ dag_run.conf['folder'] }}"
WAIT = {"poke_interval": 0.05, "timeout": 60}


@dag(schedule=None, params={"day": "monday"})
def avala_pipeline() -> None:
    """Everything once, wired by outputs."""

    @task
    def rows() -> list[dict[str, int]]:
        return [{"id": number} for number in range(3)]

    @task
    def projects(dataset: dict[str, object]) -> list[str]:
        return [str(dataset["dataset_id"])] * 2

    @task
    def id_of(export: dict[str, object]) -> str:
        return str(export["id"])

    uploaded = AvalaUploadItemsOperator(task_id="upload", dataset_id=DATASET, items=rows())
    created = AvalaCreateExportOperator(task_id="create", project_id=PROJECT, name="From {{ dag.dag_id }}")
    created.set_upstream(uploaded)
    for mode in ("poke", "reschedule"):
        AvalaExportSensor(
            task_id=f"wait_{mode}", export_id=created.output, mode=mode, deferrable=False, **WAIT
        )
    awaited = AvalaExportSensor(task_id="wait_deferred", export_id=created.output, deferrable=True, **WAIT)
    AvalaDownloadExportOperator(task_id="download", export_id=id_of(awaited.output), path=f"{FOLDER}/")
    AvalaCreateExportOperator.partial(
        task_id="create_each", wait_for_completion=True, deferrable=True, poll_interval=0.05
    ).expand(dataset_id=projects(uploaded.output))
    AvalaApiOperator(task_id="call", endpoint="/exports/", params={"day": "{{ params.day }}", "limit": 1})
    AvalaApiOperator.partial(task_id="call_each", params={"limit": 1}).expand(
        endpoint=["/exports/", "/datasets/"]
    )


@dag(schedule=None, default_args={"retries": 2, "retry_delay": timedelta(0)})
def avala_attempts() -> None:
    """Some errors take the retries of a task, others must not."""
    wrong = {"avala_conn_id": "avala_wrong_key"}
    AvalaCreateExportOperator(task_id="wrong_key_create", project_id=PROJECT, **wrong)
    AvalaUploadItemsOperator(task_id="wrong_key_upload", dataset_id=DATASET, items=[{"id": 1}], **wrong)
    AvalaApiOperator(task_id="wrong_key_call", endpoint="/datasets/", **wrong)
    for mode in ("poke", "reschedule", "deferrable"):
        AvalaExportSensor(
            task_id=f"unknown_{mode}",
            export_id="00000000-0000-4000-8000-000000000000",
            deferrable=mode == "deferrable",
            mode="poke" if mode == "deferrable" else mode,
            soft_fail=True,
            **WAIT,
        )
    AvalaExportSensor(
        task_id="late_reschedule",
        export_id="{{ dag_run.conf['running'] }}",
        mode="reschedule",
        deferrable=False,
        poke_interval=0.01,
        timeout=0.5,
    )
    AvalaExportSensor(
        task_id="failed_soft",
        export_id="{{ dag_run.conf['failed'] }}",
        deferrable=True,
        soft_fail=True,
        **WAIT,
    )
    AvalaCreateExportOperator(
        task_id="too_late",
        project_id=PROJECT,
        name="too late",
        wait_for_completion=True,
        deferrable=False,
        poll_interval=0.05,
        timeout=0.1,
    )


pipeline = avala_pipeline()
attempts = avala_attempts()
