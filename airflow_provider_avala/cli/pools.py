"""The two pools that keep Avala's limits among all hosts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from airflow_provider_avala.cli.run import DONE

POOLS = Path(__file__).parents[1] / "pools.json"


def pools(arguments: argparse.Namespace) -> int:
    """Print the pools as ``airflow pools import`` reads them, or create them.

    :param arguments: ``create``.
    """
    text = POOLS.read_text()
    if not arguments.create:
        print(text, end="")
        return DONE
    from airflow.models.pool import Pool

    for name, options in json.loads(text).items():
        Pool.create_or_update_pool(name, **options)
        print(f"{name}: {options['slots']} slots")
    return DONE
