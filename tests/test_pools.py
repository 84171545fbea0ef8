"""The two pools that keep Avala's concurrency limits across hosts."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import airflow_provider_avala

POOLS = Path(airflow_provider_avala.__file__).with_name("pools.json")


def airflow(home: Path, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("airflow")), *arguments]
    environment = os.environ | {"AIRFLOW_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_airflow_imports_them(tmp_path: Path) -> None:
    airflow(tmp_path, "db", "migrate")
    airflow(tmp_path, "pools", "import", str(POOLS))
    listed = airflow(tmp_path, "pools", "list", "--output", "json")
    pools = {pool["pool"]: pool for pool in json.loads(listed[listed.index("[{") :])}
    assert {name: pools[name]["slots"] for name in ("avala_exports", "avala_uploads")} == {
        "avala_exports": "5",
        "avala_uploads": "10",
    }
    assert ast.literal_eval(pools["avala_exports"]["include_deferred"]) is True
    assert ast.literal_eval(pools["avala_uploads"]["include_deferred"]) is False


def test_no_operator_asks_for_a_pool_by_itself() -> None:
    """A pool that does not exist would leave the task scheduled for ever."""
    sources = Path(airflow_provider_avala.__file__).parent.rglob("*.py")
    assert not [source for source in sources if "pool=" in source.read_text()]
