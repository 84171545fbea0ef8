"""Fixtures of the link tests."""

from tests.airflow_support import avala, connect, emulators

__all__ = ["avala", "connect", "emulators"]
