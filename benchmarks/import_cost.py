"""What a DAG file pays for importing a provider: CPU time beyond ``airflow.sdk``, in fresh processes, in turn.

    python -m benchmarks.import_cost [--rounds 15]

Needs Airflow 3; providers to compare with are in benchmarks/requirements.txt. "base classes" is what Airflow's own
base classes cost, without any provider: each of the others pays it as well.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("operators", "sensors", "triggers", "hooks")
BASES = "base classes"

#: What to import for each contender.
CONTENDERS = {
    BASES: (
        "airflow.sdk.bases.operator",
        "airflow.sdk.bases.sensor",
        "airflow.sdk.bases.hook",
        "airflow.triggers.base",
    ),
    "avala": tuple(f"airflow_provider_avala.{kind}.avala" for kind in KINDS),
    "airbyte": tuple(f"airflow.providers.airbyte.{kind}.airbyte" for kind in KINDS),
    "http": tuple(f"airflow.providers.http.{kind}.http" for kind in KINDS),
    "dbt-cloud": tuple(f"airflow.providers.dbt.cloud.{kind}.dbt" for kind in KINDS),
}

PROGRAM = """
import importlib, sys, time
import airflow.sdk
before, begin = len(sys.modules), time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
print((time.process_time() - begin) * 1000, len(sys.modules) - before)
"""


def is_installed(module: str) -> bool:
    """Whether a module can be found, without importing it.

    :param module: its name.
    """
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def cost(modules: Sequence[str]) -> tuple[float, int]:
    """Import modules in a fresh interpreter.

    :param modules: their names.
    :returns: CPU milliseconds and the number of modules that were loaded.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM, *modules],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    milliseconds, count = done.stdout.split()[-2:]
    return float(milliseconds), int(count)


def measure(names: Sequence[str], rounds: int) -> dict[str, list[tuple[float, int]]]:
    """Measure all contenders in turn, so that a busy moment of the machine hits none of them alone.

    :param names: the contenders.
    :param rounds: how often each is measured.
    """
    for name in names:
        cost(CONTENDERS[name])  # compiles
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(cost(CONTENDERS[name]))
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    names = [name for name, modules in CONTENDERS.items() if is_installed(modules[0])]
    print(f"CPU of importing {', '.join(KINDS)} after airflow.sdk: {rounds} fresh processes each, in turn")
    print(f"{'':14}{'median ms':>11}{'min':>8}{'max':>8}{'modules':>10}")
    for name, costs in measure(names, rounds).items():
        times = [milliseconds for milliseconds, _ in costs]
        print(
            f"{name:14}{statistics.median(times):11.1f}{min(times):8.1f}{max(times):8.1f}{costs[-1][1]:10}",
            flush=True,
        )
    for name in CONTENDERS.keys() - {*names}:
        print(f"{name}: not installed, left out")


if __name__ == "__main__":
    main()
