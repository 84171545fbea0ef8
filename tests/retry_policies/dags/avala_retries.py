"""A DAG of TaskFlow tasks that leave it to Avala whether and when they are retried; for Airflow 3.3."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.retry_policies.avala import AvalaRetryPolicy

RETRIES = {"retries": 2, "retry_delay": timedelta(hours=1), "retry_policy": AvalaRetryPolicy()}


@dag(schedule=None)
def avala_retries() -> None:
    """One task that a retry helps soon, and one that none can help."""

    @task(**RETRIES)
    def limited() -> None:
        AvalaHook().run("GET", "/datasets/")

    @task(**RETRIES)
    def wrong_key() -> None:
        AvalaHook("avala_wrong_key").run("GET", "/exports/")

    limited()
    wrong_key()


retries = avala_retries()
