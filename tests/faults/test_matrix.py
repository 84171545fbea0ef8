"""Every cell of the fault matrix: the user gets what the table says, nothing is doubled, and nothing is lost."""

from __future__ import annotations

import re
from itertools import dropwhile
from typing import Any

import pytest

from tests.faults import outcomes, table
from tests.faults.bench import Bench
from tests.faults.doings import COLUMNS
from tests.faults.rows import ROWS
from tests.faults.run import attempt, ended
from tests.faults.write_table import PAGE, page

TABLES = {"once": table.ONCE, "lasts": table.LASTS}


@pytest.mark.parametrize("cells", TABLES.values(), ids=TABLES)
def test_the_table_has_no_empty_cell(cells: dict[str, table.Row]) -> None:
    assert list(cells) == list(ROWS)
    for row in cells.values():
        assert list(row) == list(COLUMNS)
        assert all(row.values())


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("how", TABLES)
def test_the_user_gets_what_the_table_says(how: str, row: str, column: str, bench: Bench) -> None:
    lasts = how == "lasts"
    expected = TABLES[how][row][column]
    outcome, found = attempt(bench, row, column, lasts=lasts)
    kind, _, words = expected.partition(": ")
    if kind in (outcomes.SAYS, outcomes.ACCEPTS):
        assert outcome.startswith(f"{kind}: ")
        assert words in outcome
    else:
        assert outcome == expected, found
    _check_the_fault_has_hit(bench, lasts=lasts)
    WITNESSES[kind](bench, column, found)
    assert COLUMNS[column].times_done(bench) <= 1
    _check_the_key_stayed_at_home(bench, found)


def _check_the_fault_has_hit(bench: Bench, *, lasts: bool) -> None:
    hits = bench.refusals.count + sum(1 for request in bench.avala.requests if request.fault)
    assert hits == 1 or (lasts and hits > 1)


def _check_the_key_stayed_at_home(bench: Bench, found: Any) -> None:
    key = bench.avala.api_key
    assert not [seen for seen in bench.elsewhere.seen if key in f"{seen.path}{seen.headers}{seen.body!r}"]
    assert not [request for request in bench.sent(None, origin="storage") if request.key_present]
    assert key not in str(found)


def _tries(bench: Bench, column: str) -> int:
    """How many requests of the kind that the fault was aimed at have arrived, from the one that it hit."""
    doing = COLUMNS[column]
    arrived = dropwhile(lambda request: not request.fault, bench.sent(doing.method, origin=doing.origin))
    return sum(1 for request in arrived if re.match(doing.path, request.path))


# What has to be true after each outcome


def _was_done(bench: Bench, column: str, found: Any) -> None:
    COLUMNS[column].done(bench, found)


def _was_not_repeated(bench: Bench, column: str, found: Any) -> None:
    assert _tries(bench, column) == 1


def _can_be_done_later(bench: Bench, column: str, found: Any) -> None:
    """Once the fault has passed, the next attempt does it: Airflow's retry of the task, or calling once more."""
    bench.avala.clear_faults()
    bench.refusals.clear()
    bench.connect(bench.avala)
    bench.patience = 30.0
    outcome, found = ended(bench, column)
    assert outcome == outcomes.RECOVERS, found
    COLUMNS[column].done(bench, found)


def _was_returned(bench: Bench, column: str, found: Any) -> None:
    _was_not_repeated(bench, column, found)
    assert COLUMNS[column].method == "GET" or COLUMNS[column].times_done(bench) == 1


def _was_tested_once(bench: Bench, column: str, found: Any) -> None:
    assert len(bench.avala.requests) + bench.refusals.count == 1


WITNESSES = {
    outcomes.RECOVERS: _was_done,
    outcomes.FAILS: _was_not_repeated,
    outcomes.LATER: _can_be_done_later,
    outcomes.LOOK: _was_not_repeated,
    outcomes.WAITS: _can_be_done_later,
    outcomes.AS_IT_IS: _was_returned,
    outcomes.SAYS: _was_tested_once,
    outcomes.ACCEPTS: _was_tested_once,
}


def test_the_page_in_the_documentation_shows_these_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.faults.write_table"
