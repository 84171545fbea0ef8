"""Every snippet of the README does what the README says."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, running_emulator
from airflow_provider_avala.get_provider_info import get_provider_info
from airflow_provider_avala.hooks.avala import AvalaHook
from scripts.local_airflow import LocalAirflow

README = (Path(__file__).parents[1] / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHELL = "\n".join(re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
WATCHERS = [code for code in PYTHON if "AssetWatcher" in code]
IN_A_DAG = [code for code in PYTHON if "running_emulator" not in code and code not in WATCHERS]

DAG_FILE = """\
import pendulum
from airflow.providers.common.compat.sdk import DAG

with DAG("readme", start_date=pendulum.datetime(2026, 1, 1), schedule=None, catchup=False) as dag:
{snippets}
upload >> export >> ready >> download >> datasets
"""


def test_the_snippets_run_as_one_dag(tmp_path: Path) -> None:
    dags, exports = tmp_path / "dags", tmp_path / "exports"
    dags.mkdir()
    (tmp_path / "items.jsonl").write_text("".join(json.dumps({"name": f"{n}.jpg"}) + "\n" for n in range(7)))
    code = DAG_FILE.format(snippets=textwrap.indent("\n".join(IN_A_DAG), "    "))
    for theirs, ours in {
        "my-dataset": SEED_DATASET_ID,
        "my-project": SEED_PROJECT_ID,
        "/data/items.jsonl": str(tmp_path / "items.jsonl"),
        "/data/exports/": f"{exports}/",
        "poke_interval=30": "poke_interval=1",
    }.items():
        assert theirs in code
        code = code.replace(theirs, ours)
    (dags / "readme.py").write_text(code)

    with running_emulator(export_seconds=0.5) as avala:
        connection = {"conn_type": "avala", "host": avala.base_url, "password": avala.api_key}
        airflow = LocalAirflow(
            tmp_path / "home", dags_folder=dags, env={"AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(connection)}
        )
        airflow.prepare()
        done = subprocess.run(
            airflow.command("dags", "test", "readme"), env=airflow.env, capture_output=True, text=True
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        assert len(avala.items(SEED_DATASET_ID)) == 7 + 1, output
        [export] = avala.exports
        assert (exports / f"{export['uid']}.zip").stat().st_size > 0, output
        assert avala.requests_to("GET", "/users/me"), output
        assert avala.requests_to("GET", "/datasets"), output


if find_spec("airflow.sdk"):  # Airflow 2 has no watchers

    @pytest.mark.parametrize("code", WATCHERS)
    def test_the_watchers_make_a_dag(code: str, tmp_path: Path) -> None:
        file = tmp_path / "watcher.py"
        file.write_text(code)
        assert [*runpy.run_path(str(file))["watcher"].trigger.serialize()[1].values()].count("nightly-*") == 1


@pytest.mark.parametrize("code", [code for code in PYTHON if "running_emulator" in code])
def test_the_offline_snippet_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("value", re.findall(r"AIRFLOW_CONN_AVALA_DEFAULT='(.*)'", SHELL))
def test_the_connection_snippets_are_accepted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_README", value)
    settings = AvalaHook("readme").settings
    assert settings.base_url == "https://api.avala.ai/api/v1"
    assert settings.api_key == "avk_..."
    assert settings.timeout == (60 if "timeout" in value else 30)


def test_both_ways_to_give_a_connection_in_the_environment_are_shown() -> None:
    assert SHELL.count("AIRFLOW_CONN_AVALA_DEFAULT='") == 2


def test_the_table_of_extras_is_the_forms_own() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    [connection] = get_provider_info()["connection-types"]
    assert listed == list(connection["conn-fields"])
