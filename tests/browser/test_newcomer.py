"""The way of a newcomer, in the browser: make the connection, test it, trigger the quickstart, see it succeed."""

from __future__ import annotations

import zipfile
from pathlib import Path

from airflow_provider_avala.emulator import Emulator
from scripts.airflow_ui import AirflowUI
from scripts.local_airflow import LocalAirflow


def test_the_quickstart_runs_with_a_connection_from_the_form(
    ui: AirflowUI, airflow: LocalAirflow, avala: Emulator, tmp_path: Path
) -> None:
    works, message = ui.create_and_test("avala_default", {"host": avala.base_url, "password": avala.api_key})
    assert works, message
    airflow.wait_for_dag("avala_quickstart")
    folder = tmp_path / "newcomer"
    ui.run_dag("avala_quickstart", {"folder": str(folder)})
    [export] = avala.exports
    with zipfile.ZipFile(folder / f"export-{export['uid']}.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist()
