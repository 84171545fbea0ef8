"""Every snippet of the documentation does what the page says; docs/offline-tests.md has tests of its own.

The Python blocks of a page that define no DAG are the tasks of one DAG, in their order; those that do are files of
their own. ``my-project``, ``my-dataset`` and ``/data`` stand for what the reader has: the emulator has them, too.
"""

from __future__ import annotations

import configparser
import gzip
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_avala.__main__ import main
from airflow_provider_avala.api.uploads import UploadSummary
from airflow_provider_avala.emulator import Emulator, running_emulator
from airflow_provider_avala.emulator.__main__ import parse_arguments
from airflow_provider_avala.get_provider_info import get_provider_info
from airflow_provider_avala.hooks.avala import AvalaHook
from tests import installed
from tests.airflow_support import connection, metadata_database
from tests.docs_support import PAGES, ROOT, Block, blocks, blocks_of

OFFLINE = ("docs/offline-tests.md",)
SEED = {
    "datasets": [{"uid": "my-dataset", "name": "Mine", "slug": "mine"}],
    "projects": [{"uid": "my-project", "name": "Cars", "datasets": ["mine"]}],
}
PAGE_AS_DAG = """\
import pendulum
from airflow.providers.common.compat.sdk import DAG

with DAG("page", start_date=pendulum.datetime(2026, 1, 1), schedule=None, catchup=False) as dag:
{tasks}
"""


def dag_files() -> Iterator[Any]:
    """The DAG files that the pages come to."""
    tasks: dict[str, list[str]] = {}
    for block in blocks("python", without=OFFLINE):
        if "DAG(" in block.code or "@dag" in block.code:
            yield pytest.param(block.code, id=str(block))
        else:
            tasks.setdefault(block.page, []).append(block.code)
    for page, codes in tasks.items():
        yield pytest.param(PAGE_AS_DAG.format(tasks=textwrap.indent("\n".join(codes), "    ")), id=page)


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with running_emulator(
        rate_limits=None, export_seconds=0.0, dataset_seconds=0.0, max_exports=100, seed=SEED
    ) as emulator:
        yield emulator


