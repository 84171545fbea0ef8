"""The button "Avala" on the tasks of a run, as Airflow's UI shows it: while a task waits, too."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_avala.emulator import Emulator
from scripts.airflow_ui import AirflowUI
from scripts.local_airflow import LocalAirflow

DAG = "avala_quickstart"
TASKS = ("upload_items", "create_export", "wait_for_export", "download_export")
WAITING = "wait_for_export"


def test_each_task_has_a_button_that_leads_to_avala(
    ui: AirflowUI, airflow: LocalAirflow, avala: Emulator, tmp_path: Path
) -> None:
    web_app = "https://labels.example.com"
    airflow.set_connection(
        "avala_default",
        {
            "conn_type": "avala",
            "host": avala.base_url,
            "password": avala.api_key,
            "extra": f'{{"web_url": "{web_app}"}}',
        },
    )
    avala.export_seconds = 3600.0
    airflow.wait_for_dag(DAG)
    run_id = airflow.trigger(DAG, {"folder": str(tmp_path)})
    changes = airflow.follow(DAG, run_id)
    assert any(change["state"] == "deferred" for change in changes)
    ui.open_task(DAG, run_id, WAITING)
    while_it_waits = ui.link("Avala")
    avala.finish_export(avala.exports[-1]["uid"])  # the newest: other tests have made exports, too
    list(changes)
    links = {}
    for task_id in TASKS:
        ui.open_task(DAG, run_id, task_id)
        links[task_id] = ui.link("Avala")
    assert while_it_waits == links[WAITING]
    assert all(link == web_app or link.startswith(f"{web_app}/@") for link in links.values()), links
