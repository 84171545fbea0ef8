"""Emulators and clients for the tests of the emulator. Nothing here needs Airflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import requests

from airflow_provider_avala.emulator import running_emulator
from airflow_provider_avala.emulator.emulator import Emulator


class Client(requests.Session):
    """A plain client with the key, on paths relative to the base URL."""

    def __init__(self, avala: Emulator) -> None:
        super().__init__()
        self.headers["X-Avala-Api-Key"] = avala.api_key
        self.base_url = avala.base_url

    def request(self, method, url, **options):
        if url.startswith("/"):
            url = self.base_url + url
        options["allow_redirects"] = False
        options.setdefault("timeout", 10)
        return super().request(method, url, **options)


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[Emulator, Client]]]:
    """Start emulators with any settings, without rate limits unless asked for."""
    with ExitStack() as stack:

        def starter(**settings):
            avala = stack.enter_context(running_emulator(**{"rate_limits": None, **settings}))
            return avala, stack.enter_context(Client(avala))

        yield starter


@pytest.fixture(params=["current", "legacy"])
def dialect(request) -> str:
    return request.param
