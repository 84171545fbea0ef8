"""Fixtures of the operator tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.airflow_support import avala, connect, emulators, legacy

__all__ = ["avala", "connect", "emulators", "legacy"]


@pytest.fixture(autouse=True)
def notes_of_this_test_only(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> Path:
    """Where tasks note how far they came: tests name their tasks alike."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("AIRFLOW__AVALA__STATE_DIR", str(folder))
    return folder
