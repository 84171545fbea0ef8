"""Writes ``docs/faults.md``, the fault matrix for people: ``python -m tests.faults.write_table``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.faults import table

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

INTRODUCTION = """\
# What happens when something goes wrong

What you get from this provider when a request goes wrong, for every kind of fault and everything that can be under
way. Each cell is a test, which makes the fault happen on a real connection to the
[local Avala](offline-tests.md) and looks at what you get and at what Avala holds afterwards: nothing is done twice,
nothing is lost, and the key goes to no other host. The tables are written by these tests.
"""

LEGEND = {
    "recovers": "You notice nothing but a line in the log: it was tried again, or found to be done already.",
    "keeps waiting": (
        "The poll failed, not what is waited for: polling goes on until the timeout, and the task ends with that."
    ),
    "retry later": (
        "The attempt ends with an error that another one can mend. Airflow's `retries` see to that: the next attempt"
        " goes on where this one stopped, and does nothing twice."
    ),
    "fails at once": (
        "The attempt ends with an error that no other one can mend, so Airflow's `retries` are not used up for it."
    ),
    "look first": (
        "The request may have taken effect although its answer was lost, and the error says so. It is not repeated:"
        " look before you do."
    ),
    "as it is": "`hook.run` returns the decoded body, whatever it is, or None if there is none.",
    "says so": "The test of the connection fails, and says why in plain words.",
    "passes": "The test of the connection passes, and says what the key may not do.",
}

DEFINITIONS = """\
What the faults are: *before the commit* means that Avala did not act on the request, *after the commit* that it did and
only the answer was lost: you cannot tell one from the other. *Silence* is no answer within the connection's
`timeout`. A *wrong envelope* is JSON that is not what the endpoint answers with.

What is under way: *create export*, *upload items*, *managed upload* (`AvalaCreateDatasetOperator`) and *download* are
the operators. *Bytes* are files on their way to the storage, *dataset* is the request that makes a dataset of them. In
the deferrable sensor the fault happens in the triggerer. The item upload has brought in its first part when the fault
hits the second. The download's faults are the storage's, which refuses addresses that have run out: so a refusal there
means to ask Avala for a fresh one. `hook.run POST` stands for any call that must not be made twice.
"""

ONCE = """\
## The fault hits one request

The next request is answered as usual.
"""

LASTS = """\
## The fault lasts

It hits every such request until the connection's `max_retry_seconds`, or the timeout of what waits, is over. Then it
ends, and there is another attempt.
"""

WORDS = {
    "returns it as it is": "as it is",
    "says": "says so",
    "accepts the key, and says": "passes",
}


def page() -> str:
    """The whole page."""
    legend = _markdown(["The cell says", "What that means"], map(list, LEGEND.items()))
    sections = [INTRODUCTION, legend, DEFINITIONS]
    for words, cells in ((ONCE, table.ONCE), (LASTS, table.LASTS)):
        sections += [words, _matrix(cells), "### Which error\n", _errors(cells)]
    return "\n".join(sections)


def _matrix(cells: dict[str, table.Row]) -> str:
    columns = list(table.COLUMNS.values())
    return _markdown(
        ["Fault", *columns],
        ([row, *(_short(outcomes[each]) for each in columns)] for row, outcomes in cells.items()),
    )


def _short(outcome: str) -> str:
    kind = outcome.partition(": ")[0]
    return WORDS.get(kind, kind)


def _errors(cells: dict[str, table.Row]) -> str:
    return _markdown(["Fault", "What is raised, or said"], _error_rows(cells))


def _error_rows(cells: dict[str, table.Row]) -> Iterator[list[str]]:
    """For each fault what is raised mostly, then where something else is."""
    for row, outcomes in cells.items():
        said = {column: outcome.partition(": ")[2].strip() for column, outcome in outcomes.items()}
        raised = Counter(error for error in said.values() if error.startswith("Avala"))
        usual = raised.most_common(1)[0][0] if max(raised.values(), default=0) > 1 else ""
        others = (f"{column}: {_quoted(words)}" for column, words in said.items() if words not in ("", usual))
        yield [row, "; ".join([*([_quoted(usual)] if usual else []), *others])]


def _quoted(words: str) -> str:
    return f"`{words}`" if words.startswith("Avala") else f"“… {words} …”"


def _markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
