"""Fixtures of the operator tests."""

from tests.airflow_support import avala, connect, emulators, legacy

__all__ = ["avala", "connect", "emulators", "legacy"]
