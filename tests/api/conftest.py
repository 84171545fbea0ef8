"""Clients on a clock of their own, and a guard that the key never shows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_avala.api import transport
from airflow_provider_avala.api.client import AvalaClient
from airflow_provider_avala.api.limiter import Limit, MemoryLimiter
from airflow_provider_avala.api.settings import Settings
from tests.api.loopback import Clock

KEY = "avk_3f0c9d7e5b1a"

ClientOf = Callable[..., AvalaClient]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client_of(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[ClientOf]:
    """Make clients of a base URL, with extras; their time is ``clock``, their jitter a half."""
    for opener in {"shared_limiter", "open_limiter"} & vars(transport).keys():
        monkeypatch.setattr(
            transport, opener, lambda *args, **options: MemoryLimiter([Limit(1000, 1)], clock)
        )
    caplog.set_level(logging.DEBUG)
    clients = []

    def make(base_url: str, key: str = KEY, **extra: object) -> AvalaClient:
        settings = Settings.parse(host=base_url, password=key, extra=extra)
        clients.append(AvalaClient(settings, clock=clock, chance=lambda: 0.5))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
        assert client.settings.api_key not in caplog.text
