"""Where tables and bars are shown."""

from __future__ import annotations

from typing import IO

from rich.console import Console


def console(file: IO[str] | None = None) -> Console:
    """A console that does not cut tables to 80 columns where nobody has a terminal.

    :param file: where to write; standard output by default.
    """
    found = Console(file=file, highlight=False)
    if not found.is_terminal:
        found.width = 200
    return found
