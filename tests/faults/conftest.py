"""Fixtures of the fault matrix."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_provider_avala.emulator import Emulator
from tests.airflow_support import Connect, connect, emulators
from tests.api.loopback import Exchange, Seen, Server
from tests.faults.bench import Bench, DrivenClock, Refusals

__all__ = ["connect", "emulators"]


def _answer(exchange: Exchange, seen: Seen, number: int) -> None:
    exchange.reply(404, json.dumps({"detail": "Not found."}).encode(), Content_Type="application/json")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Server]:
    """Another host, as far as the provider can tell: it remembers who came with what."""
    with Server(_answer) as server:
        yield server


@pytest.fixture
def bench(
    emulators: Callable[[str], Emulator],
    connect: Connect,
    elsewhere: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    """A fresh emulator, the default connection to it, and time that passes as soon as somebody waits for it."""
    avala = emulators("current")
    avala.reset()
    avala.dataset_seconds = 0.0
    elsewhere.seen.clear()
    DrivenClock.install(monkeypatch)
    refusals = Refusals(monkeypatch)
    yield Bench(avala, elsewhere, tmp_path, refusals, connect, f"manual__{uuid4().hex}")
    refusals.close()
