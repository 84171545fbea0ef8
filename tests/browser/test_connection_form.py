"""The connection form, as a user sees it in the browser, and what becomes of what is typed into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_avala.api.limits import Limit
from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.get_provider_info import get_provider_info
from scripts.airflow_ui import Airflow3UI, AirflowUI
from scripts.local_airflow import LocalAirflow
from scripts.processes import free_port

[FORM] = get_provider_info()["connection-types"]
FIELDS = FORM["conn-fields"]

EVERYTHING = {
    "dialect": "legacy",
    "timeout": 12.5,
    "max_retry_seconds": 60,
    "max_concurrent_uploads": 3,
    "max_concurrent_exports": 2,
    "rate_limits": "50/60,10/1",
    "inference_rate_limits": "5/60",
    "rate_limit_share": 0.5,
    "rate_limit_store": "memory",
    "rate_limit_store_fallback": True,
    "verify": "false",
    "proxies": '{"https": "http://proxy:3128"}',
    "allow_insecure_http": True,
    "web_url": "https://labels.example.com",
}
#: The form of Airflow 2 has numbers only where they are whole.
TEXTS_IN_AIRFLOW_2 = ("timeout", "max_retry_seconds", "rate_limit_share")


def test_the_form_asks_for_what_avala_needs_and_hides_the_rest(ui: AirflowUI) -> None:
    ui.open_form("avala_look")
    page = ui.page
    for name, label in {"host": "Base URL", "password": "API key"}.items():
        assert ui.field(name).get_attribute("placeholder") == FORM["ui-field-behaviour"]["placeholders"][name]
        ui.expect(page.locator("label:visible", has_text=label)).to_have_count(1)
    assert ui.field("password").get_attribute("type") == "password"
    for label in ("Login", "Port", "Schema", "Host", "Password"):
        ui.expect(page.locator("label:visible").get_by_text(label, exact=True)).to_have_count(0)


def test_each_extra_has_a_field_of_its_kind_with_a_label_and_a_description(ui: AirflowUI) -> None:
    ui.open_form("avala_look")
    for name, spec in FIELDS.items():
        assert ui.kind(name) == kind_of(spec["schema"], ui), name
        ui.expect(ui.page.get_by_text(spec["label"], exact=True).last).to_be_visible()
        ui.expect(ui.page.get_by_text(spec["description"], exact=True)).to_be_visible()


def kind_of(schema: dict[str, Any], ui: AirflowUI) -> str:
    """The kind of input that a field of this schema should have."""
    if schema.get("format") == "password":
        return "password"
    if schema["type"][0] == "boolean":
        return "checkbox"
    if isinstance(ui, Airflow3UI):
        return "choice" if "enum" in schema else {"string": "text"}.get(schema["type"][0], "spinbutton")
    return "text"


def test_what_is_typed_arrives_in_the_right_type(
    ui: AirflowUI, stored: Callable[[str], dict[str, Any]], settings: Callable[[str], Settings]
) -> None:
    ui.open_form("avala_everything")
    ui.fill({"host": "http://labels.example.com/api/v1", "password": "avk_typed"} | EVERYTHING)
    ui.save()
    assert stored("avala_everything")["extra"] == {
        name: str(value) if not isinstance(ui, Airflow3UI) and name in TEXTS_IN_AIRFLOW_2 else value
        for name, value in EVERYTHING.items()
    }
    assert settings("avala_everything") == Settings(
        base_url="http://labels.example.com/api/v1",
        api_key="avk_typed",
        dialect="legacy",
        timeout=12.5,
        max_retry_seconds=60,
        max_concurrent_uploads=3,
        max_concurrent_exports=2,
        rate_limits=(Limit(50, 60).share(0.5), Limit(10, 1).share(0.5)),
        inference_rate_limits=(Limit(5, 60).share(0.5),),
        rate_limit_share=0.5,
        rate_limit_store="memory",
        rate_limit_store_fallback=True,
        verify=False,
        proxies={"https": "http://proxy:3128"},
        allow_insecure_http=True,
        web_url="https://labels.example.com",
    )


def test_a_key_is_all_that_the_form_needs(ui: AirflowUI, settings: Callable[[str], Settings]) -> None:
    ui.open_form("avala_key_only")
    ui.fill({"password": "avk_typed"})
    ui.save()
    assert settings("avala_key_only") == Settings(api_key="avk_typed")


def test_a_good_connection_is_green(ui: AirflowUI, avala: Emulator) -> None:
    works, message = ui.create_and_test("avala_good", {"host": avala.base_url, "password": avala.api_key})
    assert (works, message) == (True, f"Avala answers at {avala.base_url} and accepts the key.")


def test_every_extra_passes_the_test_of_a_connection(ui: AirflowUI, avala: Emulator) -> None:
    """What a test sends is not what is saved: texts, ticked boxes as y, each extra twice."""
    extras = EVERYTHING | {"dialect": "current", "proxies": '{"https": "http://127.0.0.1:1"}'}
    works, message = ui.create_and_test(
        "avala_all", {"host": avala.base_url, "password": avala.api_key} | extras
    )
    assert works, message


@pytest.mark.parametrize(
    ("conn_id", "values", "says"),
    [
        ("wrong_key", {"password": "avk_wrong"}, "refuses the key"),
        ("no_key", {"password": ""}, "the API key is missing"),
        ("unreachable", {"host": "http://127.0.0.1:{free_port}/api/v1"}, "cannot be reached"),
        ("wrong_path", {"host": "{origin}"}, "check the base URL"),
        ("plain_http", {"host": "http://labels.example.com/api/v1"}, "would send the API key unencrypted"),
        ("bad_limits", {"rate_limits": "many"}, "rate_limits"),
    ],
)
def test_a_failure_is_told_in_plain_words(
    conn_id: str, values: dict[str, str], says: str, ui: AirflowUI, avala: Emulator
) -> None:
    places = {"free_port": free_port(), "origin": avala.base_url.removesuffix("/api/v1")}
    filled = {name: value.format_map(places) for name, value in values.items()}
    works, message = ui.create_and_test(
        f"avala_{conn_id}", {"host": avala.base_url, "password": avala.api_key} | filled
    )
    assert not works
    assert says in message
    assert avala.api_key not in message
    assert "avk_wrong" not in message


def test_airflow_itself_is_content(airflow: LocalAirflow, ui: AirflowUI) -> None:
    """No warning about this provider, its form or its plugin in what the web server has to say."""
    ui.open_form("avala_look")
    [log] = (path for path in airflow.process_logs.iterdir() if path.stem in ("api-server", "webserver"))
    complaints = [
        line
        for line in log.read_text().splitlines()
        if "avala" in line.lower() and any(word in line.lower() for word in ("warning", "error", "deprecat"))
    ]
    assert complaints == []
