"""An event for each export that has finished, whoever started it."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, Emulator
from airflow_provider_avala.triggers.avala import AvalaExportEventTrigger
from tests.airflow_support import CONN_ID, stored_and_loaded
from tests.triggers.event_support import Watch, trigger, watching
from tests.triggers.hub_support import until

# Arguments


FILLED = {
    "avala_conn_id": "avala_other",
    "project_id": "a project",
    "dataset_id": "a dataset",
    "name_pattern": "nightly-*",
    "include_failed": True,
    "poll_interval": 12.5,
}


@pytest.mark.parametrize("arguments", [{}, FILLED])
def test_it_survives_airflows_table_row(arguments: dict[str, Any]) -> None:
    before = AvalaExportEventTrigger(**arguments)
    after = stored_and_loaded(before)
    assert type(after) is AvalaExportEventTrigger
    classpath, kept = after.serialize()
    assert classpath == "airflow_provider_avala.triggers.avala.AvalaExportEventTrigger"
    assert json.loads(json.dumps(kept)) == before.serialize()[1]
    assert kept.items() >= arguments.items()
    assert kept.keys() == inspect.signature(AvalaExportEventTrigger).parameters.keys()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("avala_conn_id", ""),
        ("avala_conn_id", None),
        ("project_id", ""),
        ("project_id", ["a"]),
        ("dataset_id", " "),
        ("name_pattern", 5),
        ("include_failed", "no"),
        ("poll_interval", 0),
        ("poll_interval", "60"),
        ("poll_interval", float("inf")),
    ],
)
def test_a_bad_argument_is_named(field: str, value: Any) -> None:
    with pytest.raises(AvalaConfigurationError, match=f"^{field}: "):
        AvalaExportEventTrigger(**{field: value})


# What fires


def test_it_fires_once_for_each_export_that_finishes_from_now_on(avala: Emulator) -> None:
    async def watch() -> None:
        avala.add_export(status="exported")
        early = avala.add_export(status="processing")
        found = await Watch(trigger(), avala).begun()
        late = avala.add_export(status="processing")
        await found.looked()
        assert found.ids == []
        avala.finish_export(late)
        await until(lambda: found.ids == [late])
        avala.finish_export(early)
        between = avala.add_export(status="exported")  # began and finished between two looks
        await until(lambda: len(found.ids) == 3)
        await found.looked()
        assert sorted(found.ids[1:]) == sorted([early, between])

    watching(watch)


def test_the_payload_is_the_export_without_any_url(avala: Emulator) -> None:
    async def watch() -> None:
        found = await Watch(trigger(), avala).begun()
        export_id = avala.add_export(status="exported", name="nightly", projects=[SEED_PROJECT_ID])
        await until(lambda: found.events)
        [payload] = found.events
        assert (
            payload.items()
            >= {
                "id": export_id,
                "name": "nightly",
                "status": "exported",
                "state": "succeeded",
                "projects": [SEED_PROJECT_ID],
                "deduplication_key": f"{CONN_ID}/{export_id}/succeeded",
            }.items()
        )
        assert "http" not in json.dumps(payload)

    watching(watch)


@pytest.mark.parametrize("include_failed", [False, True])
def test_a_failed_export_fires_only_if_that_is_wanted(include_failed: bool, avala: Emulator) -> None:
    async def watch() -> None:
        found = await Watch(trigger(include_failed=include_failed), avala).begun()
        failed, good = avala.add_export(status="processing"), avala.add_export(status="processing")
        avala.fail_export(failed)
        await found.looked()
        avala.finish_export(good)
        await until(lambda: good in found.ids)
        assert found.ids == ([failed, good] if include_failed else [good])

    watching(watch)


@pytest.mark.parametrize(
    "filters",
    [
        {"project_id": SEED_PROJECT_ID},
        {"dataset_id": SEED_DATASET_ID},
        {"name_pattern": "nightly-*"},
        {"project_id": SEED_PROJECT_ID, "name_pattern": "*-7"},
    ],
)
def test_it_fires_only_for_what_passes_all_filters(filters: dict[str, str], avala: Emulator) -> None:
    async def watch() -> None:
        found = await Watch(trigger(**filters), avala).begun()
        avala.add_export(status="exported", name="weekly", projects=["other"], datasets=["other"])
        wanted = avala.add_export(
            status="exported", name="nightly-7", projects=[SEED_PROJECT_ID], datasets=[SEED_DATASET_ID]
        )
        avala.add_export(status="exported", name="Nightly-8", projects=["other"], datasets=["other"])
        await until(lambda: found.events)
        await found.looked()
        assert found.ids == [wanted]

    watching(watch)


def test_it_works_in_the_legacy_dialect(legacy: Emulator) -> None:
    async def watch() -> None:
        found = await Watch(trigger(), legacy).begun()
        export_id = legacy.add_export(status="completed")
        await until(lambda: found.ids == [export_id])

    watching(watch)


def test_an_export_that_runs_far_below_in_the_list_fires(avala: Emulator) -> None:
    async def watch() -> None:
        slow = avala.add_export(status="processing")
        found = await Watch(trigger(), avala).begun()
        avala.advance(3600)
        quick = [avala.add_export(status="exported") for _ in range(150)]
        await until(lambda: len(found.ids) == 150)
        assert found.ids == quick  # oldest first
        avala.advance(3600)
        avala.add_export(status="exported")
        await until(lambda: len(found.ids) == 151)
        avala.finish_export(slow)
        await until(lambda: found.ids[151:] == [slow])

    watching(watch)
