"""A DAG that is scheduled on the asset of a project's exports, started by Airflow's own scheduler."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_avala.emulator import SEED_PROJECT_ID, running_emulator
from scripts.local_airflow import FINISHED, LocalAirflow

from .leaks import places_of

DAGS = Path(__file__).parents[2] / "dags"
BEFORE, AFTER = "avala_scheduled_export", "avala_after_export"


def test_each_export_of_the_one_dag_starts_the_other_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    dags, folder = tmp_path_factory.mktemp("dags"), tmp_path_factory.mktemp("exports")
    for dag_id in (BEFORE, AFTER):
        shutil.copy(DAGS / f"{dag_id}.py", dags)
    with running_emulator(export_seconds=0.5) as avala:
        connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key}
        env = {
            "AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(connection),
            "AVALA_EXPORTS_FOLDER": f"file://{folder}",
        }
        home = tmp_path_factory.mktemp("airflow")
        with LocalAirflow(home, dags_folder=dags, env=env) as airflow:

            def runs(dag_id: str) -> list[dict[str, Any]] | None:
                """The runs of a DAG, once there is one and all are over."""
                path = f"{airflow.flavour.api}/dags/{dag_id}/dagRuns"
                found: list[dict[str, Any]] = airflow.request("GET", path)["dag_runs"]
                return found if found and all(run["state"] in FINISHED for run in found) else None

            for dag_id in (BEFORE, AFTER):
                airflow.wait_for_dag(dag_id)
            # Nobody starts anything: the first is due, and its asset starts the second.
            [before] = airflow.wait(lambda: runs(BEFORE), 120, f"{BEFORE} to run")
            [after] = airflow.wait(lambda: runs(AFTER), 120, f"{AFTER} to be started by the asset")
            made_by = airflow.return_value(AFTER, after["dag_run_id"], "use")
            [log] = airflow.task_logs(AFTER, after["dag_run_id"], "use")
            said = log.read_text()
        assert (before["run_type"], before["state"]) == ("scheduled", "success")
        assert after["run_type"] in ("asset_triggered", "dataset_triggered")
        assert after["state"] == "success"
        assert int(made_by) == 1
        assert f"New exports by: {before['dag_run_id']}" in said
        assert [export["projects"] for export in avala.exports] == [[SEED_PROJECT_ID]]
        assert len(list(folder.rglob("*.zip"))) == 1
        assert places_of(home, [avala.api_key, "Signature="]) == []
