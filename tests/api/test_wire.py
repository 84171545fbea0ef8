"""One attempt on the wire: what is sent along, what is not, and what can break."""

import logging
import socket
import ssl
import threading
from pathlib import Path

import pytest
import requests
from urllib3 import exceptions as lower

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaConnectionError
from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.api.wire import Wire, _connection_error
from tests.api.conftest import KEY
from tests.api.scripted import Scripted, resets, says

OK = says(200, {"ok": True})


@pytest.fixture
def wire_of():
    wires = []

    def make(host, **extra):
        wires.append(Wire(Settings.parse(host=host, password=KEY, extra={"timeout": 5, **extra})))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()


class Parts:
    """A body in three parts, the first of which is large."""

    content_type = "text/plain"
    size = 4 << 20

    def __len__(self):
        return self.size + 2

    def __iter__(self):
        yield b"x" * self.size
        yield b"y"
        yield b"z"


def raw_server(talk):
    """Accept one connection and hand it over."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection, listener:
            talk(connection)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def answers(data):
    def talk(connection):
        connection.recv(65536)
        connection.sendall(data)

    return talk


def hangs_until(event):
    def talk(connection):
        connection.recv(65536)
        event.wait(10)

    return talk


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def failure(wire, url, **request):
    with pytest.raises(AvalaConnectionError) as caught:
        wire.send("POST", f"{url}/exports/?sig=topsecret", authenticate=True, **request)
    assert "POST /exports/: " in str(caught.value)
    assert "topsecret" not in str(caught.value)
    assert KEY not in str(caught.value)
    return caught.value


def test_refused_connection_was_not_sent(wire_of):
    url = closed_port()
    error = failure(wire_of(url), url)
    assert (error.sent, error.transient) == (False, True)
    assert "refused" in str(error)


def test_unknown_host_was_not_sent(wire_of):
    url = "http://nowhere.invalid"
    assert failure(wire_of(url, allow_insecure_http=True), url).sent is False


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "not HTTP", "cut body", "cut chunk", "not gzip", "endless header"],
)
def test_broken_answer_means_that_the_request_was_sent(wire_of, data):
    url = raw_server(answers(data))
    error = failure(wire_of(url), url, json={})
    assert (error.sent, error.transient, error.still_running) == (True, True, False)


def test_reset_after_the_request_means_that_it_was_sent(wire_of):
    with Scripted(resets) as server:
        assert failure(wire_of(server.url), server.url, json={}).sent is True


def test_reset_before_the_body_was_out_means_that_nobody_can_have_acted(wire_of):
    url = raw_server(lambda connection: connection.recv(1000))
    assert failure(wire_of(url), url, body=Parts()).sent is False


def test_success_that_comes_before_the_body_is_out_is_none(wire_of):
    class Late(Parts):
        def __iter__(self):
            assert closed.wait(10)
            yield from [b"x" * 65536] * 64
            yield b"yz"

    def hasty(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}")
        connection.close()
        closed.set()

    closed, url = threading.Event(), raw_server(hasty)
    error = failure(wire_of(url), url, body=Late())
    assert error.sent is True
    assert "said 201 and hung up before it had the whole body" in str(error)


def test_silence_means_that_the_server_may_still_be_at_it(wire_of):
    done = threading.Event()
    url = raw_server(hangs_until(done))
    error = failure(wire_of(url, timeout=0.2), url, json={})
    done.set()
    assert (error.sent, error.still_running) == (True, True)
    assert "no answer within 0.2 s" in str(error)


def test_plain_http_behind_https_was_not_sent(wire_of):
    with Scripted() as server:
        url = server.url.replace("http:", "https:")
        error = failure(wire_of(url), url)
    assert error.sent is False
    assert "no secure connection" in str(error)


@pytest.mark.parametrize(
    ("cause", "sent", "transient"),
    [
        (ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), False, False),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), False, True),
        (ssl.SSLError(1, "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] handshake failure"), False, True),
        (ssl.SSLEOFError(8, "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF"), True, True),
        (ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] bad record"), True, True),
    ],
)
def test_tls_that_breaks_after_the_handshake_may_have_carried_the_request(cause, sent, transient):
    error = requests.exceptions.SSLError(lower.MaxRetryError(None, "/x?sig=topsecret", lower.SSLError(cause)))
    told = _connection_error(error, "POST /x", 5, complete=True)
    assert (told.sent, told.transient) == (sent, transient)
    assert "topsecret" not in str(told)
    assert ("extra verify" in str(told)) is not transient


def test_body_is_sent_whole_and_with_its_length(wire_of):
    with Scripted(OK, OK) as server:
        for _ in range(2):
            wire_of(server.url).send("POST", server.url, authenticate=True, body=Parts())
    assert [len(seen.body) for seen in server.seen] == [len(Parts())] * 2
    assert server.seen[0].headers["Content-Type"] == "text/plain"
    assert "Transfer-Encoding" not in server.seen[0].headers


def test_key_goes_along_only_when_told(wire_of):
    with Scripted(OK, OK) as server:
        wire = wire_of(server.url)
        wire.send("GET", server.url, authenticate=True)
        wire.send("GET", server.url, authenticate=False)
    assert [seen.headers.get("X-Avala-Api-Key") for seen in server.seen] == [KEY, None]


def test_nothing_is_added_that_nobody_asked_for(wire_of, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password topsecret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Scripted(says(200, {}, Set_Cookie="lb=1; Path=/"), OK, OK) as server:
        wire = wire_of(server.url)
        for _ in range(2):
            wire.send("GET", server.url, authenticate=True)
        wire.send("GET", server.url.replace("//", "//me:topsecret@"), authenticate=False)
    for seen in server.seen:
        assert "Authorization" not in seen.headers
        assert "Cookie" not in seen.headers
        assert seen.headers["User-Agent"].startswith("airflow-provider-avala/")


@pytest.mark.parametrize("location", ["http://[bad", "/elsewhere", "http://other.invalid:x/", "//", "\xff"])
def test_redirect_is_not_followed_wherever_it_points(wire_of, location):
    with Scripted(says(302, None, Location=location), OK) as server:
        assert wire_of(server.url).send("GET", server.url, authenticate=True).status_code == 302
    assert len(server.seen) == 1


PROXIES = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]


@pytest.fixture
def environment(monkeypatch):
    for name in (*PROXIES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_proxy_of_the_environment_gets_no_request_to_this_machine(wire_of, environment):
    with Scripted(OK) as proxy, Scripted(OK) as server:
        for name in PROXIES:
            environment.setenv(name, proxy.url)
        wire_of(server.url).send("GET", server.url, authenticate=True)
    assert (len(proxy.seen), len(server.seen)) == (0, 1)


def test_proxy_of_the_environment_is_used_for_other_machines(wire_of, environment):
    with Scripted(OK) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        wire_of("http://avala.invalid", allow_insecure_http=True).send(
            "GET", "http://avala.invalid/x", authenticate=True
        )
    assert proxy.calls == ["GET http://avala.invalid/x"]


def test_environment_is_asked_once_for_each_origin(wire_of, environment):
    with Scripted(OK, OK) as proxy, Scripted(OK) as other:
        environment.setenv("HTTP_PROXY", proxy.url)
        wire = wire_of("http://avala.invalid", allow_insecure_http=True)
        wire.send("GET", "http://avala.invalid/1", authenticate=True)
        environment.setenv("HTTP_PROXY", other.url)
        wire.send("GET", "http://avala.invalid/2", authenticate=True)
        wire.send("GET", "http://storage.invalid/3", authenticate=False)
    assert proxy.calls == ["GET http://avala.invalid/1", "GET http://avala.invalid/2"]
    assert other.calls == ["GET http://storage.invalid/3"]


@pytest.mark.parametrize("scheme", ["http", "all"])
def test_proxy_of_the_connection_beats_that_of_the_environment(wire_of, environment, scheme):
    with Scripted(OK) as proxy, Scripted(OK) as other:
        environment.setenv("HTTP_PROXY", other.url)
        environment.setenv("ALL_PROXY", other.url)
        wire = wire_of("http://avala.invalid", allow_insecure_http=True, proxies={scheme: proxy.url})
        wire.send("GET", "http://avala.invalid/x", authenticate=True)
    assert (len(proxy.seen), len(other.seen)) == (1, 0)


def test_unreachable_proxy_means_that_nothing_was_sent_and_keeps_its_password(wire_of, environment):
    proxy = closed_port().replace("//", "//me:topsecret@")
    wire = wire_of("http://avala.invalid", allow_insecure_http=True, proxies={"http": proxy})
    assert failure(wire, "http://avala.invalid").sent is False


@pytest.mark.parametrize("json", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}, {("a",): 1}])
def test_body_that_is_no_json_is_refused_before_anything_is_sent(wire_of, json):
    with (
        Scripted() as server,
        pytest.raises(AvalaConfigurationError, match=r"json: .*cannot be written as JSON"),
    ):
        wire_of(server.url).send("POST", server.url, authenticate=True, json=json)
    assert server.seen == []


@pytest.mark.parametrize("json", [[], {}, 0, False, "", "ü"])
def test_falsy_json_is_a_body_too(wire_of, json):
    with Scripted(OK) as server:
        wire_of(server.url).send("POST", server.url, authenticate=True, json=json)
    assert requests.models.complexjson.loads(server.seen[0].body) == json
    assert server.seen[0].headers["Content-Type"] == "application/json"


def test_no_json_is_no_body(wire_of):
    with Scripted(OK) as server:
        wire_of(server.url).send("POST", server.url, authenticate=True)
    assert server.seen[0].body == b""
    assert "Content-Type" not in server.seen[0].headers


@pytest.mark.parametrize("url", ["http://a..b/", "http:///x", "http://exa mple/", "http://127.0.0.1:99999/"])
def test_address_that_cannot_be_asked_is_a_matter_of_configuration(wire_of, url):
    with pytest.raises(AvalaConfigurationError):
        wire_of("http://127.0.0.1").send("GET", f"{url}?sig=topsecret", authenticate=False)


def test_missing_ca_bundle_is_named():
    with pytest.raises(AvalaConfigurationError, match=r"extra verify: .*/no/such/ca\.pem"):
        Wire(Settings.parse(password=KEY, extra={"verify": "/no/such/ca.pem"}))


def test_file_that_is_no_ca_bundle_is_named(tmp_path: Path, wire_of):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("nothing")
    with Scripted() as server, pytest.raises(AvalaConfigurationError, match=r"extra verify: .*ca\.pem"):
        wire_of(server.url.replace("http:", "https:"), verify=str(bundle)).send(
            "GET", server.url.replace("http:", "https:"), authenticate=True
        )


def test_no_log_line_of_any_library_shows_key_or_query(wire_of, caplog):
    caplog.set_level(logging.DEBUG)
    with Scripted(OK) as server:
        wire = wire_of(server.url)
        wire.send("GET", f"{server.url}/x.zip?opaque=topsecret", authenticate=True, params={"a": "topsecret"})
    assert "/x.zip" in caplog.text
    assert "topsecret" not in caplog.text
    assert KEY not in caplog.text


def test_log_lines_of_others_stay_as_they_are(caplog):
    caplog.set_level(logging.DEBUG)
    with Scripted(OK) as server:
        requests.get(f"{server.url}/?page=2", timeout=5)
    assert "page=2" in caplog.text
