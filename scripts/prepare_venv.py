"""Make a virtual environment with pinned packages, or leave it alone when nothing has changed.

Run as ``python3 -m scripts.prepare_venv .venv constraints/airflow-3.3.2.txt --extras emulator,redis,test,lint``.
Needs nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.console import CROSS, say, step
from scripts.troubles import explain, last_error

ROOT = Path(__file__).resolve().parent.parent
NEEDED_BYTES = 1_500_000_000  # a venv with Airflow takes 0.4 GB, pip's cache and build folders come on top
STAMP, LOCK = "made-from", "lock"


class CannotPrepare(Exception):
    """One sentence about what is wrong and what helps."""


def main() -> int:
    """Command line; 0 when the venv is ready."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("venv", type=Path)
    parser.add_argument("pins", type=Path, help="one name==version a line")
    parser.add_argument("--extras", default="", help="extras of this package, comma separated")
    parser.add_argument("--without-dependencies", action="store_true", help="install only what is pinned")
    parser.add_argument(
        "--wheel", type=Path, metavar="FOLDER", help="install the wheel in it, and only what that needs"
    )
    options = parser.parse_args()
    try:
        if options.wheel:
            prepare_for_wheel(options.venv, options.pins, options.extras, options.wheel)
        else:
            prepare(
                options.venv, options.pins, options.extras, with_dependencies=not options.without_dependencies
            )
    except CannotPrepare as error:
        say(f"  {CROSS} {error}")
        return 1
    except KeyboardInterrupt:
        say(f"  {CROSS} interrupted; the next make starts this environment afresh")
        return 130
    return 0


def prepare(venv: Path, pins: Path, extras: str, *, with_dependencies: bool) -> None:
    """Bring a venv in line with its pins, with this package as it stands here.

    :raises CannotPrepare: with the remedy
    """
    bring_in_line(
        venv,
        pins,
        fingerprint(venv, pins, extras),
        lambda: install(venv, pins, extras, with_dependencies=with_dependencies),
    )


def prepare_for_wheel(venv: Path, pins: Path, extras: str, folder: Path) -> None:
    """Bring a venv in line with the one wheel of a folder, as a user would install it: within the pins.

    :raises CannotPrepare: with the remedy
    """
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise CannotPrepare(f"{folder} holds {len(wheels)} wheels: run make dist.")
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    bring_in_line(
        venv,
        pins,
        f"{digest} {fingerprint(venv, pins, extras)}",
        lambda: install_wheel(venv, pins, f"{wheels[0]}[{extras}]"),
    )


def bring_in_line(venv: Path, pins: Path, wanted: str, fill: Callable[[], None]) -> None:
    """Make a venv, unless it was made from the same.

    :param wanted: changes whenever the venv must be made anew
    :param fill: installs the packages into the empty venv
    :raises CannotPrepare: with the remedy
    """
    check_python(pins)
    try:
        venv.mkdir(parents=True, exist_ok=True)
        with (venv / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second make in this folder waits for the first
            stamp = venv / STAMP
            if stamp.is_file() and stamp.read_text() == wanted and works(venv):
                return
            check_disk(venv)
            create(venv)
            fill()
            stamp.write_text(wanted)
    except OSError as error:
        raise CannotPrepare(f"{error.filename or venv}: {error.strerror}. {explain(str(error))}") from error


def check_python(pins: Path) -> None:
    """The first line of a pins file says which Pythons it is for: ``# Python >=3.11,<3.15``."""
    first = pins.read_text().partition("\n")[0]
    found = re.fullmatch(r"# Python >=3\.(\d+),<3\.(\d+)", first)
    if not found:
        raise CannotPrepare(f"{pins}: the first line must read like '# Python >=3.11,<3.15'")
    low, high = int(found[1]), int(found[2])
    if not (3, low) <= sys.version_info[:2] < (3, high):
        raise CannotPrepare(
            f"{pins.stem} needs Python 3.{low} to 3.{high - 1}, and {sys.executable} is"
            f" {sys.version.split()[0]}. Name another one, for example: make PYTHON=python3.{low} ..."
        )


def fingerprint(venv: Path, pins: Path, extras: str) -> str:
    """Changes whenever the venv must be made anew."""
    digest = hashlib.sha256()
    for part in (ROOT / "setup.cfg", pins):
        digest.update(part.read_bytes())
    return f"{digest.hexdigest()} {extras} {sys.version} {venv.resolve()}\n"


def works(venv: Path) -> bool:
    """Whether the Python that the venv was made from is still there."""
    try:
        return subprocess.run([venv / "bin" / "python", "-c", ""], check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def check_disk(venv: Path) -> None:
    """A full disk is better found before than after a minute of installing."""
    free = shutil.disk_usage(venv.resolve().parent).free
    if free < NEEDED_BYTES:
        raise CannotPrepare(
            f"only {free / 1e9:.1f} GB free in {venv.resolve().parent}, {NEEDED_BYTES / 1e9:.1f} GB needed:"
            " free some space."
        )


def create(venv: Path) -> None:
    """Make an empty venv, in place of any older one."""
    for entry in venv.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()
    with step(f"virtual environment {venv} with Python {sys.version.split()[0]}"):
        done = run([sys.executable, "-m", "venv", str(venv)])
        if done.returncode:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise CannotPrepare(
                f"Python's venv module does not work. On Debian or Ubuntu: apt install python{version}-venv."
                f" It said: {last_error(done.stdout)}"
            )


def install(venv: Path, pins: Path, extras: str, *, with_dependencies: bool) -> None:
    """Install the pinned packages, then this package itself, editable."""
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    count = sum(1 for line in pins.read_text().splitlines() if "==" in line)
    with step(f"{count} pinned packages of {pins.stem} into {venv}"):
        checked(venv, [*pip, "install", "--no-deps", "-r", str(pins)])
    within = ["-c", str(pins)] if with_dependencies else ["--no-deps"]
    package = f"{ROOT}[{extras}]" if extras else str(ROOT)
    with step("this package, editable"):
        checked(venv, [*pip, "install", "--no-build-isolation", *within, "-e", package])
        if with_dependencies:
            checked(venv, [*pip, "check"])


def install_wheel(venv: Path, pins: Path, wheel: str) -> None:
    """Install Airflow in the pinned version, and a wheel with what it needs."""
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    [airflow] = [line for line in pins.read_text().splitlines() if line.startswith("apache-airflow==")]
    with step(f"the wheel beside {airflow} into {venv}"):
        checked(venv, [*pip, "install", "-c", str(pins), airflow, wheel])
        checked(venv, [*pip, "check"])


def checked(venv: Path, command: Sequence[str]) -> None:
    """Run pip; its whole output goes to a log, and a failure is told in one sentence."""
    done = run(command)
    log = venv / "pip.log"
    with log.open("a") as file:
        file.write(done.stdout)
    if done.returncode:
        reason = explain(done.stdout) or f"pip failed: {last_error(done.stdout)}"
        raise CannotPrepare(f"{reason} All that pip said is in {log}.")


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command quietly, and keep what it says on both channels."""
    return subprocess.run(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
