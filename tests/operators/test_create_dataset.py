"""Files become a dataset, whose uid is returned in every mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaError, AvalaTimeoutError
from airflow_provider_avala.api.health import AvalaUnhealthyDatasetError
from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID, Emulator, faults
from airflow_provider_avala.triggers.avala import AvalaDatasetTrigger
from tests.airflow_support import Connect, StateStore, context

from .dataset_runs import FINALIZE, in_every_mode, made, operator, run, waiting


@in_every_mode
@pytest.mark.parametrize("dialect", ["current", "legacy"])
def test_the_uid_is_returned_in_every_mode(
    arguments: dict[str, Any], dialect: str, folder: Path, emulators, connect: Connect
) -> None:
    avala = emulators(dialect)
    avala.reset()
    avala.dataset_seconds = 0.1
    connect(avala, dialect=dialect)
    assert [run(operator(folder, **arguments))] == made(avala)
    assert len(avala.files) == 4


@waiting
def test_it_waits_until_the_dataset_is_created(
    arguments: dict[str, Any], folder: Path, ready: Emulator
) -> None:
    ready.dataset_seconds = 0.3
    run(operator(folder, **arguments))
    assert (ready.datasets[-1]["status"], ready.datasets[-1]["item_count"]) == ("created", 4)


def test_it_defers_with_ids_only(folder: Path, ready: Emulator) -> None:
    ready.dataset_seconds = 1000
    with pytest.raises(TaskDeferred) as deferred:
        operator(folder, deferrable=True).execute(context())
    trigger = deferred.value.trigger
    assert isinstance(trigger, AvalaDatasetTrigger)
    assert [trigger.dataset_id] == made(ready)
    assert deferred.value.kwargs.keys() == {"dataset_id", "deadline", "files"}


@waiting
def test_a_dataset_that_does_not_get_ready_is_a_time_out_and_a_retry_goes_on_waiting(
    arguments: dict[str, Any], folder: Path, ready: Emulator
) -> None:
    ready.dataset_seconds = 1000
    store = StateStore()
    with pytest.raises((AvalaTimeoutError, AirflowException), match=r"was not finished|finished within"):
        run(operator(folder, timeout=0.2, **arguments), store=store)
    ready.advance(1000)
    ready.clear_requests()
    assert [run(operator(folder, **arguments), store=store, tries=2)] == made(ready)
    assert ready.requests_to("POST") == []


def test_what_was_asked_for_is_sent(folder: Path, ready: Emulator) -> None:
    options = {
        "visibility": "unlisted",
        "metadata": {"city": "Zürich"},
        "organization_uid": SEED_ORGANIZATION_ID,
        "create_metadata": False,
        "industry": 3,
        "license": 4,
    }
    run(operator(folder, **options))
    (request,) = [r for r in ready.requests_to("POST") if FINALIZE.search(r.path)]
    assert request.json.items() >= options.items()


def test_the_source_may_be_an_object_storage(folder: Path, ready: Emulator) -> None:
    run(operator(folder, source=[f"file://{folder}/a", f"file://{folder}/*.jpg"]))
    assert sorted(key.split("/Cars/")[1] for key in ready.files) == ["1.jpg", "3.jpg", "b/4.jpg"]
    assert {file.content for file in ready.files.values()} == {
        (folder / name).read_bytes() for name in ("1.jpg", "a/3.jpg", "a/b/4.jpg")
    }


# Health


@waiting
def test_a_healthy_dataset_passes(arguments: dict[str, Any], folder: Path, ready: Emulator) -> None:
    ready.dataset_seconds = 0.1
    assert [run(operator(folder, require_healthy=True, **arguments))] == made(ready)
    assert len(ready.requests_to("GET", "/datasets/emulator/cars/health")) == 1


@waiting
def test_files_that_became_no_items_are_an_error(
    arguments: dict[str, Any], folder: Path, ready: Emulator
) -> None:
    (folder / "notes.txt").write_text("x")
    with pytest.raises(AvalaUnhealthyDatasetError, match="5 files were sent, but it has 4 items"):
        run(operator(folder, require_healthy=True, **arguments))


@waiting
def test_an_issue_is_an_error_that_names_it_and_a_retry_looks_again(
    arguments: dict[str, Any], folder: Path, ready: Emulator
) -> None:
    store = StateStore()
    ready.dataset_seconds = 0.1
    found = run(operator(folder, **arguments), store=store)
    ready.add_health_issue(found, "1.jpg cannot be read")
    with pytest.raises(AvalaUnhealthyDatasetError, match=r"not healthy: 1\.jpg cannot be read"):
        run(operator(folder, require_healthy=True, **arguments), store=store, tries=2)
    ready.store.tables["datasets"][found]["_issues"].clear()
    assert run(operator(folder, require_healthy=True, **arguments), store=store, tries=3) == found


def test_the_number_of_files_is_known_after_a_deferral_that_forgot_it(folder: Path, ready: Emulator) -> None:
    """As in ``dag.test()``, which hands on the event and nothing else."""
    (folder / "notes.txt").write_text("x")
    store, task = StateStore(), operator(folder, deferrable=True, require_healthy=True)
    ready.dataset_seconds = 1000
    with pytest.raises(TaskDeferred):
        task.execute(context(store=store))
    ready.advance(1000)
    event = {"status": "finished", "dataset_id": made(ready)[0]}
    with pytest.raises(AvalaUnhealthyDatasetError, match="5 files were sent"):
        task.execute_complete(context(store=store), event)


def test_a_report_without_waiting_makes_no_sense(folder: Path) -> None:
    with pytest.raises(AvalaConfigurationError, match="require_healthy"):
        operator(folder, require_healthy=True, wait_for_completion=False)


# What others learn of it


def test_the_button_leads_to_the_dataset(folder: Path, ready: Emulator) -> None:
    pushed: dict[str, str] = {}
    one = context()
    one["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    operator(folder, wait_for_completion=False).execute(one)
    assert pushed == {"_link_AvalaLink": "https://avala.ai/@emulator/datasets/cars"}


def test_openlineage_is_told_what_was_made_of_what(folder: Path, ready: Emulator) -> None:
    task = operator(folder, wait_for_completion=False)
    found = task.execute(context())
    told = task.get_openlineage_facets_on_complete(None)
    assert told is not None
    assert [(one.namespace, one.name) for one in told.inputs] == [("file", str(folder))]
    assert [(one.namespace, one.name) for one in told.outputs] == [("avala://datasets", found)]


# Errors


@pytest.mark.parametrize(
    "wrong",
    [
        {"data_type": "images"},
        {"slug": "no slug"},
        {"source": "/nothing/here"},
        {"source": None},
        {"name": ""},
    ],
)
def test_bad_arguments_end_the_task_before_anything_is_sent(
    wrong: dict[str, Any], folder: Path, ready: Emulator
) -> None:
    with pytest.raises(AirflowFailException, match=next(iter(wrong))):
        run(operator(folder, **wrong))
    assert ready.requests == []


@pytest.mark.parametrize("code", [401, 403])
def test_errors_that_no_retry_can_mend_end_the_task(code: int, folder: Path, ready: Emulator) -> None:
    ready.inject(faults.status(code), path="/datasets/manual-upload/file-upload-url/", times=99)
    with pytest.raises(AirflowFailException, match=f"{code}"):
        run(operator(folder))


def test_errors_that_a_retry_may_mend_do_not(folder: Path, ready: Emulator) -> None:
    ready.inject(faults.status(503), path="/datasets/manual-upload/file-upload-url/", times=99)
    with pytest.raises(AvalaError):
        run(operator(folder))
    ready.clear_faults()
    assert [run(operator(folder), tries=2)] == made(ready)


@pytest.mark.parametrize("field", ["poll_interval", "timeout"])
def test_durations_are_checked_when_the_dag_is_read(field: str, folder: Path) -> None:
    with pytest.raises(AvalaConfigurationError, match=field):
        operator(folder, **{field: 0})
