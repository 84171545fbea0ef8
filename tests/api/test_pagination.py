"""Walking through lists of all kinds, and never in a circle or off the premises."""

import itertools

import pytest

from airflow_provider_avala.api.errors import AvalaAuthenticationError, AvalaProtocolError
from airflow_provider_avala.emulator import running_emulator
from tests.api.conftest import KEY
from tests.api.scripted import Scripted, ScriptedV6, resets, says


def of(*names):
    return [{"uid": name} for name in names]


def uids(client, **options):
    return [item["uid"] for item in client.paginate("/things/", **options)]


def follows(make):
    """A page whose ``next`` is made of the server's own URL."""

    def step(exchange, seen):
        says(200, {"results": of("a"), "next": make(f"http://{seen.headers['Host']}")})(exchange, seen)

    return step


LAST = says(200, {"results": of("b"), "next": None})


@pytest.mark.parametrize("dialect", ["current", "legacy"])
def test_all_pages_of_the_emulator_are_walked(client_of, dialect):
    with running_emulator(dialect=dialect, rate_limits=None) as avala:
        ids = {avala.add_export(name=f"export {number}", status="exported") for number in range(7)}
        client = client_of(avala.base_url, avala.api_key, dialect=dialect)
        exports = list(client.list_exports(params={"limit": 3}))
    assert {export.id for export in exports} == ids
    assert len(exports) == 7
    assert len(avala.requests_to("GET", "/exports")) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda url: f"{url}/api/v1/things/?cursor=2",
        lambda url: f"{url}/api/v1/things/?page=2",
        lambda url: f"{url.upper()}/api/v1/things/?page=2",
        lambda url: "/api/v1/things/?page=2",
        lambda url: "?page=2",
        lambda url: f"{url.removeprefix('http:')}/api/v1/things/?page=2",
        lambda url: f"{url}/somewhere/else?page=2",
    ],
    ids=["cursor", "page", "upper case", "absolute path", "query", "without scheme", "other path"],
)
def test_next_is_followed_as_it_stands(client_of, make):
    with Scripted(follows(make), LAST) as server:
        assert uids(client_of(f"{server.url}/api/v1"), params={"status": "x"}) == ["a", "b"]
    assert server.calls[0] == "GET /api/v1/things/?limit=100&status=x"
    assert server.calls[1].endswith(("/things/?cursor=2", "/things/?page=2", "/somewhere/else?page=2"))
    assert all(seen.headers["X-Avala-Api-Key"] == KEY for seen in server.seen)


def test_default_port_spelled_out_is_the_same_origin(client_of):
    transport = client_of("https://api.avala.ai/api/v1")._transport
    assert transport._own_url("HTTPS://API.avala.ai:443/api/v1/x") == "HTTPS://API.avala.ai:443/api/v1/x"


def test_ipv6_loopback_is_a_base_url_like_any_other(client_of):
    with ScriptedV6(follows(lambda url: f"{url}/api/v1/things/?page=2"), LAST) as server:
        assert uids(client_of(f"{server.url}/api/v1")) == ["a", "b"]


FOREIGN = {
    "other port": "http://127.0.0.1:{other}/things/?page=2",
    "other name": "http://localhost:{port}/things/?page=2",
    "other scheme": "https://127.0.0.1:{port}/things/?page=2",
    "without scheme": "//127.0.0.1:{other}/things/?page=2",
    "user name that looks like us": "http://127.0.0.1:{port}@127.0.0.1:{other}/things/",
    "our host behind a backslash": "http://127.0.0.1:{other}\\@127.0.0.1:{port}/things/",
    "our host before a backslash": "http://127.0.0.1:{port}\\@127.0.0.1:{other}/things/",
    "glued to our host": "x:@127.0.0.1:{other}/things/",
    "line break": "http://127.0.0.1:{port}\n@127.0.0.1:{other}/",
    "credentials": "http://me:topsecret@127.0.0.1:{port}/things/?page=2",
    "another protocol": "ftp://127.0.0.1:{port}/things/",
    "script": "javascript:alert(1)",
    "file": "file:///etc/passwd",
    "no URL": "http://[bad",
    "no port": "http://127.0.0.1:x/",
}


@pytest.mark.parametrize("base", ["", "/api/v1"], ids=["bare base", "base with a path"])
@pytest.mark.parametrize("template", FOREIGN.values(), ids=FOREIGN)
def test_next_that_leads_elsewhere_gets_neither_key_nor_request(client_of, template, base):
    with Scripted(LAST) as elsewhere, Scripted() as server:
        port, other = server.server_port, elsewhere.server_port
        address = template.format(port=port, other=other) + "?opaque=topsecret#topsecret"
        server.steps = [says(200, {"results": of("a"), "next": address}), LAST]
        with pytest.raises(AvalaProtocolError) as error:
            uids(client_of(server.url + base))
    assert (len(server.seen), elsewhere.seen) == (1, [])
    assert KEY not in str(error.value)
    assert "topsecret" not in str(error.value)


