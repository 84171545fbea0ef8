"""The pytest plugin in pytest runs of their own, found by its entry point as in a user's environment."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = """\
import json, os, urllib.error, urllib.request
import pytest

def connection(conn_id="AVALA_DEFAULT"):
    return json.loads(os.environ["AIRFLOW_CONN_" + conn_id])

def ask(path, conn_id="AVALA_DEFAULT"):
    found = connection(conn_id)
    request = urllib.request.Request(found["host"] + path, headers={"X-Avala-Api-Key": found["password"]})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
"""


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder that tells of the installed package what setup.cfg says."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    [line] = config["options.entry_points"]["pytest11"].strip().splitlines()
    info = tmp_path / "site" / "airflow_provider_avala-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: airflow-provider-avala\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{line}\n")
    return info.parent


@pytest.fixture
def run(tmp_path, site):
    """Run pytest on a test file, as a user does."""

    def runner(tests: str, *arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "test_theirs.py").write_text(CLIENT + tests)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        path = os.pathsep.join([str(site), str(ROOT)])
        return subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-q", "-rA"),
                *arguments,
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return runner


def passed(done: subprocess.CompletedProcess[str], count: int) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} passed" in done.stdout


def test_a_test_gets_a_fresh_emulator_and_the_connection_to_it(run):
    done = run(
        """
@pytest.mark.parametrize("turn", [1, 2])
def test_mine(avala_emulator, turn):
    assert avala_emulator.exports == avala_emulator.requests == []
    avala_emulator.add_export()
    assert ask("/users/me/") == 200
    assert connection()["host"] == avala_emulator.base_url
    assert connection()["conn_type"] == "avala"

def test_the_connection_is_gone_afterwards():
    assert "AIRFLOW_CONN_AVALA_DEFAULT" not in os.environ
"""
    )
    passed(done, 3)


def test_markers_and_the_settings_fixture_change_it_and_the_nearest_one_decides(run):
    done = run(
        """
pytestmark = pytest.mark.avala_emulator(export_seconds=7, page_limit=9)

@pytest.mark.avala_emulator(scenario="outage", conn_id="other", page_limit=3, dialect="legacy")
def test_marked(avala_emulator):
    assert ask("/users/me/", "OTHER") == 503
    assert connection("OTHER")["extra"] == {"dialect": "legacy"}
    assert "AIRFLOW_CONN_AVALA_DEFAULT" not in os.environ
    settings = avala_emulator.settings
    assert (settings.export_seconds, settings.page_limit, settings.max_exports) == (7, 3, 1)

@pytest.mark.avala_emulator(seed={"datasets": [{"name": "Mine"}]})
def test_seeded(avala_emulator):
    assert avala_emulator.datasets[-1]["name"] == "Mine"
    assert avala_emulator.settings.page_limit == 9
""",
        conftest="""
import pytest

@pytest.fixture(scope="session")
def avala_emulator_settings():
    return {"page_limit": 11, "max_exports": 1}
""",
    )
    passed(done, 2)


def test_tests_may_share_one_by_a_wider_scope(run):
    done = run(
        """
urls, seen = [], {}

@pytest.mark.avala_emulator(scope="class")
class TestShared:
    def test_one(self, avala_emulator):
        avala_emulator.add_export()
        urls.append(avala_emulator.base_url)

    def test_two(self, avala_emulator):
        assert len(avala_emulator.exports) == 1
        assert [avala_emulator.base_url] == urls == [connection()["host"]]

    @pytest.mark.avala_emulator(export_seconds=1)
    def test_other_settings(self, avala_emulator):
        assert avala_emulator.exports == []

@pytest.mark.parametrize("scope", ["module", "session"])
class TestWider:
    @pytest.fixture(autouse=True)
    def mark(self, request, scope):
        request.applymarker(pytest.mark.avala_emulator(scope=scope))

    @pytest.mark.parametrize("turn", [0, 1])
    def test_share(self, avala_emulator, scope, turn):
        avala_emulator.add_export()
        seen.setdefault(scope, []).append((avala_emulator.base_url, len(avala_emulator.exports)))

def test_each_scope_had_one_of_its_own():
    for (first, one), (second, two) in seen.values():
        assert (first, one, two) == (second, 1, 2)

def test_that_of_the_class_has_stopped():
    with pytest.raises(OSError):
        urllib.request.urlopen(urls[0], timeout=10)
"""
    )
    passed(done, 9)


NONSENSE = {
    '("flaky")': "give names, such as scenario='flaky'; got 'flaky'",
    '(scenario="none")': "scenario='none': say one of slow-exports",
    '(scope="package")': "scope='package': say one of function, class, module, session",
    "(exports=3)": "unexpected keyword argument 'exports'",
    '(seed="gone.yaml")': "gone.yaml: cannot read the seed file",
}


def test_a_marker_that_makes_no_sense_is_one_clear_line(run):
    mine = "\n@pytest.mark.avala_emulator{}\ndef test_{}(avala_emulator): pass\n"
    done = run("".join(mine.format(marker, number) for number, marker in enumerate(NONSENSE)))
    assert done.returncode == 1
    assert f"{len(NONSENSE)} errors" in done.stdout
    for number, problem in enumerate(NONSENSE.values()):
        _, _, said = done.stdout.partition(f"_ ERROR at setup of test_{number} _")
        assert problem in said.partition("_ ERROR at setup")[0]
    assert "Traceback" not in done.stdout
    assert "pytest_plugin.py" not in done.stdout


def test_it_shows_its_fixture_and_its_marker(run):
    done = run("", "--fixtures", "--markers")
    assert "@pytest.mark.avala_emulator(conn_id='avala_default', scope='function'" in done.stdout


def test_loading_it_imports_nothing_heavy():
    code = (
        "import sys, pytest, airflow_provider_avala.emulator.pytest_plugin as plugin\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "airflow_provider_avala" in loaded
    assert not loaded & {"airflow", "requests", "starlette", "uvicorn", "yaml", "msgspec", "anyio", "asyncio"}
