"""Where the doings of the fault matrix are done: an emulator, another host, refused connections, and driven time."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3.util.connection

from airflow_provider_avala.api.clock import SystemClock
from airflow_provider_avala.emulator import Emulator, RequestRecord
from airflow_provider_avala.hooks.avala import AvalaHook
from tests.airflow_support import AIRFLOW, Connect, StateStore, context
from tests.api.loopback import Server


class DrivenClock:
    """The provider's clock for all tests of this process: it runs like any other, and sleeping moves it on at once."""

    _ahead = 0.0
    _lock = threading.Lock()

    @classmethod
    def sleep(cls, seconds: float) -> None:
        with cls._lock:
            cls._ahead += max(0.0, seconds)
        time.sleep(0)

    @classmethod
    def time(cls) -> float:
        return time.time() + cls._ahead

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(SystemClock, "time", lambda self: cls.time())
        monkeypatch.setattr(SystemClock, "monotonic", lambda self: time.monotonic() + cls._ahead)
        monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: cls.sleep(seconds))


class Refusals:
    """Leads connections to a port on which nobody listens, where the kernel refuses them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._left: dict[int, float] = {}
        self._lock = threading.Lock()
        self._closed = socket.socket()  # bound, so that nobody else gets the port, and never listening
        self._closed.bind(("127.0.0.1", 0))
        connect = urllib3.util.connection.create_connection

        def create_connection(address: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
            return connect(
                self._closed.getsockname() if self._is_due(address[1]) else address, *args, **options
            )

        monkeypatch.setattr(urllib3.util.connection, "create_connection", create_connection)

    def order(self, port: int, times: float) -> None:
        """Refuse the next connections to this port."""
        self._left[port] = times

    def clear(self) -> None:
        """Refuse no more."""
        self._left.clear()

    def close(self) -> None:
        self._closed.close()

    def _is_due(self, port: int) -> bool:
        with self._lock:
            if self._left.get(port, 0) < 1:
                return False
            self._left[port] -= 1
            self.count += 1
            return True


@dataclass
class Bench:
    """What a doing works with, and what its witnesses look at."""

    avala: Emulator
    elsewhere: Server
    folder: Path
    refusals: Refusals
    connect: Connect
    run_id: str
    store: StateStore | None = field(default_factory=lambda: StateStore() if AIRFLOW >= (3, 3) else None)
    attempt: int = 0
    #: How long what waits may wait, in seconds.
    patience: float = 30.0
    export_id: str = ""

    def hook(self) -> AvalaHook:
        return AvalaHook()

    def context(self) -> dict[str, Any]:
        """The context of this attempt of the task."""
        found = context(run_id=self.run_id, max_tries=3, store=self.store)
        found["ti"].try_number = self.attempt
        return found

    def port(self, origin: str) -> int:
        url = self.avala.base_url if origin == "api" else self.avala.storage_url
        found = urlsplit(url).port
        assert found
        return found

    def sent(self, method: str, path: str = "", origin: str = "api") -> list[RequestRecord]:
        return self.avala.requests_to(method, path, origin)
