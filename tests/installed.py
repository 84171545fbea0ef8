"""An environment in which the package is installed, or looks so."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

PACKAGE = "airflow-provider-avala"
ROOT = Path(__file__).resolve().parents[1]


@cache
def variables() -> dict[str, str]:
    """What to set so that Airflow finds the package's metadata, made from setup.cfg where it is not installed."""
    if not is_installed(sys.path):
        folder = tempfile.mkdtemp(prefix="avala-metadata-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        command = ["-c", "import setuptools; setuptools.setup()", "-q", "egg_info", "--egg-base", folder]
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
        return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return {}


def is_installed(path: Sequence[str]) -> bool:
    """Whether an installer has put the package here; the egg-info that a build leaves behind is not enough.

    :param path: folders to search, as in ``sys.path``.
    """
    found = importlib.metadata.distributions(name=PACKAGE, path=list(path))
    return any(distribution.read_text("RECORD") for distribution in found)
