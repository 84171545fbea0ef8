"""What a newcomer does with the wheel alone: copy the example DAG, run it, look at the file."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

import airflow_provider_avala
from airflow_provider_avala.emulator import SEED_DATASET_ID, Emulator

from .conftest import Airflow

EXAMPLES = Path(airflow_provider_avala.__file__).with_name("example_dags")


@pytest.fixture(scope="module", autouse=True)
def prepared(airflow: Airflow, home: Path) -> None:
    for example in EXAMPLES.glob("*.py"):
        shutil.copy(example, home / "dags")
    airflow("db", "migrate")


def test_every_example_can_be_imported(airflow: Airflow) -> None:
    assert "No data found" in airflow("dags", "list-import-errors")


def test_the_quickstart_uploads_exports_waits_and_downloads(
    airflow: Airflow, avala: Emulator, home: Path
) -> None:
    airflow("dags", "test", "avala_quickstart")
    assert len(avala.items(SEED_DATASET_ID)) == 1000
    [export] = avala.exports
    polls = avala.requests_to("GET", f"/exports/{export['uid']}")
    assert len(polls) > 1, "it was waited for, and its download looked it up"
    with zipfile.ZipFile(home / "avala" / f"export-{export['uid']}.zip") as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".jsonl")]
        rows = [json.loads(line) for line in archive.read(name).splitlines()]
    assert {row["name"] for row in rows} == {f"frame-{number:04}.jpg" for number in range(1000)}
