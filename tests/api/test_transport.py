"""Attempts, waits and the key, on real sockets and on a clock that passes only in sleep."""

import pickle
import threading
from email.utils import formatdate

import pytest

from airflow_provider_avala.api import errors
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaConfigurationError,
    AvalaConnectionError,
    AvalaProtocolError,
    AvalaRateLimitError,
    AvalaRateLimitTimeout,
    AvalaServerError,
)
from airflow_provider_avala.emulator import faults, running_emulator
from tests.api.conftest import KEY
from tests.api.scripted import Scripted, resets, says

OK = says(200, {"ok": 1})
THROTTLED = {"detail": "Request was throttled."}


@pytest.fixture(scope="module")
def avala():
    with running_emulator(rate_limits=None) as emulator:
        yield emulator


PASSING = {
    "408": faults.status(408),
    "429": faults.status(429),
    "500": faults.status(500),
    "502 in HTML": faults.html(502),
    "503": faults.status(503),
    "504": faults.status(504),
    "reset before": faults.reset_before_commit(),
    "reset after": faults.reset_after_commit(),
    "truncated": faults.truncated(),
    "truncated chunked": faults.truncated_chunked(),
    "reset in mid-body": faults.reset_mid_body(),
    "hang": faults.hang_before_commit(),
    "hang after": faults.hang_after_commit(),
}
LASTING = {
    "301": faults.redirect("/elsewhere", 301),
    "302": faults.redirect("/elsewhere", 302),
    "307": faults.redirect("https://elsewhere.example/", 307),
    "400": faults.status(400),
    "401": faults.status(401),
    "403": faults.status(403),
    "404": faults.status(404),
    "405": faults.status(405),
    "409": faults.status(409),
    "413": faults.status(413),
    "422": faults.status(422),
    "bad JSON": faults.bad_json(),
}


def attempts(avala, client_of, clock, method, fault):
    avala.reset()
    avala.inject(fault, path="/projects/p1/consensus/")
    client = client_of(avala.base_url, avala.api_key, timeout=0.6)
    try:
        client.run(method, "/projects/p1/consensus/", json=None if method == "GET" else {})
    except errors.AvalaNotFoundError as error:
        result = error  # the emulator's own word: the fault has passed
    except errors.AvalaError as error:
        result = error
    return len(avala.requests), result


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_passes_is_tried_again_if_that_can_double_nothing(avala, client_of, clock, method, fault):
    tried, _ = attempts(avala, client_of, clock, method, fault)
    assert tried == 2
    assert clock.sleeps


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_write_is_repeated_only_if_it_was_refused(avala, client_of, clock, method, fault):
    tried, result = attempts(avala, client_of, clock, method, fault)
    refused = fault.options.get("code") in (408, 429)
    assert tried == (2 if refused else 1)
    if not refused:
        assert isinstance(result, AvalaServerError | AvalaConnectionError)
        assert "may or may not have acted on it: look before you repeat it" in str(result)


@pytest.mark.parametrize(("method", "doubtful"), [("GET", False), ("POST", True)])
def test_an_answer_to_a_write_that_cannot_be_read_says_that_somebody_has_to_look(
    client_of, method, doubtful
) -> None:
    with (
        Scripted(says(200, b"<html>")) as server,
        pytest.raises(AvalaProtocolError, match="not with JSON") as error,
    ):
        client_of(server.url).run(method, "/x/")
    assert ("look before you repeat it" in str(error.value)) is doubtful


def test_a_budget_used_up_before_a_retry_does_not_hide_why_there_was_to_be_one(client_of, clock) -> None:
    with Scripted(says(503, {}), OK) as server:
        client = client_of(server.url, rate_limits="1/60", max_retry_seconds=10)
        with pytest.raises(AvalaServerError, match="503") as error:
            client.run("GET", "/x/")
        assert len(server.seen) == 1
    assert isinstance(error.value.__cause__, AvalaRateLimitTimeout)


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_lasts_is_not_tried_again(avala, client_of, clock, method, fault):
    tried, result = attempts(avala, client_of, clock, method, fault)
    assert tried == 1
    assert clock.sleeps == []
    if fault.name != "bad_json":
        assert result.status_code == fault.options["code"]


def test_refused_connection_is_tried_again_even_for_a_write(client_of, clock):
    with Scripted() as server:
        url = server.url
    with pytest.raises(AvalaConnectionError) as error:
        client_of(url).run("POST", "/exports/", json={})
    assert error.value.sent is False
    assert len(clock.sleeps) > 5
    assert clock.now - 1_000_000 <= 120


WAITS = {
    "seconds": ({"Retry_After": "12"}, 12.5),
    "HTTP date": ({"Retry_After": formatdate(1_000_020, usegmt=True)}, 20.5),
    "past": ({"Retry_After": formatdate(999_000, usegmt=True)}, 0.5),
    "reset": ({"X_RateLimit_Reset": "1000009"}, 9.5),
    "reset, calls left": ({"X_RateLimit_Reset": "1000009", "X_RateLimit_Remaining": "3"}, 9.5),
    "nothing": ({}, 1.0),  # back-off, but not before the short pause that everyone makes then
    "garbage": ({"Retry_After": "soon"}, 1.0),
}


