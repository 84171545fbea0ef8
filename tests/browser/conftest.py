"""One real Airflow, one Avala emulator and one browser for all browser tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.emulator import running_emulator
from scripts.airflow_ui import AirflowUI, airflow_ui
from scripts.chromium import chromium
from scripts.local_airflow import LocalAirflow
from tests import installed

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from airflow_provider_avala.emulator import Emulator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="package")
def avala() -> Iterator[Emulator]:
    """The Avala that connections lead to."""
    with running_emulator(export_seconds=3.0) as emulator:
        yield emulator


@pytest.fixture(scope="package")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """Airflow as a user has it who wants to test connections: nothing else is set."""
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(ROOT / "dags" / "avala_quickstart.py", dags)
    env = installed.variables() | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), dags_folder=dags, env=env) as running:
        yield running


@pytest.fixture(scope="package")
def context(airflow: LocalAirflow) -> Iterator[BrowserContext]:
    """The machine's Chromium, logged in once; pages share its cache, since the UI is some megabytes to load."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 1000})
        airflow_ui(context.new_page(), airflow).sign_in()
        yield context


@pytest.fixture
def ui(context: BrowserContext, airflow: LocalAirflow) -> Iterator[AirflowUI]:
    """A fresh page."""
    page = context.new_page()
    yield airflow_ui(page, airflow)
    page.close()


@pytest.fixture
def stored(airflow: LocalAirflow, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Reads a connection as Airflow has stored it, with the extras in the types that they have there."""

    def read(conn_id: str) -> dict[str, Any]:
        file = tmp_path / "connections.json"
        command = airflow.command("connections", "export", str(file), "--file-format", "json")
        subprocess.run(command, env=airflow.env, capture_output=True, timeout=120, check=True)
        connection = json.loads(file.read_text())[conn_id]
        return connection | {"extra": json.loads(connection["extra"] or "{}")}

    return read


@pytest.fixture
def settings(stored: Callable[[str], dict[str, Any]]) -> Callable[[str], Settings]:
    """Reads a stored connection as the hook does."""

    def read(conn_id: str) -> Settings:
        connection = stored(conn_id)
        return Settings.parse(
            **{name: connection[name] for name in ("host", "port", "schema", "password", "extra")}
        )

    return read
