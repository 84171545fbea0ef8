"""Where downloads lead: addresses that run out, redirects, and nothing signed in any message."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_avala.api.downloads import download, next_hop
from airflow_provider_avala.api.errors import (
    AvalaDownloadError,
    AvalaNotFoundError,
)
from tests.api.export_server import DATA, SIGNATURE, fetch, leftovers, serve
from tests.api.loopback import Clock, Server, get


@pytest.fixture
def target(tmp_path):
    return tmp_path / "export.bin"


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_an_address_that_ran_out_is_replaced_by_a_fresh_one(target, status):
    def respond(exchange, seen, number):
        if seen.path.endswith("/2"):
            serve()(exchange, seen, number)
        elif number == 1:
            serve(cuts=[400_000])(exchange, seen, number)
        else:
            exchange.reply(status, b"<Error>Request has expired</Error>")

    given = iter([1, 2])
    with Server(respond) as server:
        summary = fetch(server, target, get_url=lambda: f"{server.url}/{next(given)}")

    assert target.read_bytes() == DATA
    assert summary.resumed == 1
    assert [seen.path for seen in server.seen] == ["/1", "/1", "/2"]


def test_a_fresh_address_is_asked_for_once_in_a_stall(target):
    asked = []
    with Server(lambda exchange, seen, number: exchange.reply(403)) as server:

        def get_url():
            asked.append(1)
            return f"{server.url}/x?{SIGNATURE}"

        with pytest.raises(
            AvalaDownloadError, match=r"export\.bin could not be downloaded: the server answered 403"
        ):
            fetch(server, target, get_url=get_url)

    assert len(asked) == 2
    assert len(server.seen) == 2
    assert leftovers(target.parent) == []


def test_progress_earns_another_fresh_address(target):
    """Addresses that last for one answer each."""
    given = iter(range(100))
    used = set()

    def respond(exchange, seen, number):
        if seen.path in used:
            return exchange.reply(403)
        used.add(seen.path)
        serve(cuts=[100_000] * 1000)(exchange, seen, number)

    with Server(respond) as server:
        fetch(server, target, get_url=lambda: f"{server.url}/{next(given)}")

    assert target.read_bytes() == DATA
    assert len(used) == 9


def test_an_error_of_the_api_keeps_its_class(target):
    def gone():
        raise AvalaNotFoundError(404, method="GET", path="/exports/exp_1/")

    with pytest.raises(AvalaNotFoundError):
        download(get, gone, target, clock=Clock())

    assert leftovers(target.parent) == []


def test_redirects_are_followed_by_hand_with_the_range(target):
    def respond(exchange, seen, number):
        if seen.path == "/start":
            exchange.reply(302, Location="/middle")
        elif seen.path == "/middle":
            exchange.reply(307, Location=f"//{seen.headers['Host']}/end?{SIGNATURE}")
        else:
            serve(cuts=[0, 0, 5])(exchange, seen, number)

    with Server(respond) as server:
        fetch(server, target, path="/start")

    assert target.read_bytes() == DATA
    assert [seen.path.partition("?")[0] for seen in server.seen] == ["/start", "/middle", "/end"] * 2
    assert [seen.headers.get("Range") for seen in server.seen[3:]] == ["bytes=5-"] * 3


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("/again", "more than 5 redirects"),
        ("", "without saying where to"),
        ("ftp://host/file", "redirects to ftp://host/file, which is not https"),
        ("file:///etc/passwd", "which is not https"),
    ],
)
def test_redirects_that_lead_nowhere_are_errors(target, location, problem):
    with (
        Server(lambda exchange, seen, number: exchange.reply(302, Location=location)) as server,
        pytest.raises(AvalaDownloadError, match=problem),
    ):
        fetch(server, target)

    assert len(server.seen) <= 6


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://a/x", "https://b/y?q", "https://b/y?q"),
        ("https://a/x/y", "z", "https://a/x/z"),
        ("https://a/x", "http://a/x", None),
        ("https://a/x", "//b/y", "https://b/y"),
        ("http://127.0.0.1:1/x", "http://b/y", "http://b/y"),
        ("http://127.0.0.1:1/x", "https://b/y", "https://b/y"),
    ],
)
def test_a_redirect_never_leaves_encryption(url, location, target):
    if target is None:
        with pytest.raises(AvalaDownloadError, match="not https"):
            next_hop(url, location)
    else:
        assert next_hop(url, location) == target


def test_no_signed_address_is_logged_or_told(target, caplog):
    def respond(exchange, seen, number):
        if number == 1:
            return serve(cuts=[100])(exchange, seen, number)
        if number == 2:
            return exchange.reset()
        return exchange.reply([403, 503][number % 2])

    caplog.set_level(logging.DEBUG, logger="airflow_provider_avala")
    with Server(respond) as server, pytest.raises(AvalaDownloadError) as caught:
        fetch(server, target)

    assert caplog.messages
    assert "topsecret" not in caplog.text + str(caught.value)
    assert all("topsecret" not in path.read_text(errors="replace") for path in target.parent.iterdir())
