"""The package's own Avala emulator as a process, and the Airflow connection that leads to it."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.processes import ChildProcess, LocalError, wait_until


@dataclass(frozen=True)
class LocalAvala:
    """A running emulator.

    :param base_url: of the API, as a connection's host has it
    :param storage_url: origin that signed URLs point to
    """

    process: ChildProcess
    base_url: str
    storage_url: str
    api_key: str

    @property
    def connection(self) -> dict[str, str]:
        """What a user types into the connection form."""
        return {"conn_type": "avala", "host": self.base_url, "password": self.api_key}

    def control(self, name: str) -> Any:
        """Ask the emulator about itself: ``state`` or ``requests``."""
        origin = self.base_url.removesuffix("/api/v1")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{origin}/__emulator__/{name}", timeout=10) as response:
            return json.load(response)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API with the key.

        :param path: below the base URL
        """
        request = urllib.request.Request(self.base_url + path, method=method)  # noqa: S310
        request.add_header("X-Avala-Api-Key", self.api_key)
        request.add_header("Content-Type", "application/json")
        request.data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            return json.load(response)


def start_avala(
    folder: Path, *, env: Mapping[str, str], port: int = 0, export_seconds: float = 6.0
) -> LocalAvala:
    """Start the emulator and wait until it answers.

    :param folder: for its log
    :param port: 0 lets the system pick a free one
    :param export_seconds: how long an export takes
    :raises ProcessFailed: when it ends instead
    """
    ready = folder / "avala-ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "airflow_provider_avala.emulator", "--port", str(port)]
    command += ["--dialect", "current", "--export-seconds", str(export_seconds), "--ready-file", str(ready)]
    process = ChildProcess("the Avala emulator", command, env=env, log=folder / "avala.log")
    try:
        wait_until(ready.is_file, 30, "the Avala emulator to start", children=[process])
        facts = json.loads(ready.read_text())
        return LocalAvala(process, facts["base_url"], facts["storage_url"], facts["api_key"])
    except (LocalError, ValueError, KeyError):
        process.stop()
        raise
