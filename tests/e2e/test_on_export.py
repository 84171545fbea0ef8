"""Exports that finish start DAGs, on real Airflow processes: each once, through a restart of the triggerer."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_avala.emulator import Emulator, running_emulator
from scripts.local_airflow import LocalAirflow
from scripts.processes import ChildProcess

from .leaks import places_of

ROOT = Path(__file__).parents[2]
ASSETS = ("avala_exports", "failed_too", "one_of_two", "other_of_two")
PATIENCE = 60.0


@dataclass
class Watching:
    """What was seen of an Airflow whose DAGs wait for exports.

    :param exports: name -> id
    :param events: asset -> the names of the exports that it was updated for, in order
    :param runs: DAG -> the names of the exports in the events that its runs have taken
    :param states: DAG -> the states of its runs
    :param files: what avala_on_export has downloaded
    :param leaks: places in AIRFLOW_HOME that hold the API key or a signed URL
    """

    exports: dict[str, str]
    events: dict[str, list[str]]
    runs: dict[str, Counter[str]]
    states: dict[str, set[str]]
    files: list[str]
    leaks: list[str]


def start(airflow: LocalAirflow, name: str) -> None:
    """Start one component."""
    arguments = [part.format(port=airflow.port) for part in airflow.flavour.components[name]]
    airflow.children[name] = ChildProcess(
        name, airflow.command(*arguments), env=airflow.env, log=airflow.process_logs / f"{name}.log"
    )


def rows(airflow: LocalAirflow, query: str) -> list[tuple[str, ...]]:
    """What Airflow's database holds; its REST API fails for events whose runs have not begun."""
    with closing(sqlite3.connect(f"file:{airflow.home / 'airflow.db'}?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def cursors(airflow: LocalAirflow) -> list[dict[str, Any]]:
    """The cursors of the watchers."""
    return [json.loads(value) for (value,) in rows(airflow, "select value from asset_state_store")]


def events(airflow: LocalAirflow) -> list[tuple[str, str]]:
    """Asset and export of each event, oldest first."""
    query = (
        "select asset.name, asset_event.extra from asset_event"
        " join asset on asset.id = asset_id order by asset_event.id"
    )
    found = rows(airflow, query)
    return [(asset, json.loads(extra)["payload"]["id"]) for asset, extra in found]


def taken(airflow: LocalAirflow) -> list[tuple[str, str]]:
    """DAG and export of each event that a run has taken."""
    query = (
        "select dag_id, asset_event.extra from dagrun_asset_event"
        " join dag_run on dag_run.id = dag_run_id join asset_event on asset_event.id = event_id"
    )
    return [(dag, json.loads(extra)["payload"]["id"]) for dag, extra in rows(airflow, query)]


if find_spec("airflow.sdk"):  # Airflow 2 has no watchers

    @pytest.fixture(scope="module")
    def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watching]:
        dags, home = tmp_path_factory.mktemp("dags"), tmp_path_factory.mktemp("airflow")
        folder = tmp_path_factory.mktemp("exports")
        code = (ROOT / "dags" / "avala_on_export.py").read_text()
        assert "poll_interval=60" in code
        (dags / "avala_on_export.py").write_text(code.replace("poll_interval=60", "poll_interval=1"))
        (dags / "avala_watchers.py").write_text((ROOT / "tests/e2e/dags/avala_watchers.py").read_text())
        with running_emulator(rate_limits=None) as avala:
            history = avala.add_export(name="nightly-history", status="exported")
            connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key}
            env = {
                "AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(connection | {"extra": {"rate_limits": "1000/1"}}),
                "AVALA_EXPORTS_FOLDER": f"file://{folder}",
            }
            with LocalAirflow(home, dags_folder=dags, env=env) as airflow:
                yield observe(airflow, avala, folder, history)

    def observe(airflow: LocalAirflow, avala: Emulator, folder: Path, history: str) -> Watching:
        for dag_id in ("avala_on_export", "failed_too", "one_of_two", "other_of_two"):
            airflow.wait_for_dag(dag_id)
        airflow.wait(lambda: len(cursors(airflow)) == len(ASSETS), PATIENCE, "all watchers to begin")
        exports = {"nightly-history": history}

        def export(name: str, status: str) -> str:
            exports[name] = avala.add_export(name=name, status=status)
            return exports[name]

        def arrived(count: int) -> bool:
            return len(events(airflow)) >= count

        slow = export("nightly-slow", "processing")
        export("nightly-1", "exported")
        export("weekly-1", "exported")
        export("nightly-broken", "failed")
        airflow.wait(lambda: arrived(2 + 2 + 1 + 1), PATIENCE, "events of the first exports")
        done = {exports[name] for name in ("nightly-1", "weekly-1")}
        airflow.wait(lambda: all(done <= {*each["known"]} for each in cursors(airflow)), PATIENCE, "cursors")

        airflow.children.pop("triggerer").stop()
        avala.finish_export(slow)
        export("nightly-2", "exported")
        start(airflow, "triggerer")
        airflow.wait(
            lambda: arrived(6 + 2 + 2 + 2 + 2), PATIENCE, "events of what finished during the restart"
        )
        last = export("nightly-3", "exported")
        airflow.wait(lambda: arrived(14 + 4), PATIENCE, "events of the last export")
        airflow.wait(lambda: all(last in each["known"] for each in cursors(airflow)), PATIENCE, "cursors")

        names = {export_id: name for name, export_id in exports.items()}

        def states() -> dict[str, set[str]]:
            found: dict[str, set[str]] = {}
            for dag, state in rows(airflow, "select dag_id, state from dag_run"):
                found.setdefault(dag, set()).add(state)
            return found

        def all_over() -> bool:
            return len(taken(airflow)) >= len(events(airflow)) and all(
                each <= {"success", "failed"} for each in states().values()
            )

        airflow.wait(all_over, PATIENCE, "all runs to end")
        seen: dict[str, list[str]] = {}
        for asset, export_id in events(airflow):
            seen.setdefault(asset, []).append(names[export_id])
        runs: dict[str, Counter[str]] = {}
        for dag, export_id in taken(airflow):
            runs.setdefault(dag, Counter())[names[export_id]] += 1
        return Watching(
            exports=exports,
            events=seen,
            runs=runs,
            states=states(),
            files=sorted(path.name for path in folder.rglob("*") if path.is_file()),
            leaks=places_of(airflow.home, [avala.api_key, "Signature="]),
        )

    ALL = {"nightly-1", "weekly-1", "nightly-slow", "nightly-2", "nightly-3"}
    NIGHTLY = ALL - {"weekly-1"}
    EXPECTED = {
        "avala_exports": ALL,
        "failed_too": NIGHTLY | {"nightly-broken"},
        "one_of_two": NIGHTLY,
        "other_of_two": NIGHTLY,
    }

    @pytest.mark.parametrize("asset", ASSETS)
    def test_each_export_that_finishes_updates_the_asset_once(watching: Watching, asset: str) -> None:
        assert sorted(watching.events[asset]) == sorted(EXPECTED[asset])

    @pytest.mark.parametrize("asset", ASSETS)
    def test_each_is_taken_by_one_run_that_succeeds(watching: Watching, asset: str) -> None:
        dag = "avala_on_export" if asset == "avala_exports" else asset
        assert watching.runs[dag] == Counter(EXPECTED[asset])
        assert watching.states[dag] == {"success"}

    def test_the_example_downloads_each(watching: Watching) -> None:
        assert watching.files == sorted(f"{watching.exports[name]}.zip" for name in ALL)

    def test_neither_keys_nor_signed_urls_are_kept(watching: Watching) -> None:
        assert watching.leaks == []
