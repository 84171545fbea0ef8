"""One cell of the fault matrix: do it, let it go wrong, and see what the user gets."""

from __future__ import annotations

import math
from typing import Any

from tests.faults import outcomes
from tests.faults.bench import Bench
from tests.faults.doings import COLUMNS
from tests.faults.rows import FOREIGN, ROWS

#: Seconds without an answer after which a request is given up, where silence is the fault: many times what a healthy
#: one takes, also on a busy machine.
SHORT = 0.8


def attempt(bench: Bench, row: str, column: str, *, lasts: bool) -> tuple[str, Any]:
    """The first attempt, with the fault."""
    doing = COLUMNS[column]
    silent = row.startswith("silence")
    bench.patience = 0.15 if lasts and doing.is_patient else 30.0
    bench.connect(bench.avala, max_retry_seconds=2 if lasts else 10, timeout=SHORT if silent else 30)
    doing.prepare(bench)

    def fault() -> None:
        found = ROWS[row](bench)
        if found is None:
            bench.refusals.order(bench.port(doing.origin), math.inf if lasts else 1)
        else:
            bench.avala.inject(found, **doing.target, times=None if lasts else 1)

    return ended(bench, column, fault)


def ended(bench: Bench, column: str, fault: Any = lambda: None) -> tuple[str, Any]:
    """How an attempt ends."""
    doing = COLUMNS[column]
    bench.attempt += 1
    outcome, found = outcomes.ending(lambda: doing.do(bench, fault), is_task=doing.is_task)
    if column == "trigger":
        return outcomes.of_event(found), found
    if column == "test_connection":
        works, words = found
        return (outcomes.accepts if works else outcomes.says)(words), found
    if column.startswith("hook.run") and outcome == outcomes.RECOVERS and found in (None, FOREIGN):
        return outcomes.AS_IT_IS, found
    return outcome, found
