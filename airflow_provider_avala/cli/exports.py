"""Looking at exports, and fetching their files."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice

from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from airflow_provider_avala.api.errors import AvalaError, is_transient
from airflow_provider_avala.api.models import Export, State
from airflow_provider_avala.cli.console import console
from airflow_provider_avala.cli.run import DONE, FAILED
from airflow_provider_avala.hooks.avala import AvalaHook

_COLOURS = {State.RUNNING: "yellow", State.SUCCEEDED: "green", State.FAILED: "red"}


def list_exports(arguments: argparse.Namespace) -> int:
    """List the newest exports.

    :param arguments: ``conn_id``, ``newest``, ``output``.
    """
    exports = _newest(AvalaHook(arguments.conn_id), arguments.newest)
    if arguments.output == "json":
        print(json.dumps([export.as_dict() for export in exports], indent=2))
    else:
        console().print(table_of(exports))
    return DONE


def watch(arguments: argparse.Namespace) -> int:
    """Show exports until all have finished, or until the time is up.

    :param arguments: ``conn_id``, ``export_ids``, ``newest``, ``interval``, ``timeout``.
    """
    hook = AvalaHook(arguments.conn_id)
    ids = arguments.export_ids or [
        export.id for export in _newest(hook, arguments.newest) if export.state is State.RUNNING
    ]
    if not ids:
        print("No export is running.")
        return DONE
    deadline = time.monotonic() + arguments.timeout
    with Live(console=console(), auto_refresh=False) as live:
        exports: list[Export] = []
        while True:
            trouble = ""
            try:
                exports = [hook.poll_export(export_id) for export_id in ids]
            except AvalaError as error:
                if not is_transient(error):
                    raise
                trouble = str(error)
            live.update(table_of(exports, trouble), refresh=True)
            if exports and not any(export.state is State.RUNNING for export in exports):
                break
            rest = deadline - time.monotonic()
            if rest <= 0:
                break
            time.sleep(min(arguments.interval, rest))
    return _judged(exports, arguments.timeout)


def _judged(exports: Sequence[Export], timeout: float) -> int:
    failed = [export.id for export in exports if export.state is State.FAILED]
    running = [export.id for export in exports if export.state is State.RUNNING]
    if failed:
        print(f"avala: failed: {', '.join(failed)}", file=sys.stderr)
    if running or not exports:
        print(f"avala: not finished within {timeout:g} s: {', '.join(running) or 'all'}", file=sys.stderr)
    return FAILED if failed or running or not exports else DONE


def download(arguments: argparse.Namespace) -> int:
    """Download the file of a finished export.

    :param arguments: ``conn_id``, ``export_id``, ``path``.
    """
    hook = AvalaHook(arguments.conn_id)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console(sys.stderr)) as bars:
        bar = bars.add_task("Downloading", total=None)

        def show(size: int, total: int | None) -> None:
            bars.update(bar, completed=size, total=total)

        if "://" in arguments.path:  # by way of a folder of this machine
            summary = hook.download_export(arguments.export_id, arguments.path)
        else:
            summary = hook.client.download_export(arguments.export_id, arguments.path, progress=show)
    print(summary.path)
    return DONE


def table_of(exports: Iterable[Export], trouble: str = "") -> Table:
    """Exports as a table.

    :param exports: the exports.
    :param trouble: why they could not be looked at just now.
    """
    table = Table("Export", "Name", "Status", "Tasks", "Age", caption=escape(trouble) or None)
    for export in exports:
        counted = export.total_tasks and export.done_tasks is not None
        table.add_row(
            escape(export.id),
            escape(export.name),
            f"[{_COLOURS[export.state]}]{escape(export.status)}[/]",
            f"{export.done_tasks}/{export.total_tasks}" if counted else "",
            age(export.created_at),
        )
    return table


def age(created_at: datetime | None, now: datetime | None = None) -> str:
    """How old something is, for people: ``90 s``, ``5 min``, ``3 h``, ``12 d``.

    :param created_at: when it was created.
    :param now: the present, by the machine's clock unless given.
    """
    if created_at is None:
        return ""
    seconds = max(0.0, ((now or datetime.now(UTC)) - created_at).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _newest(hook: AvalaHook, count: int) -> list[Export]:
    return list(islice(hook.list_exports(params={"limit": min(count, 100)}), count))
