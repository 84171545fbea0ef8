"""DAG files are parsed every few seconds, so what they import must stay light."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
HEAVY = (
    "requests",
    "urllib3",
    "aiohttp",
    "starlette",
    "uvicorn",
    "redis",
    "cryptography",
    "rich",
    "airflow.models",
    "airflow.providers_manager",
    "airflow.sdk.providers_manager_runtime",
    "airflow_provider_avala.emulator",
    "airflow_provider_avala.api.client",
    "airflow_provider_avala.api.transport",
)
DAG_SIDE = sorted(
    f"airflow_provider_avala.{path.parent.name}.{path.stem}"
    for folder in ("hooks", "operators", "sensors", "triggers", "links", "assets")
    for path in (ROOT / "airflow_provider_avala" / folder).glob("[!_]*.py")
)
BASES = (
    "import airflow.sdk, airflow.triggers.base;"
    " from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, ObjectStoragePath, conf"
    if AIRFLOW >= (3, 0)
    else "import airflow.models.baseoperator, airflow.models.baseoperatorlink;"
    " import airflow.sensors.base, airflow.hooks.base, airflow.triggers.base"
)


def loaded_by(statement: str, after: str = "pass") -> set[str]:
    """The modules that a statement loads in a fresh interpreter."""
    program = (
        f"import json, sys\n{after}\nbefore = set(sys.modules)\n{statement}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


#: What DAG files name, and all of ``api`` that it needs.
NAMED = [
    f"airflow_provider_avala.{kind}.avala" for kind in ("operators", "sensors", "triggers", "hooks", "assets")
]
LIGHT = {"api", "api.defaults", "api.errors", "api.remedies", "api.secrets", "api.targets"}
#: Airflow's own thin layers, which come with the first provider of any kind.
AIRFLOWS_OWN = (
    "airflow.providers.common",
    "airflow.sdk.bases.operatorlink",
)


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """What all modules that DAG files import load, beyond Airflow's own base classes."""
    return loaded_by(f"import {', '.join(DAG_SIDE)}", after=BASES)


def test_the_modules_are_found() -> None:
    assert {
        f"airflow_provider_avala.{kind}.avala" for kind in ("hooks", "operators", "sensors", "triggers")
    } <= {*DAG_SIDE}


@pytest.mark.parametrize("module", HEAVY)
def test_a_dag_file_loads_nothing_heavy(module: str, loaded: set[str]) -> None:
    assert not [name for name in loaded if name == module or name.startswith(f"{module}.")]


def test_a_dag_file_loads_only_this_package_and_little_of_its_api() -> None:
    """Neither zipfile nor tempfile nor any other part of Python that Airflow's base classes have not loaded."""
    names = loaded_by(f"import {', '.join(NAMED)}", after=BASES)
    mine = {name for name in names if name.split(".")[0] == "airflow_provider_avala"}
    assert {name for name in names - mine if not name.startswith(AIRFLOWS_OWN)} == set()
    assert {name for name in mine if name.startswith("airflow_provider_avala.api")} == {
        f"airflow_provider_avala.{name}" for name in LIGHT
    }


def test_the_api_layer_loads_no_airflow() -> None:
    modules = [
        f"airflow_provider_avala.api.{path.stem}"
        for path in (ROOT / "airflow_provider_avala" / "api").glob("[!_]*.py")
    ]
    names = loaded_by(f"import {', '.join(modules)}")
    assert not [name for name in names if name.split(".")[0] == "airflow"]


def test_the_provider_info_loads_nothing_but_itself() -> None:
    names = loaded_by(
        "from airflow_provider_avala.get_provider_info import get_provider_info; get_provider_info()",
        after="import typing",
    )
    assert {name for name in names if "." in name or name not in sys.stdlib_module_names} == {
        "airflow_provider_avala",
        "airflow_provider_avala.get_provider_info",
    }
