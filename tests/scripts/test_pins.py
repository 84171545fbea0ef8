"""The files in constraints/ hold pins and nothing else, and cover what setup.cfg asks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.prepare_venv import CannotPrepare, check_python
from scripts.write_pins import pinned, requirements

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "constraints").glob("*.txt"))


def pins(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_line_is_a_plain_pin(path: Path) -> None:
    assert [line for line in pins(path) if not pinned(line)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_requirement_is_pinned(path: Path) -> None:
    names = {re.match(r"[\w-]+", each)[0].lower() for each in requirements(path.stem)}  # type: ignore[index]
    assert names - {line.partition("==")[0].lower() for line in pins(path)} == set()


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("apache-airflow==3.3.2", True),
        ("outcome==1.3.0.post0", True),
        ("-e git+https://example.com/x#egg=x", False),
        ("thing @ file:///somewhere/thing", False),
        ("--find-links ./wheels", False),
        ("WARNING: something", False),
        ("pip==26.3", False),
        ("airflow-provider-avala==0.1.0", False),
    ],
)
def test_what_is_resolved_is_kept_only_if_it_is_plain(line: str, plain: bool) -> None:
    assert pinned(line) is plain


def test_a_python_that_does_not_fit_is_refused_with_the_remedy(tmp_path: Path) -> None:
    old = tmp_path / "airflow-9.9.txt"
    old.write_text("# Python >=3.5,<3.7\nthing==1\n")
    with pytest.raises(
        CannotPrepare, match=r"airflow-9\.9 needs Python 3\.5 to 3\.6.*make PYTHON=python3\.5"
    ):
        check_python(old)


def test_a_pins_file_without_its_range_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "bare.txt"
    bare.write_text("thing==1\n")
    with pytest.raises(CannotPrepare, match="the first line must read like"):
        check_python(bare)
