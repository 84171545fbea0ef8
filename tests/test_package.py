"""What is built and shipped: everything a user needs, nothing else, and one version of it all."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import airflow_provider_avala
from airflow_provider_avala import __version__
from airflow_provider_avala.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[1]
NAME = "airflow_provider_avala"
SOURCE = ROOT / NAME
BUILD = """
import os, sys
from setuptools import build_meta
os.chdir(sys.argv[1])
print(getattr(build_meta, sys.argv[2])(sys.argv[3]))
"""


def build(source: Path, what: str, into: Path) -> Path:
    """Call the build backend as PyPA's ``build`` does, with the setuptools that is installed."""
    into.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, str(source), what, str(into)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return into / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    tree = shutil.copytree(
        ROOT, folder / "tree", ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "*.pyc")
    )
    archive = build(tree, "build_sdist", folder)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, made from the source distribution, so that nothing may be missing there."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(sdist, folder / "source")
    return zipfile.ZipFile(build(copy, "build_wheel", folder))


def shipped(wheel: zipfile.ZipFile, folder: str) -> set[str]:
    return {name.removeprefix(folder) for name in wheel.namelist() if name.startswith(folder)}


def test_the_wheel_holds_every_module_and_data_file_and_no_other(wheel: zipfile.ZipFile) -> None:
    modules = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py")}
    examples = {f"example_dags/{path.name}" for path in (ROOT / "dags").glob("*.py")}
    assert {"emulator/app.py", "hooks/avala.py"} <= modules
    assert "example_dags/avala_quickstart.py" in examples
    assert shipped(wheel, f"{NAME}/") == modules | examples | {"py.typed", "pools.json"}


def test_the_wheel_puts_nothing_beside_the_package(wheel: zipfile.ZipFile) -> None:
    assert {name.partition("/")[0] for name in wheel.namelist()} == {NAME, f"{NAME}-{__version__}.dist-info"}


def test_the_wheel_comes_with_licence_and_entry_points(wheel: zipfile.ZipFile) -> None:
    info = shipped(wheel, f"{NAME}-{__version__}.dist-info/")
    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"} <= info
    entry_points = wheel.read(f"{NAME}-{__version__}.dist-info/entry_points.txt").decode()
    assert f"provider_info = {NAME}.get_provider_info:get_provider_info" in entry_points


def test_the_metadata_tell_what_is_needed(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(wheel.read(f"{NAME}-{__version__}.dist-info/METADATA").decode())
    assert metadata["Name"] == "airflow-provider-avala"
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().startswith("# airflow-provider-avala\n")
    needed = [each for each in metadata.get_all("Requires-Dist") if "extra ==" not in each]
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert {name(each) for each in needed} == {
        name(each) for each in setup["options"]["install_requires"].split("\n") if each
    }


def name(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0]


def test_the_sdist_holds_what_the_wheel_is_made_from_and_no_tests_or_caches(sdist: Path) -> None:
    assert {path.name for path in sdist.iterdir() if path.name != f"{NAME}.egg-info"} == {
        NAME,
        "CHANGELOG.md",
        "LICENSE",
        "MANIFEST.in",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "setup.cfg",
    }
    assert not [*sdist.rglob("__pycache__")]


def test_the_changelog_begins_with_this_version() -> None:
    [newest, *_] = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == airflow_provider_avala.__version__


def test_no_option_is_said_to_be_newer_than_this_version() -> None:
    options = get_provider_info()["config"]["avala"]["options"].values()
    assert all(numbers(option["version_added"]) <= numbers(__version__) for option in options)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
