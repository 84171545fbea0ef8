"""Clients on a clock of their own, and a guard that the key never shows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_avala.api.client import AvalaClient
from airflow_provider_avala.api.settings import Settings
from tests.api.loopback import Clock

KEY = "avk_3f0c9d7e5b1a"

ClientOf = Callable[..., AvalaClient]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client_of(clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[ClientOf]:
    """Make clients of a base URL, with extras; their time is ``clock``, their jitter a half."""
    caplog.set_level(logging.DEBUG)
    clients = []

    def make(base_url: str, key: str = KEY, **extra: object) -> AvalaClient:
        extra = {"rate_limit_store": "memory", "rate_limits": "1000/1", **extra}
        settings = Settings.parse(host=base_url, password=key, extra=extra)
        settings = replace(settings, state_dir=str(tmp_path / "limits"))
        clients.append(AvalaClient(settings, clock=clock, chance=lambda: 0.5))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
        assert client.settings.api_key not in caplog.text
