"""Make a dataset of each day's pictures, and fail if Avala could not take in every one of them.

Needs one connection, ``avala_default``. To make it yours, let ``collect`` return where your pictures are: a folder, a
pattern such as ``/data/**/*.jpg``, or an address such as ``s3://bucket/day/``.
"""

from __future__ import annotations

import base64
import os
from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_avala.operators.avala import AvalaCreateDatasetOperator

FOLDER = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "avala" / "pictures"
#: The run's date; on Airflow 3 a run that is started by hand may have none.
DAY = "{{ ds if ds is defined else dag_run.run_after | ds }}"
#: A picture of one grey point.
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="


@dag(
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["avala"],
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
)
def avala_new_dataset() -> None:
    """One run: collect the pictures, make a dataset of them."""

    @task
    def collect(day: str) -> str:
        """Write three pictures; in real life they come from your cameras."""
        folder = FOLDER / day
        folder.mkdir(parents=True, exist_ok=True)
        for side in ("front", "left", "right"):
            picture = folder / f"{side}.png"
            if not picture.exists():  # written again, it would be another file to a run that is cleared
                picture.write_bytes(base64.b64decode(PICTURE))
        return str(folder)

    # Names and slugs are unique, so the day is in them. A retry sends only what Avala does not have, and finds the
    # dataset if it was made already; the wait until Avala has taken in all of it is done in the triggerer.
    AvalaCreateDatasetOperator(
        task_id="create_dataset",
        name=f"Camera, {DAY}",
        slug=f"camera-{DAY}",
        data_type="image",
        source=collect(DAY),
        require_healthy=True,
        deferrable=True,
        poll_interval=10,  # seconds
    )


avala_new_dataset()