ENDLESS = {
    "next is this page": itertools.repeat(follows(lambda url: f"{url}/things/?cursor=same")),
    "next is the first page": itertools.repeat(follows(lambda url: f"{url}/things/?limit=100")),
    "next is the first page, bare": itertools.repeat(follows(lambda url: f"{url}/things/")),
    "next goes round": itertools.cycle(
        [
            follows(lambda url: "?cursor=1&x=2"),
            follows(lambda url: "?cursor=2"),
            follows(lambda url: "?x=2&cursor=1"),
        ]
    ),
    "cursor repeats": itertools.repeat(says(200, {"items": of("a"), "has_more": True, "cursor": "c"})),
    "cursors go round": itertools.cycle(
        [says(200, {"items": of("a"), "has_more": True, "cursor": cursor}) for cursor in "abc"]
    ),
}


@pytest.mark.parametrize("steps", ENDLESS.values(), ids=ENDLESS)
def test_list_that_never_ends_is_an_error(client_of, steps):
    with Scripted(*itertools.islice(steps, 20)) as server:
        with pytest.raises(AvalaProtocolError, match="would never end"):
            uids(client_of(server.url))
        assert len(server.seen) < 7


def test_cursor_is_sent_with_the_same_filters(client_of):
    with Scripted(
        says(200, {"items": of("a"), "total": 2, "has_more": True, "cursor": "e+/="}),
        says(200, {"items": of("b"), "total": 2, "has_more": False, "cursor": "e+/="}),
    ) as server:
        assert uids(client_of(server.url, dialect="legacy"), params={"status": ["x", "y"]}) == ["a", "b"]
    assert server.calls == [
        "GET /things?limit=100&status=x&status=y",
        "GET /things?limit=100&status=x&status=y&cursor=e%2B%2F%3D",
    ]


ENDINGS = {
    "empty last page": [{"results": of("a"), "next": "?page=2"}, {"results": [], "next": None}],
    "empty first page": [{"results": [], "next": None}],
    "empty page in between": [
        {"results": of("a"), "next": "?page=2"},
        {"results": [], "next": "?page=3"},
        {"results": of("b"), "next": None},
    ],
    "bare list": [of("a", "b")],
    "empty bare list": [[]],
    "legacy": [{"items": of("a"), "total": 1, "has_more": False}],
}


@pytest.mark.parametrize("payloads", ENDINGS.values(), ids=ENDINGS)
def test_list_ends_where_it_ends(client_of, payloads):
    with Scripted(*(says(200, payload) for payload in payloads)) as server:
        found = uids(client_of(server.url))
    expected = [p if isinstance(p, list) else p.get("results", p.get("items")) for p in payloads]
    assert found == [item["uid"] for items in expected for item in items]
    assert len(server.seen) == len(payloads)


@pytest.mark.parametrize(
    "answer",
    [
        says(200, {"detail": "x"}),
        says(200, {"results": "x"}),
        says(200, {}),
        says(200, 3),
        says(200),
        says(204),
        says(200, b"<html>"),
        says(200, {"results": ["x"]}),
        says(200, {"items": of("a"), "has_more": True}),
    ],
)
def test_answer_that_is_no_page_is_an_error_and_never_an_empty_list(client_of, answer):
    with Scripted(answer) as server, pytest.raises(AvalaProtocolError, match="GET /api/v1/things/"):
        uids(client_of(f"{server.url}/api/v1"))


def test_key_that_is_revoked_half_way_ends_the_walk(client_of):
    with Scripted(follows(lambda url: "?page=2"), says(401, {"detail": "Invalid API key."})) as server:
        walk = client_of(server.url).paginate("/things/")
        assert next(walk) == {"uid": "a"}
        with pytest.raises(AvalaAuthenticationError, match=r"GET /things/ failed: 401 .*Invalid API key"):
            next(walk)
    assert len(server.seen) == 2


def test_page_that_breaks_off_is_fetched_again_and_no_item_comes_twice(client_of):
    with Scripted(follows(lambda url: "?page=2"), resets, says(503), LAST) as server:
        assert uids(client_of(server.url)) == ["a", "b"]
    assert len(server.seen) == 4


def test_pages_are_fetched_only_as_they_are_needed(client_of):
    with Scripted(follows(lambda url: "?page=2"), LAST) as server:
        walk = client_of(server.url).paginate("/things/")
        assert server.seen == []
        next(walk)
        assert len(server.seen) == 1


def test_page_size_is_the_caller_s_if_given(client_of):
    with Scripted(LAST) as server:
        uids(client_of(server.url), params={"limit": 7})
    assert server.calls == ["GET /things/?limit=7"]
