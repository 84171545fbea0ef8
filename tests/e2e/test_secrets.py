"""Neither keys nor signed URLs stay in Airflow's database or in any file of AIRFLOW_HOME, come what may."""

from __future__ import annotations

import base64
import sqlite3
import urllib.parse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.local_airflow import AIRFLOW_2, LocalAirflow

from .leaks import places_of
from .runs import ASTRAY, WRONG_KEY, Quickstart, Run

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator


def test_no_key_is_kept_while_a_trigger_waits(quickstart: Quickstart, airflow: LocalAirflow) -> None:
    assert quickstart.key_then == []
    if airflow.flavour is not AIRFLOW_2:  # which encrypts the arguments of a trigger
        assert "trigger.kwargs" in quickstart.export_id_then


def test_no_key_is_kept(
    quickstart: Quickstart, failures: dict[str, Run], avala: Emulator, airflow: LocalAirflow
) -> None:
    assert places_of(airflow.home, [avala.api_key, WRONG_KEY]) == []


def test_no_signed_url_is_kept(
    quickstart: Quickstart, failures: dict[str, Run], avala: Emulator, airflow: LocalAirflow
) -> None:
    signatures = {r.query["Signature"] for r in avala.requests if r.origin == "storage"}
    assert len(signatures) >= 4  # of the quickstart, and of the broken downloads
    assert places_of(airflow.home, signatures | {ASTRAY, "Signature="}) == []


def test_the_search_would_find_them(
    quickstart: Quickstart, failures: dict[str, Run], airflow: LocalAirflow
) -> None:
    """The export's id is no secret and must turn up: as an XCom, in logs, in the raw database."""
    export_id = quickstart.requests[-1].path.split("/")[-1].removesuffix(".zip")
    places = places_of(airflow.home, [export_id])
    assert "xcom.value" in places
    assert any(place.startswith("airflow.db") for place in places)
    assert "rendered_task_instance_fields.rendered_fields" in places
    assert any(place.startswith("logs/") for place in places)


def test_the_search_sees_through_encodings(tmp_path: Path) -> None:
    home = tmp_path
    secret = "avk_a/b+c=secret"
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        database.execute("create table t (plain text, blob blob)")
        database.execute(
            "insert into t values (?, ?)", ("x" * 100_000, base64.b64encode(b"ab" + secret.encode()))
        )
        database.commit()
    (home / "logs").mkdir()
    (home / "logs" / "one.log").write_text(f"GET /?key={urllib.parse.quote(secret, safe='')}")
    (home / "logs" / "two.log").write_text("nothing here")
    assert places_of(home, [secret]) == ["airflow.db", "logs/one.log", "t.blob"]
