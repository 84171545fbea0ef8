"""What the emulator's scenarios cost a user of the hook: time, and nothing else."""

from __future__ import annotations

import pytest

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, running_emulator
from airflow_provider_avala.emulator.connection import connection_of
from airflow_provider_avala.hooks.avala import AvalaHook


@pytest.mark.parametrize("scenario", ["flaky", "throttled", "slow-exports"])
def test_the_round_trip_is_whole_and_nothing_is_doubled(scenario, monkeypatch, tmp_path):
    with running_emulator(scenario=scenario, export_seconds=0) as avala:
        monkeypatch.setenv("AIRFLOW_CONN_AVALA_DEFAULT", connection_of(avala))
        hook, rows = AvalaHook(), [{"key": f"{number}.jpg"} for number in range(5)]
        assert hook.upload_items(SEED_DATASET_ID, items=rows).items == 5
        export = hook.create_export(project_id=SEED_PROJECT_ID, name="nightly")
        hook.download_export(export.id, tmp_path / "items.zip")
        assert [row["uid"] for row in hook.paginate("/datasets/")] == [SEED_DATASET_ID]
        assert avala.items(SEED_DATASET_ID) == rows
        assert [row["uid"] for row in avala.exports] == [export.id]
        went_wrong = [request for request in avala.requests if request.fault]
        assert bool(went_wrong) == (scenario != "slow-exports")