@pytest.mark.parametrize(("headers", "wait"), WAITS.values(), ids=WAITS)
def test_wait_is_what_the_server_asked_for(client_of, clock, headers, wait):
    with Scripted(says(429, THROTTLED, **headers), OK) as server:
        assert client_of(server.url).run("GET", "/x/") == {"ok": 1}
    assert sum(clock.sleeps) == pytest.approx(wait)


@pytest.mark.parametrize("value", ["500", "9" * 40, formatdate(1_000_500, usegmt=True)])
def test_wait_past_the_bound_fails_at_once(client_of, clock, value):
    with Scripted(says(429, THROTTLED, Retry_After=value)) as server:
        with pytest.raises(AvalaRateLimitError, match="then retry") as error:
            client_of(server.url).run("GET", "/x/")
        assert len(server.seen) == 1
    assert clock.sleeps == []
    assert error.value.retry_after >= 500


def test_429_pauses_all_who_use_the_key(client_of, clock):
    with Scripted(says(429, THROTTLED, Retry_After="30", X_RateLimit_Remaining="0"), OK) as server:
        client = client_of(server.url, max_retry_seconds=0)
        with pytest.raises(AvalaRateLimitError):
            client.run("GET", "/x/")
        client_of(server.url).run("GET", "/y/")
    assert clock.now == pytest.approx(1_000_030)


def test_no_time_for_retries_means_one_attempt(client_of, clock):
    with Scripted(says(503)) as server:
        with pytest.raises(AvalaServerError):
            client_of(server.url, max_retry_seconds=0).run("GET", "/x/")
        assert len(server.seen) == 1


def test_attempts_end_with_the_bound(client_of, clock):
    with Scripted(*[says(503)] * 50) as server:
        with pytest.raises(AvalaServerError):
            client_of(server.url, max_retry_seconds=60).run("GET", "/x/")
        assert 5 < len(server.seen) < 10
    assert clock.now <= 1_000_060


def test_body_is_the_same_in_every_attempt(client_of):
    with Scripted(says(503), resets, OK) as server:
        client_of(server.url).run("PUT", "/x/", json={"a": "ü"})
    assert len({seen.body for seen in server.seen}) == 1
    assert server.seen[0].body


EMPTY = {
    "204": says(204),
    "200": says(200),
    "blank": says(200, b" \n"),
    "null": says(200, b"null"),
}


@pytest.mark.parametrize("answer", EMPTY.values(), ids=EMPTY)
def test_answer_without_a_body_is_none(client_of, answer):
    with Scripted(answer) as server:
        assert client_of(server.url).run("DELETE", "/x/") is None


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 201 Created\r\nServer: BaseHTTP/0.6 Python/3.11\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nConnection: Close\r\n\r\n",
    ],
    ids=["HTTP/1.0", "says that it closes"],
)
def test_answer_without_a_body_may_end_with_its_connection(client_of, head):
    def ends(exchange, seen):
        exchange.wfile.write(head)
        exchange.close_connection = True

    with Scripted(ends) as server:
        assert client_of(server.url).run("POST", "/exports/", json={}) is None


def test_answer_that_broke_off_in_its_headers_is_not_taken_for_an_empty_one(client_of):
    def breaks_off(exchange, seen):
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\n")
        exchange.hang_up()

    with Scripted(breaks_off, OK) as server:
        assert client_of(server.url).run("GET", "/x/") == {"ok": 1}
    with Scripted(breaks_off) as server, pytest.raises(AvalaConnectionError, match="broke off") as error:
        client_of(server.url).run("POST", "/x/", json={})
    assert error.value.sent


@pytest.mark.parametrize(
    "body",
    [b"<html>topsecret</html>", b'{"a": ', b"\xff\xfe\x00", b"[" * 100_000, '{"a": "ö"}'.encode("latin-1")],
)
def test_answer_that_is_no_json_is_a_protocol_error_without_its_content(client_of, body):
    with (
        Scripted(says(200, body, Content_Type="text/html; charset=topsecret")) as server,
        pytest.raises(AvalaProtocolError, match=r"GET /x/ was answered with 200, but not with JSON") as error,
    ):
        client_of(server.url).run("GET", "/x/")
    assert "topsecret" not in str(error.value)


@pytest.mark.parametrize(
    "body", ['{"a": "ü"}'.encode(), b'\xef\xbb\xbf{"a": "\xc3\xbc"}', '{"a": "ü"}'.encode("utf-16")]
)
def test_json_of_any_unicode_encoding_is_read(client_of, body):
    with Scripted(says(200, body)) as server:
        assert client_of(server.url).run("GET", "/x/") == {"a": "ü"}


