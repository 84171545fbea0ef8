"""``make pins``: resolve the newest versions that fit setup.cfg and write constraints/.

Run as ``python3 -m scripts.write_pins``. What it writes holds names and versions only.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.console import say, step
from scripts.troubles import explain, last_error

ROOT = Path(__file__).resolve().parent.parent
BUILD = "setuptools>=77"  # as in pyproject.toml; pinned, so that building needs no isolated environment
PYTHONS = {
    # what these versions of Airflow run on, where that is not ANY_PYTHON
    "airflow-2.11.2": "# Python >=3.11,<3.13",
    "airflow-3.0": "# Python >=3.11,<3.13",
    "airflow-3.1": "# Python >=3.11,<3.14",
}
ANY_PYTHON = "# Python >=3.11,<3.15"

#: What these versions of Airflow do not say themselves: with anything newer, tasks cannot reach its execution API.
BOUNDS = {"airflow-3.2": ["fastapi<0.137", "svcs<26"], "airflow-3.0": ["fastapi<0.118"]}

EXTRAS = {
    # name of the file -> extras of this package
    "airflow-3.3.2": ("emulator", "openlineage", "redis", "test", "browser", "docs", "dist", "lint"),
    "airflow-3.2": ("emulator", "matrix"),  # the newest 3.2.x; the wheel alone is tried there
    "airflow-3.1": ("emulator", "matrix"),
    "airflow-3.0": ("emulator", "matrix"),
    "airflow-2.11.2": ("emulator", "openlineage", "redis", "test", "browser"),
    "api": ("emulator", "redis", "test"),
}


def main() -> int:
    """Write every file; 0 when all are written."""
    try:
        for name in EXTRAS:
            write(
                ROOT / "constraints" / f"{name}.txt",
                PYTHONS.get(name, ANY_PYTHON),
                [*airflow(name), *BOUNDS.get(name, []), *requirements(name), BUILD],
            )
    except subprocess.CalledProcessError as error:
        say(f"  {explain(error.stdout) or last_error(error.stdout)}")
        return 1
    return 0


def airflow(name: str) -> list[str]:
    """Airflow itself: the version in the file's name, or the newest patch release of it; none for the file ``api``."""
    version = name.removeprefix("airflow-")
    exact = version.count(".") == 2
    return [] if name == "api" else [f"apache-airflow=={version}" + ("" if exact else ".*")]


def requirements(name: str) -> list[str]:
    """What setup.cfg asks for, without anything of Airflow for the file ``api``."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    asked = setup["options"]["install_requires"].split()
    for extra in EXTRAS[name]:
        asked += setup["options.extras_require"][extra].split()
    return [each for each in asked if name != "api" or not each.startswith("apache-airflow")]


def write(path: Path, pythons: str, wanted: list[str]) -> None:
    """Resolve what is wanted, for the Python that runs this, and write down what would be installed."""
    with step(f"{path.relative_to(ROOT)}"), tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", folder)
        run(f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "uv")
        options = ("--quiet", "--no-header", "--no-annotate")
        resolved = run(
            f"{folder}/bin/uv", "pip", "compile", *options, "-", given="\n".join(wanted)
        ).splitlines()
        path.write_text("\n".join([pythons, *sorted(filter(pinned, resolved), key=str.lower)]) + "\n")


def pinned(line: str) -> bool:
    """Whether a line of the resolution is a plain pin of another package, apart from pip itself."""
    return bool(re.fullmatch(r"[\w.-]+==[\w.+!]+", line)) and not line.startswith(
        ("pip==", "airflow-provider-")
    )


def run(*command: str, given: str = "") -> str:
    """Run a command, hand it ``given`` as its standard input, and return what it says."""
    return subprocess.run(  # noqa: S603
        command,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
