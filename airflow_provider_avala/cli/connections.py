"""Trying a connection."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from airflow_provider_avala.api.check import check as try_connection
from airflow_provider_avala.api.errors import AvalaError
from airflow_provider_avala.cli.console import console
from airflow_provider_avala.cli.run import DONE, FAILED
from airflow_provider_avala.hooks.avala import AvalaHook


def check(arguments: argparse.Namespace) -> int:
    """Say whether a connection works, whose key it has, and what is left of the key's limits.

    :param arguments: ``conn_id``.
    """
    out = console()
    hook = AvalaHook(arguments.conn_id)
    works, words = try_connection(hook.settings)
    out.print(f"[{'green' if works else 'red'}]{'works' if works else 'fails'}[/] ", end="")
    out.print(words, markup=False, soft_wrap=True)
    if not works:
        return FAILED
    if owner := _owner(hook):
        out.print(f"The key is that of {owner}.", markup=False, soft_wrap=True)
    table = Table("Requests", "Limit", "Used", "Left", "Kept in")
    for name, status in hook.rate_limit_status().items():
        for each in status.limits:
            table.add_row(name, str(each.limit), str(each.booked), str(each.free), status.kept_in)
    out.print(table)
    return DONE


def _owner(hook: AvalaHook) -> str:
    try:
        found: Any = hook.client.run("GET", "/users/me/", max_retry_seconds=0, slot_timeout=5.0)
    except AvalaError:
        return ""  # not every server tells, nor every key may ask
    told = found if isinstance(found, dict) else {}
    return next(
        (str(told[key]) for key in ("username", "slug", "email", "name", "uid", "id") if told.get(key)), ""
    )
