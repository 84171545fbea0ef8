"""The emulator as a process, and the SDK's two clients to it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.emulator.support import eventually
from tests.sdk.cli_shell import Commands, Shell
from tests.sdk.control import Control
from tests.sdk.facade import Facade

# The SDK decides where it keeps its checkpoints when it is imported; they must not get into a real home.
with tempfile.TemporaryDirectory(prefix="avala-home-") as early, patch.dict(os.environ, HOME=early):
    import avala
    import avala._uploads

assert not avala._uploads.STATE_DIR.is_relative_to(Path.home()), (
    "the SDK was imported before, with a real home"
)


@contextmanager
def running_command(folder: Path, *arguments: str) -> Iterator[dict[str, str]]:
    """Run ``python -m airflow_provider_avala.emulator`` and say where it is."""
    ready_file = folder / "ready.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "airflow_provider_avala.emulator", "--port", "0"),
            *(
                "--ready-file",
                str(ready_file),
                "--rate-limits",
                "none",
                "--export-seconds",
                "0.3",
                *arguments,
            ),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: ready_file.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        yield json.loads(ready_file.read_text())
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_command(tmp_path_factory.mktemp("emulator")) as ready:
        yield ready


@pytest.fixture
def control(emulator: dict[str, str]) -> Control:
    """The emulator's control endpoint, with everything as in a fresh emulator."""
    control = Control(emulator["base_url"])
    control.turn(reset=True, settings={"export_seconds": 0.3, "dataset_seconds": 0})
    return control


@pytest.fixture(scope="session")
def clients(emulator: dict[str, str]) -> Iterator[dict[str, tuple[object, asyncio.Runner | None]]]:
    """Both clients, set up as the SDK's README says for a server on this machine."""
    with patch.dict(os.environ, AVALA_ALLOW_INSECURE_BASE_URL="true"), asyncio.Runner() as runner:
        options = {"api_key": emulator["api_key"], "base_url": emulator["base_url"]}
        plain, asynchronous = avala.Client(**options), avala.AsyncClient(**options)
        yield {"sync": (plain, None), "async": (asynchronous, runner)}
        plain.close()
        runner.run(asynchronous.close())


def _facade(request: pytest.FixtureRequest, clients, kind: str) -> Iterator[Facade]:
    target, runner = clients[kind]
    called: set[str] = set()
    yield Facade(target, called, runner)
    missed = getattr(request.function, "covers", set()) - called
    assert not missed, f"declared as covered, and not called: {sorted(missed)}"


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, control: Control, clients) -> Iterator[Facade]:
    """Each of the SDK's clients in turn."""
    yield from _facade(request, clients, request.param)


@pytest.fixture
def sync_sdk(request: pytest.FixtureRequest, control: Control, clients) -> Iterator[Facade]:
    """The SDK's synchronous client, for what only it has."""
    yield from _facade(request, clients, "sync")


@pytest.fixture(scope="session")
def environment(emulator, tmp_path_factory) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(tmp_path_factory.mktemp("home")),
        "COLUMNS": "300",
        "AVALA_API_KEY": emulator["api_key"],
        "AVALA_BASE_URL": emulator["base_url"],
        "AVALA_ALLOW_INSECURE_BASE_URL": "true",
    }


@pytest.fixture(scope="session")
def shell(environment):
    shell = Shell(environment)
    yield shell
    shell.close()


@pytest.fixture
def cli(request, control, shell):
    commands = Commands(shell)
    yield commands
    missed = getattr(request.function, "covers", set()) - commands.called
    assert not missed, f"declared as covered, and not run: {sorted(missed)}"
