"""However a connection is written down, the hook understands it, or says which field it does not."""

from __future__ import annotations

import json
import pickle
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.hooks.avala import AvalaHook
from tests.airflow_support import CONN_ID, Connect

VARIABLE = f"AIRFLOW_CONN_{CONN_ID.upper()}"


def written_as_json(avala: Emulator, extra: dict) -> str:
    return json.dumps(
        {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key, "extra": extra}
    )


def written_as_json_with_text_extra(avala: Emulator, extra: dict) -> str:
    connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key}
    return json.dumps(connection | {"extra": json.dumps(extra)})


def written_with_port_and_schema(avala: Emulator, extra: dict) -> str:
    url = urlsplit(avala.base_url)
    return json.dumps(
        {
            "conn_type": "avala",
            "host": f"http://{url.hostname}",
            "port": url.port,
            "schema": url.path,
            "password": avala.api_key,
            "extra": extra,
        }
    )


def written_by_the_form_of_airflow_2(avala: Emulator, extra: dict) -> str:
    extra = {f"extra__avala__{name}": value for name, value in extra.items()} | {"extra__avala__proxies": ""}
    return json.dumps(
        {
            "conn_type": "avala",
            "host": f" {avala.base_url}/ ",
            "port": 0,
            "login": "",
            "schema": "",
            "password": avala.api_key,
            "extra": extra,
        }
    )


def written_as_uri_by_airflow(avala: Emulator, extra: dict) -> str:
    connection = Connection(
        conn_id=CONN_ID,
        conn_type="avala",
        host=avala.base_url,
        password=avala.api_key,
        extra=json.dumps({name: str(value) for name, value in extra.items()}),
    )
    return connection.get_uri()


def written_as_uri_with_encoded_host(avala: Emulator, extra: dict) -> str:
    options = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in extra.items())
    return f"avala://:{avala.api_key}@{quote(avala.base_url, safe='')}?{options}"


def written_as_uri_with_protocol(avala: Emulator, extra: dict) -> str:
    url = urlsplit(avala.base_url)
    options = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in extra.items())
    return f"avala://http://:{avala.api_key}@{url.hostname}:{url.port}{url.path}?{options}"


WAYS = [value for name, value in list(globals().items()) if name.startswith("written_")]


@pytest.mark.parametrize("write", WAYS, ids=lambda write: write.__name__)
def test_a_connection_may_be_written_in_many_ways(
    write, avala: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"timeout": 7, "verify": False, "rate_limits": "1000/1", "max_concurrent_exports": 2}
    monkeypatch.setenv(VARIABLE, write(avala, extra))
    hook = AvalaHook()
    settings = hook.settings
    assert (settings.timeout, settings.verify, settings.max_concurrent_exports) == (7, False, 2)
    assert settings.base_url == avala.base_url
    assert hook.run("GET", "datasets")["results"]


def test_without_a_host_it_is_avala_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps({"conn_type": "avala", "password": "avk_key"}))
    assert AvalaHook().settings.base_url == "https://api.avala.ai/api/v1"


@pytest.mark.parametrize("extra", [None, "", " ", "{}", "null", {}])
def test_an_empty_extra_means_the_defaults(extra: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        VARIABLE, json.dumps({"conn_type": "avala", "password": "avk_secret_key", "extra": extra})
    )
    assert AvalaHook().settings.dialect == "auto"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"extra": {"retries": 3}}, "retries"),
        ({"extra": {"timeout": "soon"}}, "timeout"),
        ({"extra": {"timeout": 0}}, "timeout"),
        ({"extra": {"timeout": True}}, "timeout"),
        ({"extra": {"dialect": "klingon"}}, "dialect"),
        ({"extra": {"rate_limits": "many"}}, "rate_limits"),
        ({"extra": {"verify": 3}}, "verify"),
        ({"extra": {"proxies": "http://proxy"}}, "proxies"),
        ({"extra": {"allow_insecure_http": "maybe"}}, "allow_insecure_http"),
        ({"extra": '{"dialect": "legacy",}'}, "extra: must be a JSON object"),
        ({"extra": "dialect=legacy"}, "extra: must be a JSON object"),
        ({"extra": "[1]"}, "extra: must be a JSON object"),
        ({"extra": "17"}, "extra: must be a JSON object"),
        ({"password": ""}, "password"),
        ({"password": None}, "password"),
        ({"host": "api.avala.ai"}, "host"),
        ({"host": "ftp://api.avala.ai"}, "host"),
        ({"host": "http://api.avala.ai/api/v1"}, "host"),
        ({"host": "https://user:pw@api.avala.ai"}, "host"),
    ],
    ids=str,
)
def test_a_field_that_cannot_be_used_is_named(
    fields: dict, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "avala", "host": "https://api.avala.ai/api/v1", "password": "avk_secret_key"}
    monkeypatch.setenv(VARIABLE, json.dumps(connection | fields))
    with pytest.raises(AvalaConfigurationError, match=named) as raised:
        AvalaHook().get_conn()
    assert "avk_secret_key" not in str(raised.value)
    works, message = AvalaHook().test_connection()
    assert not works
    assert named in message


