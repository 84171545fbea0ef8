"""The README's table of versions is what CI runs."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = re.findall(
    r"^\| ([23]\.[\d.]+) \| ([\d., ]+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE
)
CI = (ROOT / ".ci" / "run").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
ALL, WHEEL = "all tests", "the wheel in a clean environment"


def pinned(path: Path) -> str:
    """The version of Airflow in a file of pins."""
    [version] = re.findall(r"^apache-airflow==(.+)$", path.read_text(), re.MULTILINE)
    return version


def makes(target: str) -> bool:
    """Whether CI makes a target."""
    return bool(re.search(rf"^make (-j2 -O )?{target}$", CI, re.MULTILINE))


def fully_tested() -> set[str]:
    """The versions whose environment one of CI's targets runs all tests in."""
    found = set()
    for venv, target in {"venv": "test", "venv-airflow2": "test-airflow2"}.items():
        [pins] = re.findall(rf"^{venv}: .*\n.* (constraints/\S+)", MAKEFILE, re.MULTILINE)
        if makes(target):
            found.add(pinned(ROOT / pins))
    return found


def test_all_pinned_versions_are_listed_newest_first_and_no_other() -> None:
    found = [pinned(path) for path in (ROOT / "constraints").glob("airflow-*.txt")]
    newest_first = sorted(found, key=lambda version: [int(part) for part in version.split(".")], reverse=True)
    assert [version for version, _, _ in TABLE] == newest_first


def test_where_it_says_all_tests_ci_runs_them() -> None:
    assert {version for version, _, what in TABLE if ALL in what} == fully_tested()


def test_where_it_says_the_wheel_ci_installs_it() -> None:
    assert all(WHEEL in what for _, _, what in TABLE) is makes("test-matrix")


def test_every_version_of_the_matrix_is_made() -> None:
    """They are found by their files, so that none can be forgotten."""
    assert "$(wildcard constraints/airflow-*.txt)" in MAKEFILE
    assert "test-matrix: $(MATRIX:%=test-wheel-%)" in MAKEFILE


def test_the_python_that_is_listed_is_that_of_ci() -> None:
    listed = {python for _, python, _ in TABLE}
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if os.environ.get("CI"):
        assert listed == {here}
    assert sys.version_info >= min(tuple(map(int, python.split("."))) for python in listed)
