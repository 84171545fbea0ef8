"""What arrives on the socket is anything but HTTP, or more of it than anybody can hold."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api import wire
from airflow_provider_avala.api.client import AvalaClient
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaConnectionError,
    AvalaError,
    AvalaProtocolError,
)
from airflow_provider_avala.api.settings import Settings
from tests.api.loopback import Clock
from tests.api.scripted import Scripted, says
from tests.fuzz.hostile import bodies, bounded, header_values, headers, nested, outcome
from tests.fuzz.rawserver import RawServer, zeros

#: Five seconds of retries, on a clock that only sleeping moves, are no more attempts than this.
MOST_ATTEMPTS = 40


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


@pytest.fixture(scope="module")
def client_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], AvalaClient]:
    folder = tmp_path_factory.mktemp("state")

    def make(url: str, **changes: Any) -> AvalaClient:
        extra = {
            "rate_limit_store": "memory",
            "rate_limits": "100000/1",
            "timeout": 5,
            "max_retry_seconds": 5,
        }
        settings = replace(
            Settings.parse(host=url, password="avk_1", extra=extra), state_dir=str(folder), **changes
        )
        return AvalaClient(settings, clock=Clock(), chance=lambda: 0.5)

    return make


@st.composite
def heads(draw: Callable[[Any], Any]) -> bytes:
    """The head of an answer, more or less."""
    line = draw(
        st.one_of(
            st.sampled_from(
                ["HTTP/1.1 200 OK", "HTTP/1.1 500", "HTTP/1.0 429 x", "HTTP/9.9 200 OK", "HTTP/1.1 ٣٠٠ x"]
            ),
            st.sampled_from(
                ["HTTP/1.1 099 x", "HTTP/1.1 1000 x", "HTTP/1.1 -1 x", "", " ", "GET / HTTP/1.1"]
            ),
            st.integers(100, 999).map(lambda status: f"HTTP/1.1 {status} ?"),
            st.text(max_size=30),
        )
    )
    found = draw(headers)
    lines = [line, *(f"{name}: {value}" for name, value in found.items())]
    lines += draw(st.lists(st.one_of(header_values, st.just(" folded"), st.just(": no name")), max_size=2))
    end = draw(st.sampled_from(["\r\n", "\n", "\r\n", "\r"]))
    return (end.join(lines) + end * 2).encode(draw(st.sampled_from(["utf-8", "latin-1"])), "replace")


@bounded
@given(st.one_of(st.binary(max_size=300), heads(), st.tuples(heads(), bodies()).map(b"".join)))
def test_bytes_that_are_no_answer_are_an_error_of_ours(
    server: RawServer, client_at: Callable[[str], AvalaClient], answer: bytes
) -> None:
    client, before = client_at(server.url), server.connections
    server.answer = [answer]
    for call in (
        lambda: client.run("GET", "/exports/"),
        lambda: client.get_export("e"),
        lambda: list(client.paginate("/exports/")),
        lambda: client.create_export(project_id="p", name="n"),
    ):
        outcome(call, AvalaError)
    client.close()
    assert server.connections - before <= 4 * MOST_ATTEMPTS


@bounded
@given(heads(), bodies())
def test_bytes_that_are_no_file_are_an_error_of_ours_and_no_file(
    server: RawServer,
    client_at: Callable[[str], AvalaClient],
    tmp_path_factory: pytest.TempPathFactory,
    head: bytes,
    body: bytes,
) -> None:
    folder = tmp_path_factory.mktemp("download")
    server.answer = [head, body]
    with Scripted(
        *[says(200, {"uid": "e", "status": "exported", "download_url": f"{server.url}/x.zip"})] * 50
    ) as api:
        client = client_at(api.url)
        found, _ = outcome(lambda: client.download_export("e", folder / "x.zip"), AvalaError)
        client.close()
    assert (folder / "x.zip").exists() == (found is not None)


@pytest.mark.parametrize(
    "address", ["http://[", "http://a:b/", "//[/x", "http://\ud800/", "file:///etc/passwd"]
)
def test_an_export_whose_address_is_none_is_an_error_of_ours(
    client_at: Callable[[str], AvalaClient], tmp_path: Path, address: str
) -> None:
    exported = says(200, {"uid": "e", "status": "exported", "download_url": address})
    with Scripted(*[exported] * 30) as api:
        for target in (tmp_path / "x.zip", f"{tmp_path}/"):
            with pytest.raises(AvalaError):
                client_at(api.url).download_export("e", target)


@pytest.mark.parametrize(
    "location", ["http://[", "//[", "http://a:b/", "http://x\u2100.com/", "", "file:///etc/passwd"]
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_nowhere_is_an_error_of_ours(
    server: RawServer, client_at: Callable[[str], AvalaClient], tmp_path: Path, status: int, location: str
) -> None:
    server.answer = [f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode()]
    with pytest.raises(AvalaApiError):
        client_at(server.url).run("GET", "/exports/")
    exported = says(200, {"uid": "e", "status": "exported", "download_url": f"{server.url}/x.zip"})
    with Scripted(*[exported] * 30) as api, pytest.raises(AvalaError):
        client_at(api.url).download_export("e", tmp_path / "x.zip")


@pytest.mark.parametrize("status", [101, 102, 103, 199])
def test_an_interim_answer_is_no_answer_and_its_successor_none_to_the_next_request(
    server: RawServer, client_at: Callable[[str], AvalaClient], status: int
) -> None:
    final = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"uid": "another"}'[:-1]
    server.answer = [f"HTTP/1.1 {status} x\r\n\r\n".encode(), final]
    client, before = client_at(server.url), server.connections
    with pytest.raises(AvalaConnectionError, match=str(status)) as caught:
        client.run("POST", "/exports/", json={})
    assert caught.value.sent
    with pytest.raises(AvalaConnectionError):
        client.run("POST", "/exports/", json={})
    assert server.connections == before + 2


def measured(call: Callable[[], Any]) -> tuple[str, int]:
    """The words in which a call is refused, and the most memory it took."""
    tracemalloc.start()
    try:
        return outcome(call, AvalaError)[1], tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HEAD = b"HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: 1000000000000\r\n%s\r\n"


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_of_more_than_can_be_held_is_not_read_to_its_end(
    server: RawServer, client_at: Callable[[str], AvalaClient], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER", 4 * 1024**2)
    server.answer = [HEAD % (status, b""), *zeros(100)]
    words, memory = measured(lambda: client_at(server.url).run("GET", "/exports/"))
    assert ("more than" in words) == (status == 200)
    assert words
    assert memory < 20 * 1024**2
    assert server.sent < 50 * 1024**2


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_that_unpacks_to_more_than_can_be_held_is_not_unpacked(
    server: RawServer, client_at: Callable[[str], AvalaClient], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER", 4 * 1024**2)
    bomb = gzip.compress(bytes(200 * 1024**2), compresslevel=1)
    head = f"HTTP/1.1 {status} x\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    server.answer = [head, bomb]
    words, memory = measured(lambda: client_at(server.url).run("GET", "/exports/"))
    assert words
    assert memory < 40 * 1024**2


@pytest.mark.parametrize("body", [nested(100_000), nested(900), b"9" * 5000, b"\xff\xfe\xff", b'{"a": NaN'])
def test_json_that_cannot_be_decoded_is_an_error_of_ours(
    server: RawServer, client_at: Callable[[str], AvalaClient], body: bytes
) -> None:
    server.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body]
    with pytest.raises(AvalaProtocolError):
        client_at(server.url).get_export("e")
