"""Every public class, function and module says what it is for and speaks of each parameter."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "airflow_provider_avala"
FILES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(
    node: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """The public classes, functions and methods in a module; shapes for type checkers (Protocol) are left out."""
    for child in node.body:
        if not isinstance(child, ast.ClassDef | Function) or child.name.startswith("_"):
            continue
        if isinstance(child, ast.ClassDef) and "Protocol" in map(ast.unparse, child.bases):
            continue
        if any(ast.unparse(each).endswith(".setter") for each in child.decorator_list):
            continue
        yield prefix + child.name, child
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{prefix}{child.name}.")


def parameters(function: Function) -> list[str]:
    """Names of the parameters that a caller passes."""
    spec = function.args
    names = [each.arg for each in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    names += [each.arg for each in (spec.vararg, spec.kwarg) if each]
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def constructor(node: ast.ClassDef) -> Function | None:
    """The ``__init__`` of a class."""
    return next((each for each in node.body if isinstance(each, Function) and each.name == "__init__"), None)


def undescribed(node: ast.ClassDef | Function) -> list[str]:
    """The parameters that the docstring does not speak of; of a class, those of its constructor."""
    text = ast.get_docstring(node) or ""
    function = constructor(node) if isinstance(node, ast.ClassDef) else node
    if function is None or text.startswith("See :"):
        return []
    passed_on = {"kwargs", "context"}  # as Airflow's own classes call them; described there
    return [
        name for name in parameters(function) if name not in passed_on and not re.search(rf"\b{name}\b", text)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_everything_public_has_a_docstring(path: Path) -> None:
    module = ast.parse(path.read_text())
    silent = [] if ast.get_docstring(module) or not module.body else ["the module itself"]
    silent += [name for name, node in public(module) if not ast.get_docstring(node)]
    assert not silent


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if "emulator" not in path.parts],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_every_parameter_is_spoken_of(path: Path) -> None:
    module = ast.parse(path.read_text())
    missing = {name: names for name, node in public(module) if (names := undescribed(node))}
    assert not missing
