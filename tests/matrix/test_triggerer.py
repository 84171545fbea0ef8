"""A wait in a real triggerer, on a connection that Airflow has stored."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_provider_avala.emulator import Emulator

sys.path.append(str(Path(__file__).parents[2]))  # behind the wheel, which the tests are about

from scripts.local_airflow import LocalAirflow

DAG_ID = "avala_waits"
#: Airflow before 3.2 now and then fails a task whose trigger is quicker than the end of its worker.
RETRIES = 2
DAG_FILE = f"""
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_avala.sensors.avala import AvalaExportSensor

with DAG("{DAG_ID}", schedule=None):
    AvalaExportSensor(
        task_id="wait",
        export_id="%s",
        deferrable=True,
        poke_interval=1,
        retries={RETRIES},
        retry_delay=timedelta(seconds=1),
    )
"""
#: Airflow 3.0 does not get along with newer versions of PyJWT without.
ENVIRONMENT = {"AIRFLOW__API_AUTH__JWT_ISSUER": "airflow"}


def test_a_wait_on_a_stored_connection_ends_well_and_leaves_the_triggerer_alive(
    avala: Emulator, tmp_path: Path
) -> None:
    export_id = avala.add_export(status="pending")
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "waits.py").write_text(DAG_FILE % export_id)
    with LocalAirflow(tmp_path / "airflow", dags_folder=dags, env=ENVIRONMENT) as airflow:
        connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key}
        airflow.set_connection("avala_default", connection)
        airflow.wait_for_dag(DAG_ID)
        run_id = airflow.trigger(DAG_ID)
        states = []
        for change in airflow.follow(DAG_ID, run_id):
            states.append(change["state"])
            if change["state"] == "deferred":
                avala.finish_export(export_id)
        assert airflow.run_state(DAG_ID, run_id) == "success"
    assert "deferred" in states