@pytest.fixture
def avala(running: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """What the reader's default connection leads to."""
    running.reset()
    monkeypatch.setenv("AIRFLOW_CONN_AVALA_DEFAULT", connection(running.base_url, running.api_key))
    metadata_database()
    return running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What the reader has in ``/data``."""
    lines = "".join(json.dumps({"name": f"{n}.jpg"}) + "\n" for n in range(7))
    folder = tmp_path / "data"
    for name in ("more", "images"):
        (folder / name).mkdir(parents=True)
    (folder / "items.jsonl").write_text(lines)
    (folder / "more" / "1.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("a", "b"):
        (folder / "images" / f"{name}.jpg").write_bytes(name.encode() * 100)
    return folder


@pytest.mark.parametrize("code", dag_files())
def test_each_dag_runs(code: str, avala: Emulator, data: Path, request: pytest.FixtureRequest) -> None:
    from airflow import settings
    from airflow.utils.session import create_session

    name = "docs_" + re.sub(r"\W", "_", request.node.callspec.id)
    file = Path(settings.DAGS_FOLDER) / f"{name}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code.replace('"/data/', f'"{data}/').replace('DAG("page"', f'DAG("{name}"'))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    [dag] = [found for found in vars(module).values() if type(found).__name__ == "DAG"] or [
        module.on_nightly_export()
    ]
    run = dag.test()
    with create_session() as session:
        states = {ti.task_id: str(ti.state) for ti in run.get_task_instances(session=session)}
    assert set(states.values()) == {"success"}, states
    file.unlink()


def test_what_the_pages_say_of_their_tasks_is_so(avala: Emulator, data: Path) -> None:
    summary = AvalaHook().upload_items("my-dataset", [data / "items.jsonl", data / "more"])
    [shown] = [json.loads(block.code) for block in blocks("json") if "dataset_id" in block.code]
    assert list(shown) == list(summary.as_dict()) == list(vars(UploadSummary("my-dataset")))
    assert summary.items == 14


def command_lines() -> list[Any]:
    """The commands of all pages, one by one."""
    return [
        pytest.param(line, id=f"{block.page}: {line[:60]}")
        for block in blocks("bash", "console", without=OFFLINE)
        for line in block.code.replace("\\\n", " ").splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize("line", command_lines())
def test_each_command_works(
    line: str, avala: Emulator, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_a_shell(line: str) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        variables = installed.variables() | {"HOME": str(tmp_path), "PATH": path}
        done = subprocess.run(
            ["bash", "-ec", line], env=os.environ | variables, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    monkeypatch.setenv("EXPORT_ID", avala.add_export())
    words = [os.path.expandvars(word) for word in shlex.split(line, comments=True)]
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}: .*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["pip", "install", *requirements]:
            assert_installable(requirements)
        case ["export", assignment] if assignment.startswith("AIRFLOW_CONN_AVALA_DEFAULT="):
            monkeypatch.setenv(*assignment.split("=", 1))
            assert AvalaHook().settings.base_url == "https://api.avala.ai/api/v1"
            assert AvalaHook().settings.api_key == "avk_..."
        case ["export", assignment]:
            assert re.fullmatch(r"AIRFLOW__CORE__(LOAD_EXAMPLES=False|TEST_CONNECTION=Enabled)", assignment)
        case ["python", "-m", "airflow_provider_avala.emulator", *arguments]:
            assert parse_arguments(arguments).port == 8765
        case ["python", "-m", "airflow_provider_avala", "emulator", *arguments]:
            assert parse_arguments(arguments).port == 8765
        case ["python", "-m", "airflow_provider_avala", *arguments]:
            assert main([word.replace("/data/", f"{data}/") for word in arguments]) == 0
        case ["cp", *_]:
            (tmp_path / "airflow" / "dags").mkdir(parents=True)
            in_a_shell(line)
            assert (tmp_path / "airflow" / "dags" / "avala_quickstart.py").is_file()
        case ["airflow", "avala" | "pools" | "connections", *_]:
            in_a_shell(line)
        case ["python3", "-m", "venv", name] | ["source", name] | ["mkdir", "-p", name]:
            assert name.startswith(("avala-airflow", "~/airflow"))
        case ["airflow", "standalone"]:
            pass  # servers until Ctrl-C; tests/browser and tests/e2e run them one by one
        case _:
            raise AssertionError("no test knows this command")


def assert_installable(requirements: list[str]) -> None:
    """Ours, with extras that there are; or a package of which the pins have this version."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pins = (ROOT / "constraints" / "airflow-3.3.2.txt").read_text().splitlines()
    for requirement in requirements:
        name, extra = re.fullmatch(r"([a-z-]+)(?:\[(\w+)\])?(?:==.+)?", requirement).groups()  # type: ignore[union-attr]
        if name == "airflow-provider-avala":
            assert not extra or extra in config["options.extras_require"]
        else:
            assert requirement in pins


@pytest.mark.parametrize("block", blocks("ini", without=OFFLINE), ids=str)
def test_each_configuration_is_one_that_airflow_knows(block: Block) -> None:
    config = configparser.ConfigParser()
    config.read_string(block.code)
    assert config.sections() == ["avala"]
    assert set(config["avala"]) <= set(get_provider_info()["config"]["avala"]["options"])


@pytest.mark.parametrize("block", [block for block in blocks("json") if "conn_type" in block.code], ids=str)
def test_each_connection_is_understood(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AVALA_DEFAULT", block.code)
    assert AvalaHook().settings.api_key == "avk_..."


def test_no_block_is_left_out() -> None:
    """What is in a language that no test reads would not be noticed when it goes wrong."""
    known = {"python", "bash", "ini", "json", "text", "{toctree}", "{eval-rst}"}
    found = {block.language for page in PAGES for block in blocks_of(page) if block.page not in OFFLINE}
    assert found == known
