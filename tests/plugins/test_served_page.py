"""The page on a real API server of Airflow, with users who may see it and one who may not."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_avala.emulator import Emulator, running_emulator
from scripts.local_airflow import LocalAirflow
from scripts.processes import ChildProcess, LocalError, wait_until
from tests.installed import variables

SECRET_KEY = "avk_the_key_that_nobody_sees"
WRONG_KEY = "avk_a_wrong_key"
USERS = {"olga": "op", "vera": "viewer"}


@dataclass
class Site:
    """An API server, and who is logged in where."""

    airflow: LocalAirflow
    avala: Emulator

    def get(self, path: str = "/avala/", user: str = "") -> tuple[int, str]:
        """Ask as the browser does, with the session's cookie."""
        request = urllib.request.Request(self.airflow.url + path)
        if user:
            request.add_header("Cookie", f"_token={self.token(user)}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def token(self, user: str) -> str:
        request = urllib.request.Request(f"{self.airflow.url}/auth/token")
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps({"username": user, "password": user}).encode()
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["access_token"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("home")
    (home / "passwords.json").write_text(json.dumps({user: user for user in USERS}))
    with running_emulator(api_key=SECRET_KEY, export_seconds=3600) as avala:
        connection = {"conn_type": "avala", "host": avala.base_url}
        env = variables() | {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{role}" for u, role in USERS.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__AVALA__STATE_DIR": str(tmp_path_factory.mktemp("state")),
            "AIRFLOW_CONN_FROM_ENVIRONMENT": json.dumps(connection | {"password": WRONG_KEY}),
            "AIRFLOW_CONN_ELSEWHERE": "http://example.com",
        }
        airflow = LocalAirflow(home, dags_folder=Path(home), env=env)
        stored = json.dumps(connection | {"password": SECRET_KEY})
        airflow.flavour = type(airflow.flavour)(
            **{
                **vars(airflow.flavour),
                "setup": (
                    *airflow.flavour.setup,
                    ("connections", "add", "in_database", "--conn-json", stored),
                ),
            }
        )
        airflow.prepare()
        arguments = [part.format(port=airflow.port) for part in airflow.flavour.components["api-server"]]
        log = home / "api-server.log"
        server = ChildProcess("the API server", airflow.command(*arguments), env=airflow.env, log=log)
        found = Site(airflow, avala)

        def answers() -> bool:
            try:
                return found.get("/api/v2/version")[0] == 200
            except (OSError, LocalError):
                return False

        try:
            wait_until(answers, 180, "the API server", children=[server])
            yield found
        finally:
            server.stop()


@pytest.fixture(scope="module")
def page(site: Site) -> str:
    running = site.avala.add_export(status="processing", name="nightly <b>")
    site.avala.add_export(status="exported", name="yesterday")
    site.avala.add_export(status="failed", name="broken")
    before = len(site.avala.requests)
    status, text = site.get(user="olga")
    assert status == 200
    assert running in text
    assert len(site.avala.requests) - before == 2, "one request for each connection"
    return text


def test_nobody_sees_it_without_a_login(site: Site) -> None:
    assert site.get()[0] == 401


def test_who_may_not_see_connections_may_not_see_it(site: Site) -> None:
    assert site.get(user="vera")[0] == 403


def test_it_shows_exports_budget_and_uploads_of_each_connection(page: str) -> None:
    for text in (
        "in_database",
        "from_environment",
        "yesterday",
        "broken",
        "<b>0</b> of 10",
        "Exports in flight: <b>1</b>",
    ):
        assert text in page
    assert "of 100 requests in 60 s" in page
    assert "elsewhere" not in page


def test_a_connection_that_fails_says_why(page: str) -> None:
    assert "401" in page
    assert 'role="alert"' in page


def test_names_are_no_markup(page: str) -> None:
    assert "nightly &lt;b&gt;" in page


def test_it_shows_no_key_and_no_signed_url(page: str) -> None:
    assert not [
        secret for secret in (SECRET_KEY, WRONG_KEY, "Signature", "http://", "https://") if secret in page
    ]


def test_loading_it_again_costs_the_key_nothing(site: Site, page: str) -> None:
    before = len(site.avala.requests)
    assert [site.get(user="olga")[0] for _ in range(3)] == [200] * 3
    assert len(site.avala.requests) - before <= 2, (
        "at most one more for each connection, should it have become old"
    )


def test_the_user_interface_links_to_it(site: Site) -> None:
    status, text = site.get("/api/v2/plugins", user="olga")
    assert status == 200
    [view] = [
        view
        for plugin in json.loads(text)["plugins"]
        for view in plugin["external_views"]
        if plugin["name"] == "avala_on_call"
    ]
    assert (view["destination"], view["url_route"], view["href"]) == ("nav", "avala", "avala/")
