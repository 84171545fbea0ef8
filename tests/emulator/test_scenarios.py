"""Scenarios: the same misbehaviour in every run, at the start or while it runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import requests

from airflow_provider_avala.emulator import SEED_PROJECT_ID, running_emulator
from airflow_provider_avala.emulator.scenarios import SCENARIOS


def outcomes(client, method: str, path: str, count: int, **options) -> list[str]:
    """Return the status of each request, or the name of the error it ended with."""
    found = []
    for _ in range(count):
        try:
            found.append(str(client.request(method, path, **options).status_code))
        except requests.RequestException as error:
            found.append(type(error).__name__)
    return found


def test_slow_exports_take_their_time_and_few_run_at_once(start, clock):
    avala, client = start(scenario="slow-exports", clock=clock)
    created = [client.post("/exports/", json={"project": SEED_PROJECT_ID}) for _ in range(3)]
    assert [reply.status_code for reply in created] == [201, 201, 429]
    uid = created[0].json()["uid"]
    avala.advance(119)
    assert client.get(f"/exports/{uid}/").json()["status"] == "processing"
    avala.advance(1)
    assert client.get(f"/exports/{uid}/").json()["status"] == "exported"


def test_flaky_loses_the_same_answers_in_every_run(start):
    runs = []
    for _ in range(2):
        _, client = start(scenario="flaky")
        runs.append(outcomes(client, "GET", "/datasets/", 24))
    assert runs[0] == runs[1]
    assert {"200", "503", "502", "ConnectionError", "ChunkedEncodingError"} <= set(runs[0])
    assert 6 <= 24 - runs[0].count("200") <= 10
    assert all("200" in runs[0][index : index + 4] for index in range(20)), "four in a row are never lost"


def test_flaky_refuses_posts_before_they_take_effect(start):
    avala, client = start(scenario="flaky", export_seconds=0)
    found = outcomes(client, "POST", "/exports/", 8, json={"project": SEED_PROJECT_ID})
    assert found == ["429", "201", "201", "201"] * 2
    assert len(avala.exports) == found.count("201")


def test_throttled_answers_every_third_request_with_429_and_lets_one_export_run(start):
    _, client = start(scenario="throttled")
    assert outcomes(client, "GET", "/exports/", 7) == ["200", "200", "429"] * 2 + ["200"]
    assert outcomes(client, "POST", "/exports/", 3, json={"project": SEED_PROJECT_ID}) == [
        "201",
        "429",
        "429",
    ]
    replies = [client.get("/exports/") for _ in range(3)]
    [refused] = [reply for reply in replies if reply.status_code == 429]
    assert refused.headers["Retry-After"] == "1"


def test_an_outage_lasts_until_the_faults_are_cleared(start):
    avala, client = start(scenario="outage")
    assert outcomes(client, "GET", "/users/me/", 3) == ["503"] * 3
    assert outcomes(client, "GET", avala.storage_url + "/exports/x.zip", 1) == ["503"]
    avala.clear_faults()
    assert outcomes(client, "GET", "/users/me/", 3) == ["200"] * 3


def test_what_is_given_goes_before_the_scenario():
    with running_emulator(scenario="slow-exports", export_seconds=0.5) as avala:
        assert avala.export_seconds == 0.5
        assert avala.settings.max_exports == 2


def test_an_unknown_scenario_names_those_there_are():
    with (
        pytest.raises(ValueError, match="scenario='slow': say one of slow-exports, flaky"),
        running_emulator(scenario="slow"),
    ):
        pass


def test_the_help_shows_each_scenario():
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_avala.emulator", "--help"], capture_output=True, text=True
    )
    text = " ".join(done.stdout.split())
    assert done.returncode == 0
    for name, scenario in SCENARIOS.items():
        assert f"{name} {scenario.summary}" in text


def test_the_control_endpoint_switches_scenarios_and_settings(start, clock):
    avala, client = start(clock=clock)
    address = avala.base_url.replace("/api/v1", "/__emulator__")

    def ask(**changes) -> requests.Response:
        return requests.post(address + "/state", json=changes, timeout=10)

    assert ask(scenario="outage").status_code == 200
    assert outcomes(client, "GET", "/users/me/", 2) == ["503"] * 2
    assert requests.delete(address + "/faults", timeout=10).status_code == 204
    assert outcomes(client, "GET", "/users/me/", 1) == ["200"]
    assert ask(scenario="slow-exports").json()["export_seconds"] == 120
    assert ask(settings={"rate_limits": "1/60", "page_limit": 7}).status_code == 200
    assert outcomes(client, "GET", "/users/me/", 2) == ["200", "429"]
    assert avala.settings.page_limit == 7


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scenario": "none"}, "scenario='none': say one of"),
        (
            {"settings": {"api_key": "x"}},
            "api_key: not a setting that can be changed; there are auto_label_seconds, dataset_seconds",
        ),
        ({"settings": {"page_limit": "7"}}, "page_limit='7': must be int"),
        ({"settings": {"page_limit": True}}, "page_limit=True: must be int"),
        ({"settings": {"export_seconds": -1}}, "export_seconds=-1: must not be negative"),
        ({"settings": {"download": "ftp"}}, "download='ftp': say 'storage'"),
        ({"settings": {"rate_limits": "many"}}, "rate limit 'many'"),
        ({"settings": {"page_limit": 3, "max_exports": "a"}}, "max_exports='a': must be int"),
        ({"advance": "soon"}, "could not convert string to float"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(start, changes, problem):
    avala, _ = start()
    before = avala.settings
    address = avala.base_url.replace("/api/v1", "/__emulator__/state")
    reply = requests.post(address, json=changes, timeout=10)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(problem)
    assert avala.settings == before