REDIRECTS = {
    "elsewhere": (
        {"Location": "https://elsewhere.example/login?next=topsecret"},
        "redirects to https://elsewhere.example/login",
    ),
    "no location": ({}, "without saying where to"),
    "empty location": ({"Location": ""}, "without saying where to"),
    "no URL": ({"Location": "http://[bad"}, "base URL"),
    "key in the location": ({"Location": f"/login/{KEY}"}, "redirects to"),
    "to itself": ({"Location": "/x/"}, "redirects to"),
    "many slashes": ({"Location": "/x//"}, "redirects to"),
    "query lost": ({"Location": "/x"}, "redirects to"),
    "slash on another port": ({"Location": "http://127.0.0.1:1/x?a=1"}, "redirects to"),
    "slash with credentials": ({"Location": "http://u:topsecret@{host}/x?a=1"}, "redirects to"),
}


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
@pytest.mark.parametrize(("headers", "words"), REDIRECTS.values(), ids=REDIRECTS)
def test_redirect_is_an_error_that_names_where_it_points(client_of, status, headers, words):
    with Scripted() as server:
        host = f"127.0.0.1:{server.server_port}"
        named = {name: value.replace("{host}", host) for name, value in headers.items()}
        server.steps = [says(status, None, **named), OK]
        with pytest.raises(AvalaApiError, match=words) as error:
            client_of(server.url).run("GET", "/x/", params={"a": 1})
        assert len(server.seen) == 1
    assert error.value.status_code == status
    for shown in (str(error.value), repr(vars(error.value))):
        assert "topsecret" not in shown
        assert KEY not in shown


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\nX: y", "GÉT", "G1"])
def test_method_that_is_none_is_refused(client_of, method):
    with Scripted() as server:
        with pytest.raises(AvalaConfigurationError, match="method: "):
            client_of(server.url).run(method, "/x/")
        assert server.seen == []


def test_error_that_repeats_the_key_shows_it_nowhere(client_of, caplog):
    repeats = says(500, {"detail": f"Bad key {KEY} at https://s.example/x?sig=topsecret"}, X_Request_Id=KEY)
    with (
        Scripted(repeats, repeats, says(401, {"detail": KEY})) as server,
        pytest.raises(AvalaApiError) as error,
    ):
        client_of(server.url).run("GET", "/x/")
    for shown in (str(error.value), repr(error.value), repr(pickle.dumps(error.value)), caplog.text):
        assert KEY not in shown
        assert "topsecret" not in shown


def test_answer_keeps_its_content_out_of_its_repr(client_of):
    with Scripted(says(200, {"download_url": "https://s/?sig=topsecret"}, X_Echo="topsecret")) as server:
        answer = client_of(server.url)._transport.request("GET", "/x/")
    assert "topsecret" not in repr(answer)


@pytest.mark.parametrize("base", ["", "/", "///", "/api/v1", "/api/v1/", "/API/v1//"])
def test_path_of_the_base_url_is_kept(client_of, base):
    with Scripted(OK) as server:
        client_of(server.url.replace("http", "HTTP") + base).run("GET", "/x/")
    assert server.calls == [f"GET {base.rstrip('/')}/x/"]


def test_many_threads_share_one_client(client_of):
    with Scripted(*[OK] * 100) as server:
        client = client_of(server.url)
        results = []
        threads = [
            threading.Thread(target=lambda: results.extend(client.run("GET", "/x/") for _ in range(10)))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert results == [{"ok": 1}] * 100


DOWNLOADS = [
    ("http://127.0.0.1:{other}/x.zip?sig=1", False),
    ("http://localhost:{port}/x.zip", False),
    ("http://127.0.0.1:{port}/x.zip", True),
]


@pytest.mark.parametrize(("url", "with_key"), DOWNLOADS)
def test_download_takes_the_key_only_to_the_api_s_own_origin(client_of, url, with_key):
    with Scripted(OK) as storage, Scripted(OK) as server:
        transport = client_of(server.url)._transport
        transport.open(url.format(port=server.server_port, other=storage.server_port)).close()
    (seen,) = storage.seen + server.seen
    assert (seen.headers.get("X-Avala-Api-Key") == KEY) is with_key
    assert (KEY in str(seen.headers)) is with_key


@pytest.mark.parametrize(
    "url",
    [
        "ftp://s/x?sig=topsecret",
        "/x?sig=topsecret",
        "/x?opaque=topsecret",
        "x?opaque=topsecret",
        "",
        "http://storage.example/x?sig=topsecret",
        "https://u:topsecret@s/x",
        "http://127.0.0.1:1\\@s.example/?sig=topsecret",
        "https://[bad?sig=topsecret",
    ],
)
def test_download_address_that_may_not_be_asked_is_refused_without_its_query(client_of, url):
    with Scripted() as server, pytest.raises(AvalaProtocolError, match="download address") as error:
        client_of(server.url)._transport.open(url)
    assert "topsecret" not in str(error.value)
