"""``make pins``: resolve the newest versions that fit setup.cfg and write constraints/.

Run as ``python3 -m scripts.write_pins``. What it writes holds names and versions only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.console import say, step
from scripts.troubles import explain, last_error

ROOT = Path(__file__).resolve().parent.parent
BUILD = "setuptools>=77"  # as in pyproject.toml; pinned, so that building needs no isolated environment
API_LAYER = ["requests", "starlette", "uvicorn", "python-multipart", "pytest", "hypothesis"]

AIRFLOWS = (
    # version, Pythons it is made for, extras of this package
    ("3.3.2", "# Python >=3.11,<3.15", "emulator,test,lint"),
    ("2.11.2", "# Python >=3.11,<3.13", "emulator,test"),
)


def main() -> int:
    """Write every file; 0 when all are written."""
    try:
        for version, pythons, extras in AIRFLOWS:
            wanted = [f"apache-airflow=={version}", f"{ROOT}[{extras}]", BUILD]
            write(ROOT / "constraints" / f"airflow-{version}.txt", pythons, wanted)
        write(ROOT / "constraints" / "api.txt", "# Python >=3.11,<3.15", [*API_LAYER, BUILD])
    except subprocess.CalledProcessError as error:
        say(f"  {explain(error.stdout) or last_error(error.stdout)}")
        return 1
    return 0


def write(path: Path, pythons: str, wanted: list[str]) -> None:
    """Install what is wanted into a throw-away venv and write down what came."""
    with step(f"{path.relative_to(ROOT)}"), tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", folder)
        pip = (f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check")
        run(*pip, "install", "--quiet", *wanted)
        frozen = run(*pip, "freeze", "--all").splitlines()
        path.write_text("\n".join([pythons, *sorted(filter(pinned, frozen), key=str.lower)]) + "\n")


def pinned(line: str) -> bool:
    """Whether a line of ``pip freeze`` is a plain pin of another package, apart from pip itself."""
    return bool(re.fullmatch(r"[\w.-]+==[\w.+!]+", line)) and not line.startswith(
        ("pip==", "airflow-provider-")
    )


def run(*command: str) -> str:
    """Run a command and return what it says."""
    return subprocess.run(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
