"""Fixtures of the operator tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_avala.emulator import Emulator
from tests.airflow_support import avala, connect, emulators, legacy

__all__ = ["avala", "connect", "emulators", "legacy"]


@pytest.fixture(autouse=True)
def notes_of_this_test_only(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> Path:
    """Where tasks note how far they came: tests name their tasks alike."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("AIRFLOW__AVALA__STATE_DIR", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in ("1.jpg", "2.png", "a/3.jpg", "a/b/4.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 100)
    return root


@pytest.fixture
def ready(avala: Emulator) -> Emulator:
    """An emulator whose datasets are ready at once."""
    avala.dataset_seconds = 0.0
    avala.upload_options.mode = "put"
    return avala
