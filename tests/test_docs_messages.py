"""What the documentation quotes of messages, files and options is there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs_support import DOCS, PAGES, ROOT, is_a_message

TROUBLES = (DOCS / "troubleshooting.md").read_text()
TEST_FAILS = (DOCS / "connection.md").read_text().partition("## When the test fails")[2]
QUOTED = [
    quoted
    for cell in re.findall(r"^\| (`[^|]+`) \|", TROUBLES + TEST_FAILS, re.MULTILINE)
    for quoted in re.findall(r"`([^`]+)`", cell)
]
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.mark.parametrize("quoted", QUOTED)
def test_each_message_is_one_of_the_package(quoted: str) -> None:
    assert is_a_message(quoted)


def test_a_message_that_is_no_longer_there_is_noticed() -> None:
    assert len(QUOTED) > 50
    assert not is_a_message("the API key is mislaid")
    assert not is_a_message("is missing ... password: the API key")


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub and MyST make of headings."""
    prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    texts = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", text).lower() for text in HEADING.findall(prose)]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_every_guide_is_linked_from_the_readme_and_in_the_index() -> None:
    readme, index = (ROOT / "README.md").read_text(), (DOCS / "index.md").read_text()
    for page in DOCS.glob("*.md"):
        if page.stem != "index":
            assert f"\n{page.stem}\n" in index, page.stem
            assert f"](docs/{page.name})" in readme, page.stem


def test_every_module_that_the_architecture_names_is_there() -> None:
    text = (DOCS / "architecture.md").read_text()
    there = {path.name for path in (ROOT / "airflow_provider_avala").rglob("*.py")}
    named = set(re.findall(r"\b(\w+\.py)\b", text))
    assert len(named) > 40
    assert named <= there


@pytest.mark.parametrize(
    "module",
    ["operators.avala", "sensors.avala", "triggers.avala", "hooks.avala", "api.errors", "api.models"],
)
def test_every_class_that_users_import_is_in_the_reference(module: str) -> None:
    """Where ``automodule`` lists the members, all are; elsewhere each has its line."""
    full = f"airflow_provider_avala.{module}"
    pages = "\n".join(path.read_text() for path in (DOCS / "reference").glob("*.md"))
    if f"automodule:: {full}\n   :members:" in pages:
        return
    public = [
        name
        for name, found in vars(import_module(full)).items()
        if isinstance(found, type) and name.startswith("Avala") and "Error" not in name
    ]
    assert public
    for name in public:
        assert re.search(rf"autoclass:: (\S+\.)?{name}\b", pages), name
