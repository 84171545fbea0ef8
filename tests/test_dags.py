"""The example DAGs can be imported by every Airflow, and do what they say."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_avala
from airflow_provider_avala.emulator import SEED_PROJECT_ID, Emulator, running_emulator
from scripts.local_airflow import LocalAirflow
from tests.airflow_support import metadata_database

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 2
    from airflow.models.dagbag import DagBag

DAGS = Path(__file__).parents[1] / "dags"
POOLS = Path(airflow_provider_avala.__file__).with_name("pools.json")
#: A DAG that is started by events needs AssetWatcher, and so Airflow 3.
EVERYWHERE = {
    "avala_quickstart",
    "avala_scheduled_export",
    "avala_many_exports",
    "avala_after_export",
    "avala_new_dataset",
}
EXPECTED = EVERYWHERE | ({"avala_on_export"} if find_spec("airflow.sdk") else set())


@dataclass
class Bench:
    """An Airflow with a database but without processes, and a local Avala."""

    airflow: LocalAirflow
    avala: Emulator
    folder: Path

    def run(self, *arguments: str) -> str:
        """Run an ``airflow`` command that has to succeed."""
        done = subprocess.run(
            self.airflow.command(*arguments),
            env=self.airflow.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files(self) -> list[str]:
        """What was downloaded, whole."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        assert all(zipfile.ZipFile(path).testzip() is None for path in found)
        return [str(path.relative_to(self.folder)) for path in found]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("exports")
    with running_emulator(export_seconds=0.0) as avala:
        connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key}
        env = {
            "AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(connection),
            "AVALA_EXPORTS_FOLDER": f"file://{folder}",
        }
        airflow = LocalAirflow(tmp_path_factory.mktemp("airflow"), dags_folder=DAGS, env=env)
        airflow.prepare()
        bench = Bench(airflow, avala, folder)
        bench.run("pools", "import", str(POOLS))
        yield bench


@pytest.fixture
def bench(prepared: Bench) -> Bench:
    prepared.avala.reset()
    for path in prepared.folder.rglob("*.zip"):
        path.unlink()
    return prepared


@pytest.fixture(scope="module")
def bag() -> Any:
    """The files as Airflow reads them."""
    metadata_database()
    return DagBag(str(DAGS))


def test_every_file_is_imported_without_an_error(bag: Any) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == EXPECTED


def test_every_dag_says_what_it_is(bag: Any) -> None:
    assert all(each.doc_md and "avala" in each.tags for each in bag.dags.values())


def test_the_pool_is_one_of_those_that_are_shipped(bag: Any) -> None:
    [export] = [task for task in bag.dags["avala_many_exports"].tasks if "create" in task.task_id]
    assert json.loads(POOLS.read_text())[export.pool]["slots"] == 5


def test_one_dag_is_scheduled_on_what_the_other_one_makes(bag: Any) -> None:
    made = bag.dags["avala_scheduled_export"].get_task("download_export").outlets
    assert [asset.uri for asset in made] == [f"avala://projects/{SEED_PROJECT_ID}/exports"]
    timetable = bag.dags["avala_after_export"].timetable
    waited_for = getattr(timetable, "asset_condition", None) or timetable.dataset_condition
    assert made[0].uri in repr(waited_for)


def test_the_dag_that_comes_after_runs_by_hand_too(bench: Bench) -> None:
    bench.run("dags", "test", "avala_after_export")


def test_the_scheduled_export_puts_the_file_of_the_day_into_the_storage(bench: Bench) -> None:
    bench.run("dags", "test", "avala_scheduled_export", "2026-11-20")
    assert bench.files() == ["daily/2026-11-20.zip"]
    assert [export["projects"] for export in bench.avala.exports] == [[SEED_PROJECT_ID]]


def test_the_pictures_of_a_day_become_a_dataset(bench: Bench) -> None:
    bench.avala.dataset_seconds = 0.0
    bench.run("dags", "test", "avala_new_dataset", "2026-11-20")
    made = bench.avala.datasets[-1]
    assert (made["name"], made["slug"], made["item_count"]) == ("Camera, 2026-11-20", "camera-2026-11-20", 3)
    assert sorted(key.rsplit("/", 1)[-1] for key in bench.avala.files) == [
        "front.png",
        "left.png",
        "right.png",
    ]


def test_all_projects_of_an_account_are_exported_each_once(bench: Bench) -> None:
    projects = {SEED_PROJECT_ID, *(bench.avala.add_project(f"Project {number}") for number in range(3))}
    bench.run("dags", "test", "avala_many_exports")
    exports = bench.avala.exports
    assert len(exports) == 4
    assert {project for export in exports for project in export["projects"]} == projects
    assert bench.files() == sorted(f"{export['id']}.zip" for export in exports)


def test_only_the_projects_asked_for_are_exported(bench: Bench) -> None:
    bench.avala.add_project("Another one")
    conf = json.dumps({"project_ids": [SEED_PROJECT_ID]})
    bench.run("dags", "test", "avala_many_exports", "--conf", conf)
    assert [export["projects"] for export in bench.avala.exports] == [[SEED_PROJECT_ID]]
    assert len(bench.files()) == 1
