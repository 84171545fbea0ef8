"""What the tests of the documentation share: pages, their blocks, and the words of the package's messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import airflow_provider_avala
from tests.airflow_support import AIRFLOW

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md"))]

_FENCE = re.compile(r"^```([\w{}-]*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    :param page: the page, relative to the repository.
    :param language: the first word of the fence.
    :param line: number of the fence's line.
    :param since: the Airflow version that it needs, by ``airflow=3.3`` in the fence.
    :param code: what is in it.
    """

    page: str
    language: str
    line: int
    since: tuple[int, ...]
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = path.read_text()
    for found in _FENCE.finditer(text):
        language, words, code = found.groups()
        needs = re.search(r"airflow=([\d.]+)", words)
        yield Block(
            page=str(path.relative_to(ROOT)),
            language=language,
            line=text.count("\n", 0, found.start()) + 1,
            since=tuple(map(int, needs[1].split("."))) if needs else (),
            code=code,
        )


def blocks(*languages: str, without: tuple[str, ...] = ()) -> list[Block]:
    """All blocks in these languages that the running Airflow can be shown."""
    return [
        block
        for path in PAGES
        for block in blocks_of(path)
        if block.language in languages and block.page not in without and block.since <= AIRFLOW
    ]


@cache
def messages() -> tuple[str, ...]:
    """Every text in the source of the package but docstrings, with ``\\0`` where an f-string puts a value in."""
    found: list[str] = []
    for path in Path(airflow_provider_avala.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in docstrings:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values
                    )
                )
    return tuple(re.sub(r"%(?:\.\d)?[sdf]", "\0", text) for text in found)


def is_a_message(quoted: str) -> bool:
    """Whether the package says this, with anything for each ``...``."""
    pieces = [re.escape(piece.strip(" ")) for piece in quoted.split("...")]
    pattern = re.compile(".*".join(pieces), re.DOTALL)
    return any(pattern.search(text) for text in messages())
