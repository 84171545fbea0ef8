"""The connection form is made from one table: what it shows is what the code does, in both kinds of form."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.get_provider_info import get_provider_info
from airflow_provider_avala.hooks.avala import AvalaHook

[FORM] = get_provider_info()["connection-types"]
FIELDS = FORM["conn-fields"]
PLACEHOLDERS = FORM["ui-field-behaviour"]["placeholders"]
DEFAULTS = Settings.parse(password="avk_key")
AIRFLOW_2 = version("apache-airflow").startswith("2.")

#: How the forms hand over a field that nobody has touched.
UNTOUCHED = {
    "Airflow 3": {name: spec["schema"].get("default") for name, spec in FIELDS.items()},
    "Airflow 2, saved": {
        name: False if "boolean" in spec["schema"]["type"] else None for name, spec in FIELDS.items()
    },
    "empty texts": dict.fromkeys(FIELDS, ""),
}


@pytest.mark.parametrize("extra", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_a_form_that_nobody_has_touched_means_the_defaults(extra: dict[str, Any]) -> None:
    assert Settings.parse(host="", port=0, schema="", password="avk_key", extra=extra) == DEFAULTS


@pytest.mark.parametrize("name", PLACEHOLDERS.keys() & FIELDS.keys())
def test_a_placeholder_shows_the_default(name: str) -> None:
    assert Settings.parse(password="avk_key", extra={name: PLACEHOLDERS[name]}) == DEFAULTS


def test_the_base_urls_placeholder_is_what_an_empty_field_means() -> None:
    assert Settings.parse(host=PLACEHOLDERS["host"], password="avk_key") == DEFAULTS


@pytest.mark.parametrize(
    "name", [name for name, spec in FIELDS.items() if "Default: " in spec["description"]]
)
def test_a_description_tells_the_default(name: str) -> None:
    told = FIELDS[name]["description"].partition("Default: ")[2].removesuffix(".")
    assert Settings.parse(password="avk_key", extra={name: told}) == DEFAULTS


@pytest.mark.parametrize(("said", "meant"), [("y", True), ("on", True), ("n", False), (False, False)])
def test_a_box_that_is_ticked_in_the_form_of_airflow_2_is_understood(said: Any, meant: bool) -> None:
    """Its test sends each extra twice, and a ticked box as "y"."""
    extra = {"extra__avala__allow_insecure_http": said, "allow_insecure_http": said}
    assert Settings.parse(password="avk_key", extra=extra).allow_insecure_http is meant


def test_every_field_says_what_it_is_for() -> None:
    for name, spec in FIELDS.items():
        assert spec["description"].endswith("."), name
        assert len(spec["description"]) <= 90, f"{name}: one line of the form"


def test_the_form_of_airflow_before_3_2_has_the_same_fields_of_the_same_kind() -> None:
    if not AIRFLOW_2:  # FAB is not there; what Airflow 3.0 and 3.1 make of these methods, their own runs show
        assert AvalaHook.get_ui_field_behaviour()["placeholders"] == PLACEHOLDERS
        return
    from wtforms import Form

    form = type("ConnectionForm", (Form,), AvalaHook.get_connection_form_widgets())()
    assert [field.name for field in form] == list(FIELDS)
    for field in form:
        spec = FIELDS[field.name]
        assert (field.label.text, field.description) == (spec["label"], spec["description"])
        kind = {"boolean": "BooleanField", "integer": "IntegerField"}.get(
            spec["schema"]["type"][0], "StringField"
        )
        assert type(field).__name__ == ("PasswordField" if "format" in spec["schema"] else kind)


@pytest.mark.parametrize(
    ("typed", "saved"),
    [
        ({"max_concurrent_exports": "7"}, {"max_concurrent_exports": 7}),
        ({"max_concurrent_exports": "", "dialect": "", "timeout": ""}, {"max_concurrent_exports": None}),
        ({"dialect": "legacy", "timeout": "12.5"}, {"dialect": "legacy", "timeout": "12.5"}),
        ({"allow_insecure_http": "y"}, {"allow_insecure_http": True}),
        ({"dialect": "klingon"}, None),
        ({"max_concurrent_exports": "many"}, None),
    ],
    ids=str,
)
def test_what_is_typed_into_the_form_of_airflow_2_is_checked_and_saved(
    typed: dict[str, str], saved: dict[str, Any] | None
) -> None:
    if not AIRFLOW_2:
        assert FIELDS.keys() >= typed.keys()
        return
    from werkzeug.datastructures import MultiDict
    from wtforms import Form

    form = type("ConnectionForm", (Form,), AvalaHook.get_connection_form_widgets())(MultiDict(typed))
    assert form.validate() is (saved is not None)
    if saved is not None:
        assert {name: form.data[name] for name in saved} == saved
        extra = {name: value for name, value in form.data.items() if value != ""}
        Settings.parse(password="avk_key", extra=extra)
