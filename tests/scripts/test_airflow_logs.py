"""Airflow's log lines become readable, and nothing that says what went wrong is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.airflow_logs import readable, tail

BROKEN = {
    "event": "Task failed with exception",
    "level": "error",
    "error_detail": [
        {"exc_type": "AirflowFailException", "exc_value": "projects: unknown", "frames": []},
        {"exc_type": "AvalaValidationError", "exc_value": "projects: unknown", "frames": []},
        {"exc_type": "HTTPError", "exc_value": "400 Bad Request", "frames": []},
    ],
}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "[2026-11-21] {taskinstance.py} ERROR - plain text",
            ["[2026-11-21] {taskinstance.py} ERROR - plain text"],
        ),
        ('{"event": "hello", "level": "info"}', ["info     hello"]),
        ('{"event": "hello"}', ["         hello"]),
        ('{"event": "::group::Pre Execute", "level": "info"}', []),
        ('{"no": "event"}', ['{"no": "event"}']),
        ("[1, 2]", ["[1, 2]"]),
        ("{half a rec", ["{half a rec"]),
        (
            json.dumps(BROKEN),
            [
                "error    Task failed with exception",
                "         AirflowFailException: projects: unknown",
                "         HTTPError: 400 Bad Request",
            ],
        ),
    ],
)
def test_a_line_is_shown_without_its_wrapping(line: str, shown: list[str]) -> None:
    assert readable([line]) == shown


def test_the_end_of_a_file_is_shown_or_why_there_is_none(tmp_path: Path) -> None:
    log = tmp_path / "task.log"
    assert "No such file" in tail(log)
    log.write_text("")
    assert tail(log) == "(empty)"
    log.write_text("one\ntwo\nthree\n")
    assert tail(log, 2) == "two\nthree"
