"""What the page for whoever is on call shows, and how seldom it asks."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.plugins.on_call import AvalaOnCallPlugin
from airflow_provider_avala.plugins.overview import (
    FRESH_SECONDS,
    Overview,
    Overviews,
    connection_ids,
    read_overview,
)
from airflow_provider_avala.plugins.page import FINISHED_SHOWN, age, render
from tests.airflow_support import Connect, avala, connect, emulators, in_subprocess, metadata_database

__all__ = ["avala", "connect", "emulators"]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_connection_is_read_again_only_when_what_is_known_has_become_old() -> None:
    asked: list[str] = []
    clock = Clock()

    def read(conn_id: str) -> Overview:
        asked.append(conn_id)
        return Overview(conn_id, NOW)

    overviews = Overviews(read, clock)
    assert [each.conn_id for each in overviews.of(["b", "a"])] == ["b", "a"]
    clock.now += FRESH_SECONDS - 0.1
    overviews.of(["a", "b"])
    assert sorted(asked) == ["a", "b"]
    clock.now += 0.1
    overviews.of(["a"])
    assert sorted(asked) == ["a", "a", "b"]


def test_those_who_look_at_the_same_time_share_one_reading() -> None:
    asked: list[str] = []

    def read(conn_id: str) -> Overview:
        asked.append(conn_id)
        return Overview(conn_id, NOW)

    overviews = Overviews(read)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: overviews.of(["a"]), range(32)))
    assert asked == ["a"]


def test_a_connection_is_read_with_one_request(avala: Emulator) -> None:
    running = avala.add_export(status="processing")
    done = avala.add_export(status="exported")
    overview = read_overview("avala_default")
    assert overview.error == ""
    assert [export.id for export in overview.in_flight] == [running]
    assert [export.id for export in overview.finished] == [done]
    assert overview.limits.keys() == {"standard", "polls", "inference"}
    assert (overview.uploads, overview.max_uploads) == (0, 10)
    assert len(avala.requests) == 1


def test_a_refused_key_leaves_the_rest_readable(avala: Emulator, connect: Connect) -> None:
    connect(avala, password="avk_wrong")
    overview = read_overview("avala_default")
    assert "401" in overview.error
    assert "avk_wrong" not in overview.error
    assert overview.max_uploads == 10


def test_a_connection_that_cannot_be_used_says_why(avala: Emulator, connect: Connect) -> None:
    connect(avala, timeout=-1)
    assert "timeout" in read_overview("avala_default").error


def test_connections_of_the_environment_are_found(monkeypatch: pytest.MonkeyPatch, avala: Emulator) -> None:
    metadata_database()
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "http", "host": "example.com"}))
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", "{")
    assert connection_ids() == ["avala_default"]


def test_only_the_newest_of_the_finished_are_shown(avala: Emulator) -> None:
    for number in range(FINISHED_SHOWN + 5):
        avala.add_export(status="exported", name=f"export-{number}!")
    text = render([read_overview("avala_default")])
    assert text.count("export-") == FINISHED_SHOWN
    assert "In flight" not in text


def test_a_page_without_connections_says_so() -> None:
    assert "no connection" in render([])


def test_an_error_is_shown_as_text() -> None:
    text = render([Overview("mine", NOW, error="refused <script>")])
    assert "refused &lt;script&gt;" in text


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
        (-5, "0 s ago"),
    ],
)
def test_ages_are_rounded_down(ago: float, words: str) -> None:
    assert age(NOW - timedelta(seconds=ago), NOW) == words


def test_an_unknown_age_is_said_to_be_unknown() -> None:
    assert age(None, NOW) == "unknown"


def test_the_page_is_under_browse_and_served_beside_airflow() -> None:
    [view] = AvalaOnCallPlugin.external_views
    [served] = AvalaOnCallPlugin.fastapi_apps
    assert f"/{view['href']}" == f"{served['url_prefix']}/"


def test_what_every_component_imports_loads_no_server() -> None:
    program = """
import airflow.plugins_manager, airflow_provider_avala, json, sys
before = set(sys.modules)
import airflow_provider_avala.plugins.on_call
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    assert json.loads(in_subprocess(program)) == [
        "airflow_provider_avala.plugins",
        "airflow_provider_avala.plugins.on_call",
    ]
