"""What a user has who installed the wheel: the package and Airflow's command, none of this repository's modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_avala.emulator import Emulator, running_emulator

Airflow = Callable[..., str]


@pytest.fixture(scope="session")
def avala() -> Iterator[Emulator]:
    with running_emulator(export_seconds=1.0) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "dags").mkdir()
    return folder


@pytest.fixture(scope="session")
def airflow(home: Path, avala: Emulator) -> Airflow:
    """Airflow's command line, which has to succeed; what it prints is returned."""
    connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key}
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(connection),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("airflow"), *arguments],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
