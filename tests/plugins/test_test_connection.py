"""The API server lets the test of a connection pass that has no port."""

from __future__ import annotations

import asyncio
import configparser
import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_avala.plugins.test_connection import (
    AvalaTestConnectionPlugin,
    EmptyPortMiddleware,
    without_empty_port,
)

TEST = {"type": "http", "method": "POST", "path": "/api/v2/connections/test"}
AVALA = {"conn_type": "avala", "host": "http://127.0.0.1", "password": "***", "extra": '{"timeout": 3}'}


def passed_on(scope: dict[str, Any], *chunks: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """What an application behind the middleware gets: headers and body."""
    arrived: dict[str, Any] = {}
    incoming = [
        {"type": "http.request", "body": chunk, "more_body": n + 1 < len(chunks)}
        for n, chunk in enumerate(chunks)
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        arrived.update(headers=dict(scope["headers"]), body=body, then=(await receive())["type"])

    async def receive() -> dict[str, Any]:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None: ...

    length = str(sum(map(len, chunks))).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    asyncio.run(EmptyPortMiddleware(app)({**scope, "headers": headers}, receive, send))
    assert arrived["then"] == "http.disconnect", "what comes after the body is passed on, too"
    return arrived["headers"], arrived["body"]


def test_an_empty_port_is_taken_out_of_the_test_of_an_avala_connection() -> None:
    whole = json.dumps(AVALA | {"port": 0}).encode()
    headers, body = passed_on(TEST, whole[:20], whole[20:])
    assert json.loads(body) == AVALA
    assert headers == {b"content-type": b"application/json", b"content-length": str(len(body)).encode()}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(AVALA | {"port": 8080}).encode(),
        json.dumps(AVALA | {"port": None}).encode(),
        json.dumps(AVALA).encode(),
        json.dumps({"conn_type": "http", "port": 0}).encode(),
        b'["avala", 0]',
        b"not JSON",
        b"\xff\xfe",
        b"",
    ],
    ids=repr,
)
def test_anything_else_passes_as_it_is(body: bytes) -> None:
    assert without_empty_port(body) == body
    assert passed_on(TEST, body)[1] == body


@pytest.mark.parametrize(
    "scope",
    [{"method": "PATCH"}, {"path": "/api/v2/connections"}, {"path": "/api/v2/dags/connections/test/x"}],
    ids=str,
)
def test_other_requests_are_not_looked_at(scope: dict[str, Any]) -> None:
    whole = json.dumps(AVALA | {"port": 0}).encode()
    assert passed_on(TEST | scope, whole[:9], whole[9:])[1] == whole


def test_the_plugin_has_an_entry_point() -> None:
    """Plugins that only the provider info names are loaded when core.lazy_discover_providers is off: not by default."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    lines = config["options.entry_points"]["airflow.plugins"].strip().splitlines()
    [line] = [line for line in lines if line.startswith("avala_test_connection")]
    point = EntryPoint(*map(str.strip, line.split("=")), group="airflow.plugins")
    assert point.load() is AvalaTestConnectionPlugin
    assert point.name == AvalaTestConnectionPlugin.name
