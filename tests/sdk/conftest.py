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
from tests.sdk.tls_proxy import HOST, Proxy, make_certificates, proxying

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


def _facade(request: pytest.FixtureRequest, target, runner=None) -> Iterator[Facade]:
    called: set[str] = set()
    yield Facade(target, called, runner)
    missed = getattr(request.function, "covers", set()) - called
    assert not missed, f"declared as covered, and not called: {sorted(missed)}"


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, control: Control, clients) -> Iterator[Facade]:
    """Each of the SDK's clients in turn."""
    yield from _facade(request, *clients[request.param])


@pytest.fixture
def sync_sdk(request: pytest.FixtureRequest, control: Control, clients) -> Iterator[Facade]:
    """The SDK's synchronous client, for what only it has."""
    yield from _facade(request, *clients["sync"])


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


# The SDK sends files to a few hosts only. A proxy with a throw-away CA stands in for one of them, and the storage of
# an emulator is behind it.


@pytest.fixture(scope="session")
def upload_site(tmp_path_factory) -> Iterator[tuple[dict[str, str], Proxy, dict[str, str]]]:
    """An emulator whose targets are at that host, the proxy, and the environment that leads the SDK to it."""
    folder = tmp_path_factory.mktemp("uploads")
    ca_file, certificate = make_certificates(folder)
    with (
        running_command(folder, "--public-storage-url", f"https://{HOST}") as ready,
        proxying(certificate, ready["storage_url"]) as proxy,
    ):
        yield (
            ready,
            proxy,
            {
                "AVALA_API_KEY": ready["api_key"],
                "AVALA_BASE_URL": ready["base_url"],
                "AVALA_ALLOW_INSECURE_BASE_URL": "true",
                "HTTPS_PROXY": proxy.url,
                "NO_PROXY": "localhost,127.0.0.1",
                "SSL_CERT_FILE": str(ca_file),
            },
        )


@pytest.fixture
def upload_control(upload_site) -> Control:
    control = Control(upload_site[0]["base_url"])
    control.turn(reset=True)
    return control


@pytest.fixture
def proxy(upload_site) -> Proxy:
    _, proxy, _ = upload_site
    proxy.asked.clear()
    return proxy


@pytest.fixture
def upload_sdk(request, upload_site, upload_control, proxy, monkeypatch) -> Iterator[Facade]:
    """The synchronous client, whose files go through the proxy; only its environment says so."""
    for name, value in upload_site[2].items():
        monkeypatch.setenv(name, value)
    with avala.Client() as client:
        yield from _facade(request, client)
