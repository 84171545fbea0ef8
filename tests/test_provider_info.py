"""What Airflow learns about this provider, by its own schemas, its own manager and its own command line."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.get_provider_info import get_provider_info
from airflow_provider_avala.hooks.avala import AvalaHook
from tests import installed

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow-provider-avala"
INFO = get_provider_info()
[CONNECTION_TYPE] = INFO["connection-types"]
KINDS = ("hooks", "operators", "sensors", "triggers")
AIRFLOW_3 = importlib.metadata.version("apache-airflow") >= "3"

#: What the form of each generation is made from; both print it in the same words.
FORM_OF_AIRFLOW_3 = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
[meta] = [m for m in HookMetaService.hook_meta_data() if m.connection_type == "avala"]
standard = {name: field for name, field in meta.standard_fields.model_dump(by_alias=True).items() if field}
print(json.dumps({
    "fields": sorted(meta.extra_fields),
    "labels": {name: field["title"] for name, field in standard.items() if field["title"]},
    "shown": [name for name, field in standard.items() if not field["hidden"]],
}))
"""
FORM_OF_AIRFLOW_2 = """
import json
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
behaviour = manager.field_behaviours["avala"]
print(json.dumps({
    "fields": [name.split("__")[-1] for name in manager.connection_form_widgets if "__avala__" in name],
    "labels": behaviour["relabeling"],
    "shown": [
        name for name in ("host", "port", "schema", "login", "password") if name not in behaviour["hidden_fields"]
    ],
}))
"""


def schema(name: str) -> dict[str, Any]:
    return json.loads((Path(airflow.__path__[0]) / name).read_text())


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """The answers of Airflow's command line; the calls run side by side, each takes seconds to start."""
    airflow_cli = ["-m", "airflow", "providers"]
    commands = {
        "list": [*airflow_cli, "list", "--output", "json"],
        "get": [*airflow_cli, "get", PACKAGE, "--full", "--output", "json"],
        "hooks": [*airflow_cli, "hooks", "--output", "json"],
        "form": ["-W", "error:.*avala", "-c", FORM_OF_AIRFLOW_3 if AIRFLOW_3 else FORM_OF_AIRFLOW_2],
    }

    def call(arguments: list[str]) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | installed.variables(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(commands, pool.map(call, commands.values()), strict=True))


def rows(text: str) -> list[dict[str, str]]:
    """The table that a command printed as JSON, whatever else it said before."""
    return json.loads(text[text.index("[{") :])


def test_airflow_lists_the_provider_with_its_version(said: dict[str, str]) -> None:
    from airflow_provider_avala import __version__

    [row] = [row for row in rows(said["list"]) if row["package_name"] == PACKAGE]
    assert "Avala" in row["description"]
    assert row["version"] == __version__


def test_airflow_shows_all_that_the_provider_offers(said: dict[str, str]) -> None:
    text = said["get"]
    for kind in KINDS:
        assert f"airflow_provider_avala.{kind}.avala" in text
    assert "airflow_provider_avala.hooks.avala.AvalaHook" in text


def test_airflow_knows_the_connection_type_and_can_import_its_hook(said: dict[str, str]) -> None:
    [row] = [row for row in rows(said["hooks"]) if row["connection_type"] == "avala"]
    assert row["class"] == "airflow_provider_avala.hooks.avala.AvalaHook"
    assert row["conn_id_attribute_name"] == "avala_conn_id"
    assert row["package_name"] == PACKAGE
    assert row["hook_name"] == "Avala"


def test_the_connection_form_has_our_fields_and_labels(said: dict[str, str]) -> None:
    form = json.loads(said["form"].splitlines()[-1])
    assert set(form["fields"]) == CONNECTION_TYPE["conn-fields"].keys()
    assert form["labels"] == {"host": "Base URL", "password": "API key"}
    assert not {"login", "port", "schema"} & set(form["shown"])


def test_the_info_follows_airflows_schema() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_each_part_follows_the_schema_of_providers() -> None:
    whole = schema("provider.yaml.schema.json")
    unknown = INFO.keys() - whole["properties"].keys()
    assert unknown <= (set() if AIRFLOW_3 else {"asset-uris", "cli"})  # those came with Airflow 3
    for key, value in ((key, INFO[key]) for key in INFO.keys() - unknown):
        part = {"definitions": whole.get("definitions", {}), **whole["properties"][key]}
        jsonschema.validate(value, part)


def test_the_connection_fields_are_what_the_forms_of_airflow_3_read() -> None:
    for name, field in CONNECTION_TYPE["conn-fields"].items():
        assert field.keys() <= {"label", "description", "schema"}, name
        assert field["label"], name
        jsonschema.Draft202012Validator.check_schema(field["schema"])
        assert "null" in field["schema"]["type"], f"{name} may be left empty"


def test_every_field_of_the_form_is_understood_and_every_extra_has_a_field() -> None:
    samples = {
        "dialect": "legacy",
        "timeout": 5,
        "max_retry_seconds": 0,
        "rate_limits": "5/1",
        "inference_rate_limits": "5/1",
        "rate_limit_share": 0.5,
        "rate_limit_store": "memory",
        "rate_limit_store_fallback": True,
        "max_concurrent_uploads": 2,
        "max_concurrent_exports": 2,
        "verify": "false",
        "proxies": '{"https": "http://proxy:3128"}',
        "web_url": "https://labels.example.com",
        "allow_insecure_http": True,
    }
    fields = CONNECTION_TYPE["conn-fields"]
    assert fields.keys() == samples.keys()
    for name, value in samples.items():
        jsonschema.validate(value, fields[name]["schema"])
    parsed = Settings.parse(password="avk_key", extra=samples)
    assert (parsed.dialect, parsed.verify, parsed.timeout) == ("legacy", False, 5)


@pytest.mark.parametrize("field", ["rate_limit_store", "proxies"])
def test_fields_that_may_hold_a_password_are_not_shown(field: str) -> None:
    assert CONNECTION_TYPE["conn-fields"][field]["schema"]["format"] == "password"


def test_the_hook_agrees_with_the_info() -> None:
    module, _, name = CONNECTION_TYPE["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook.conn_type == CONNECTION_TYPE["connection-type"]
    assert hook.hook_name == CONNECTION_TYPE["hook-name"]
    assert hook.conn_name_attr in inspect.signature(hook).parameters
    assert "__" not in hook.conn_type


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_that_is_named_exists_and_none_is_left_out(kind: str) -> None:
    named = {module for entry in INFO[kind] for module in entry["python-modules"]}
    found = {
        f"airflow_provider_avala.{kind}.{path.stem}"
        for path in (ROOT / "airflow_provider_avala" / kind).glob("avala*.py")
    }
    assert named == found
    for module in named:
        importlib.import_module(module)


def test_the_older_form_gets_the_same_fields_and_labels() -> None:
    """Airflow before 3.2 asks the hook, and has FAB and wtforms for it."""
    behaviour = AvalaHook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == {"host": "Base URL", "password": "API key"}
    assert behaviour.keys() == {"hidden_fields", "relabeling", "placeholders"}
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))
    if not AIRFLOW_3:
        widgets = AvalaHook.get_connection_form_widgets()
        assert widgets.keys() == CONNECTION_TYPE["conn-fields"].keys()


def test_the_info_is_a_new_dict_each_time() -> None:
    get_provider_info()["connection-types"].clear()
    assert get_provider_info() == INFO
