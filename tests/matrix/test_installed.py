"""The installed package: whole, importable, and known to Airflow."""

from __future__ import annotations

import importlib.metadata
import json
import pkgutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import airflow as installed_airflow
import jsonschema
import pytest

import airflow_provider_avala
from airflow_provider_avala.get_provider_info import get_provider_info

from .conftest import Airflow

PACKAGE = "airflow-provider-avala"
FOLDER = Path(airflow_provider_avala.__file__).parent
AIRFLOW = tuple(int(part) for part in importlib.metadata.version("apache-airflow").split(".")[:2])
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(airflow_provider_avala.__path__, "airflow_provider_avala.")
    if not module.name.endswith("__main__")
    and (
        AIRFLOW >= (3, 3) or ".retry_policies." not in module.name
    )  # says on import that it needs Airflow 3.3
)
#: What Airflow's manager of providers has read, and which hook it imports for the connection type.
MANAGER = """
import json
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
manager.initialize_providers_configuration()
hook = manager.hooks["avala"]
print(json.dumps({
    "version": manager.providers["airflow-provider-avala"].version,
    "hook": hook and hook.hook_class_name,
    "poll_share": conf.get("avala", "poll_share"),
}))
"""


def test_it_is_the_wheel_that_is_tested() -> None:
    assert FOLDER.parent == Path(sysconfig.get_path("purelib"))


def test_its_version_is_the_modules() -> None:
    assert importlib.metadata.version(PACKAGE) == airflow_provider_avala.__version__


@pytest.mark.parametrize("name", ["py.typed", "pools.json", "example_dags/avala_quickstart.py"])
def test_its_files_are_there(name: str) -> None:
    assert (FOLDER / name).is_file()


def test_every_module_can_be_imported_and_uses_nothing_deprecated() -> None:
    assert {"airflow_provider_avala.hooks.avala", "airflow_provider_avala.emulator.app"} <= {*MODULES}
    program = [f"import {name}" for name in MODULES]
    python("\n".join(program), "-W", "error::DeprecationWarning:airflow_provider_avala")


def test_its_info_follows_the_schema_of_this_airflow() -> None:
    schema = Path(installed_airflow.__path__[0]) / "provider_info.schema.json"
    jsonschema.validate(get_provider_info(), json.loads(schema.read_text()))


def test_airflow_accepts_the_provider_and_imports_its_hook() -> None:
    done = python(MANAGER)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "version": airflow_provider_avala.__version__,
        "hook": "airflow_provider_avala.hooks.avala.AvalaHook",
        "poll_share": "0.5",
    }
    said = (done.stdout + done.stderr).lower().splitlines()
    assert not [line for line in said if "avala" in line and ("warn" in line or "error" in line)]


def test_airflow_lists_the_provider(airflow: Airflow) -> None:
    text = airflow("providers", "list", "--output", "json")
    providers: list[dict[str, Any]] = json.loads(text[text.index("[{") :])
    [row] = [row for row in providers if row["package_name"] == PACKAGE]
    assert row["version"] == airflow_provider_avala.__version__


def test_airflow_loads_its_plugins(airflow: Airflow) -> None:
    assert "error" not in airflow("plugins").lower()


def test_the_emulator_starts_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "airflow_provider_avala.emulator", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Avala" in done.stdout


def python(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has to succeed."""
    done = subprocess.run(
        [sys.executable, "-P", *options, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done
