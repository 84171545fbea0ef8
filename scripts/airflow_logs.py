"""Airflow's log lines as a person wants to read them: Airflow 3 writes JSON, 2.11 plain text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

LINES = 20


def readable(lines: Iterable[str]) -> list[str]:
    """Lines of a log without JSON around them, and without the markers that only fold the UI's view."""
    shown: list[str] = []
    for line in lines:
        try:
            record = json.loads(line)
            event = str(record["event"])
        except (ValueError, TypeError, KeyError):
            shown.append(line)
            continue
        if event.startswith(("::group::", "::endgroup::")):
            continue
        shown.append(f"{record.get('level', ''):<8} {event}")
        causes = {
            cause["exc_value"]: cause["exc_type"] for cause in reversed(record.get("error_detail") or [])
        }
        shown += [f"         {kind}: {text}" for text, kind in reversed(causes.items())]
    return shown


def tail(path: Path, lines: int = LINES) -> str:
    """The last lines of a log file, or a word about why there are none."""
    try:
        text = path.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"({path}: {error.strerror})"
    return "\n".join(readable(text)[-lines:]) or "(empty)"
