"""A failed program's output becomes one sentence with the remedy."""

from __future__ import annotations

import pytest

from scripts.troubles import explain, last_error


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("sqlite3.OperationalError: database or disk is full", "The disk is full"),
        ("[Errno 98] error while attempting to bind: address already in use", "A port of 127.0.0.1 is taken"),
        ("Connection in use: ('127.0.0.1', 8080)", "A port of 127.0.0.1 is taken"),
        (
            "NewConnectionError('...')\nERROR: No matching distribution found for anyio==1",
            "cannot be reached",
        ),
        ("ERROR: No matching distribution found for nope==1.0", "The package nope==1.0 is not to be had"),
        ("ModuleNotFoundError: No module named 'starlette.x'", "The Python package starlette.x is missing"),
        ("PermissionError: [Errno 13] Permission denied: '.demo'", "cannot be written"),
        ("all is well", ""),
    ],
)
def test_each_known_trouble_has_its_remedy(output: str, remedy: str) -> None:
    assert remedy in explain(output)
    assert bool(remedy) == bool(explain(output))


def test_the_last_error_line_tells_more_than_the_last_line() -> None:
    assert last_error("collecting\nERROR: broken\nnotice: a new pip is out\n") == "ERROR: broken"
    assert last_error("collecting\nhalf way\n") == "half way"
    assert last_error("") == "nothing"
