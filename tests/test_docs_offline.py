"""Everything that the guide to offline tests shows does what it says."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_avala.emulator.__main__ import parse_arguments
from airflow_provider_avala.emulator.control import ORDER_KEYS
from airflow_provider_avala.emulator.scenarios import SCENARIOS
from scripts.local_airflow import LocalAirflow
from tests.emulator.support import eventually

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "offline-tests.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
FILES = {name[1]: code for _, code in BLOCKS if (name := re.match(r"# (\S+\.\w+)\n", code))}
SHELL = "\n".join(code for kind, code in BLOCKS if kind == "bash").splitlines()
EMULATOR = "python -m airflow_provider_avala.emulator"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the guide, in a folder of their own."""
    folder = tmp_path_factory.mktemp("project")
    for name, code in FILES.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
    return folder


def test_the_tests_of_the_guide_pass_on_a_real_airflow(project: Path, tmp_path: Path) -> None:
    airflow = LocalAirflow(tmp_path / "home", dags_folder=project / "dags", env={})
    airflow.prepare()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider"],
        cwd=project,
        env={
            **airflow.env,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_PLUGINS": "airflow_provider_avala.emulator.pytest_plugin",
        },
        capture_output=True,
        text=True,
    )
    tests = sum(code.count("\ndef test_") for code in FILES.values())
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests} passed" in done.stdout
    assert (project / "exports" / "cars.zip").stat().st_size > 0


@pytest.fixture
def program(project: Path, tmp_path: Path) -> Iterator[str]:
    """The emulator as the guide starts it, on a free port; its address."""
    [command] = [line for line in SHELL if line.startswith(EMULATOR)]
    assert parse_arguments(shlex.split(command)[3:]).port == 8765
    ready_file = tmp_path / "ready.json"
    arguments = [*shlex.split(command.replace("8765", "0"))[1:], "--ready-file", str(ready_file)]
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: ready_file.exists() or process.poll() is not None)
        yield json.loads(ready_file.read_text())["base_url"].removesuffix("/api/v1")
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_the_commands_of_the_guide_work(program: str, project: Path, tmp_path: Path) -> None:
    def run(line: str) -> str:
        words = shlex.split(line.replace("http://127.0.0.1:8765", program))
        return subprocess.run(words, capture_output=True, text=True, check=True, env=env).stdout

    env = {**os.environ, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    state, later, outage, cleared = [run(line) for line in SHELL if line.startswith("curl ")]
    assert [row["name"] for row in json.loads(state)["exports"]] == ["last night", "broken", "running"]
    assert [row["status"] for row in json.loads(later)["exports"]] == ["exported", "failed", "exported"]
    assert json.loads(outage)["export_seconds"] == 120
    assert cleared == ""
    for line in SHELL:
        if line.startswith("export "):
            env |= dict(
                pair.split("=", 1) for pair in line.replace("http://127.0.0.1:8765", program).split()[1:]
            )
    assert shutil.which("avala", path=env["PATH"])
    assert "Seed dataset" in run("avala datasets list")


def test_the_snippet_without_a_file_runs() -> None:
    [code] = [code for kind, code in BLOCKS if kind == "python" and not code.startswith("# ")]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "offline-tests.md", "exec"), {})
    assert printed.getvalue().startswith("http://127.0.0.1:")


def test_every_scenario_and_every_endpoint_is_in_its_table() -> None:
    for name, scenario in SCENARIOS.items():
        assert f"| `{name}` | {scenario.summary} |" in GUIDE
    control = (ROOT / "airflow_provider_avala" / "emulator" / "control.py").read_text()
    for path in re.findall(r'Route\("(/__emulator__/\w+)"', control):
        assert re.search(rf"^\| .*{path}`", GUIDE, re.MULTILINE), path
    assert all(f"`{key}`" in GUIDE for key in ORDER_KEYS if key in ("times", "skip", "every"))
