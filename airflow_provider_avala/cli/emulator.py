"""A local Avala."""

from __future__ import annotations

import argparse


def emulator(arguments: argparse.Namespace) -> int:
    """Run it until Ctrl-C.

    :param arguments: those of :mod:`airflow_provider_avala.emulator.__main__`.
    """
    from airflow_provider_avala.emulator.__main__ import run

    return run(arguments)