def test_the_test_says_that_it_works(avala: Emulator) -> None:
    works, message = AvalaHook().test_connection()
    assert works
    assert avala.base_url in message
    assert len(avala.requests) == 1


def test_the_test_works_with_the_legacy_dialect(legacy: Emulator) -> None:
    assert AvalaHook().test_connection()[0]


def test_the_test_works_with_port_zero(avala: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key, "port": 0}
    monkeypatch.setenv(VARIABLE, json.dumps(connection))
    assert AvalaHook().test_connection()[0]


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.status(401), "refuses the key"),
        (faults.status(404), "no Avala API"),
        (faults.html(200), "not Avala"),
        (faults.status(200, body=[1, 2]), "not Avala"),
        (faults.status(200, body={"hello": "world"}), "not Avala"),
        (faults.html(502), "fault at the moment"),
        (faults.status(429), "rate limit"),
        (faults.redirect("https://elsewhere.example.com/login"), "elsewhere.example.com"),
        (faults.reset_before_commit(), "cannot be reached"),
    ],
    ids=lambda value: (
        value.name + str(value.options.get("code", "")) if isinstance(value, faults.Fault) else ""
    ),
)
def test_the_test_says_in_words_what_is_wrong(fault: faults.Fault, says: str, avala: Emulator) -> None:
    avala.inject(fault)
    works, message = AvalaHook().test_connection()
    assert not works
    assert says in message
    assert avala.api_key not in message
    assert len(avala.requests) == 1, "no retry: somebody sits before the form"


def test_the_test_tells_a_wrong_key(avala: Emulator, connect: Connect) -> None:
    connect(avala, password="avk_wrong_key")
    works, message = AvalaHook().test_connection()
    assert not works
    assert "refuses the key" in message
    assert "avk_wrong_key" not in message


@pytest.mark.parametrize("path", ["", "/api/v2"])
def test_the_test_tells_a_wrong_path(path: str, avala: Emulator, connect: Connect) -> None:
    connect(avala.base_url.removesuffix("/api/v1") + path, password=avala.api_key)
    works, message = AvalaHook().test_connection()
    assert not works
    assert "check the base URL" in message


def test_the_test_tells_a_port_where_nobody_listens(connect: Connect) -> None:
    port = unused_port()
    connect(f"http://127.0.0.1:{port}/api/v1")
    works, message = AvalaHook().test_connection()
    assert not works
    assert f"127.0.0.1:{port} cannot be reached" in message


def test_the_test_does_not_wait_long_for_a_silent_server(avala: Emulator, connect: Connect) -> None:
    connect(avala, timeout=0.2)
    avala.inject(faults.hang_before_commit(5))
    works, message = AvalaHook().test_connection()
    assert not works
    assert "cannot be reached" in message


def test_the_key_is_in_no_repr(avala: Emulator) -> None:
    hook = AvalaHook()
    shown = [
        repr(each) for each in (hook, hook.client, hook.settings, hook.client.settings, vars(hook.client))
    ]
    assert avala.api_key not in "".join(shown)


def test_a_hook_can_be_pickled_before_it_is_used(avala: Emulator) -> None:
    assert pickle.loads(pickle.dumps(AvalaHook("another"))).avala_conn_id == "another"
