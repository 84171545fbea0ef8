"""The guides to the connection say what the form and the code say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.emulator import SEED_DATASET_ID, running_emulator
from airflow_provider_avala.get_provider_info import get_provider_info
from airflow_provider_avala.hooks.avala import AvalaHook

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "connection.md").read_text()
STEPS = (ROOT / "docs" / "first-steps.md").read_text()
FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]
ROWS = re.findall(r"^\| ([^|]+) \| `(\w+)` \| (?:`?([^|`]*)`?)? ?\|", GUIDE, re.MULTILINE)


def test_the_guide_lists_the_fields_of_the_form_in_their_order() -> None:
    assert [(label, name) for label, name, _ in ROWS] == [
        (spec["label"], name) for name, spec in FIELDS.items()
    ]


@pytest.mark.parametrize(("name", "default"), [(name, default.strip()) for _, name, default in ROWS])
def test_the_guide_tells_the_defaults(name: str, default: str) -> None:
    assert Settings.parse(password="avk_key", extra={name: default}) == Settings.parse(password="avk_key")


def test_a_connection_from_the_environment_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    written = re.findall(r"^export AIRFLOW_CONN_AVALA_DEFAULT='(.*)'$", GUIDE, re.MULTILINE)
    assert len(written) == 2
    for text in written:
        monkeypatch.setenv("AIRFLOW_CONN_AVALA_DEFAULT", text)
        settings = AvalaHook().settings
        assert settings == Settings(api_key="avk_...", timeout=60)


@pytest.mark.parametrize("text", [GUIDE, STEPS], ids=["connection", "first steps"])
def test_what_is_linked_is_there(text: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / "docs" / link).is_file(), link


def test_the_first_steps_name_the_emulators_own_key_and_the_dag_that_is_there() -> None:
    with running_emulator() as avala:
        assert f"`{avala.api_key}`" in STEPS
    assert (ROOT / "dags" / "avala_quickstart.py").read_text().count(SEED_DATASET_ID) == 1
    assert "example_dags/avala_quickstart.py" in STEPS
