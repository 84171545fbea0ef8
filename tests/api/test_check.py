"""What the button "Test" of a connection says."""

import socket

import pytest

from airflow_provider_avala.api.check import check
from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.emulator import faults, running_emulator
from tests.api.conftest import KEY
from tests.api.scripted import Scripted, resets, says

QUICK = {"rate_limit_store": "memory", "rate_limits": "1000/1"}


def outcome(host, key=KEY, **extra):
    return check(Settings.parse(host=host, password=key, extra={**QUICK, **extra}))


@pytest.fixture(scope="module", params=["current", "legacy"])
def avala(request):
    with running_emulator(dialect=request.param, rate_limits=None) as emulator:
        yield emulator


def test_good_connection_makes_one_call(avala):
    avala.reset()
    assert outcome(avala.base_url, avala.api_key) == (
        True,
        f"Avala answers at {avala.base_url} and accepts the key.",
    )
    assert len(avala.requests) == 1
    assert avala.requests[0].method == "GET"


def test_wrong_key(avala):
    good, words = outcome(avala.base_url, "avk_wrong")
    assert not good
    assert "refuses the key" in words
    assert "Settings > Security" in words
    assert "avk_wrong" not in words


def test_wrong_path(avala):
    good, words = outcome(avala.base_url.replace("/api/v1", "/api/v9"), avala.api_key)
    assert not good
    assert "check the base URL" in words


def test_key_without_the_scope_is_still_a_good_key(avala):
    avala.scopes = {"exports.create"}
    good, words = outcome(avala.base_url, avala.api_key)
    avala.scopes = None
    assert good
    assert "may not list datasets" in words


@pytest.mark.parametrize(
    ("fault", "says_"),
    [
        (faults.status(500), "has a fault"),
        (faults.html(503), "has a fault"),
        (faults.status(429, headers={"Retry-After": "0"}), "rate limit is used up"),
        (faults.reset_before_commit(), "cannot be reached"),
        (faults.truncated(), "cannot be reached"),
        (faults.bad_json(), "is not Avala"),
        (faults.empty_body(), "is not Avala"),
        (faults.redirect("https://login.example/?next=topsecret"), "is not the base URL"),
        (faults.status(400, {"detail": "No."}), "No."),
    ],
)
def test_what_is_wrong_is_said_after_one_call(avala, fault, says_):
    avala.reset()
    avala.inject(fault)
    good, words = outcome(avala.base_url, avala.api_key)
    assert not good
    assert says_ in words
    assert "topsecret" not in words
    assert len(avala.requests) == 1


FOREIGN = {
    "a web page": says(200, b"<html>", Content_Type="text/html"),
    "another API": says(200, {"status": "ok"}),
    "nothing": says(204),
    "a page that forbids": says(403, b"<html><title>403 Forbidden</title>", Content_Type="text/html"),
    "a gateway that forbids": says(403, {"message": "Forbidden"}),
    "an empty refusal": says(403),
}


@pytest.mark.parametrize("answer", FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_avala_is_called_so(answer):
    with Scripted(answer) as server:
        good, words = outcome(server.url)
    assert not good
    assert "is not Avala" in words


def test_login_page_of_a_proxy_is_not_blamed_on_the_key_alone():
    with Scripted(says(401, b"<html><title>Sign in</title>")) as server:
        good, words = outcome(server.url)
    assert not good
    assert "refuses the key" in words
    assert "check the base URL and the proxy" in words


def test_closed_port_cannot_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
    good, words = outcome(url)
    assert not good
    assert "cannot be reached" in words
    assert "Check the base URL" in words


def test_silent_server_is_given_up_after_the_time_out():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        good, words = outcome(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)
    assert not good
    assert "no answer within 0.2 s" in words


def test_one_call_and_no_retry_whatever_the_connection_says():
    with Scripted(resets, says(200, [])) as server:
        good, _ = outcome(server.url, max_retry_seconds=100)
        assert len(server.seen) == 1
    assert not good


def test_used_up_budget_is_not_taken_for_an_answer():
    with Scripted(says(200, []), says(200, [])) as server:
        assert outcome(server.url, rate_limits="1/60")[0]
        good, words = outcome(server.url, rate_limits="1/60")
        assert len(server.seen) == 1
    assert not good
    assert "Nothing was sent" in words


def test_missing_ca_bundle_is_said_in_words():
    good, words = outcome("https://127.0.0.1:1", verify="/no/such/ca.pem")
    assert not good
    assert "extra verify" in words
