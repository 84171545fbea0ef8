"""One task run makes one dataset of its files, whatever gets lost on the way, and returns its uid in every mode."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaError, AvalaTimeoutError
from airflow_provider_avala.api.health import AvalaUnhealthyDatasetError
from airflow_provider_avala.api.presigned import AvalaStorageError
from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID, Emulator, faults
from airflow_provider_avala.operators.avala import AvalaCreateDatasetOperator
from airflow_provider_avala.operators.task_run import TaskRun
from airflow_provider_avala.triggers.avala import AvalaDatasetTrigger
from tests.airflow_support import Connect, StateStore, context, run_to_end

BYTES, FINALIZE = re.compile("^/uploads"), re.compile("^/datasets/manual-upload/?$")
WAITS = {
    "not": {"wait_for_completion": False},
    "on the worker": {"deferrable": False},
    "in the triggerer": {"deferrable": True},
}
WAITING = {name: arguments for name, arguments in WAITS.items() if "deferrable" in arguments}
waiting = pytest.mark.parametrize("arguments", WAITING.values(), ids=WAITING)
in_every_mode = pytest.mark.parametrize("arguments", WAITS.values(), ids=WAITS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in ("1.jpg", "2.png", "a/3.jpg", "a/b/4.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 100)
    return root


@pytest.fixture
def ready(avala: Emulator) -> Emulator:
    """An emulator whose datasets are ready at once."""
    avala.dataset_seconds = 0.0
    avala.upload_options.mode = "put"
    return avala


def operator(folder: Path, **arguments: Any) -> AvalaCreateDatasetOperator:
    defaults = {
        "task_id": "dataset",
        "name": "Cars",
        "slug": "cars",
        "data_type": "image",
        "source": str(folder),
        "poll_interval": 0.02,
        "timeout": 30,
        "retries": 3,
        "concurrency": 1,
    }
    return AvalaCreateDatasetOperator(**defaults | arguments)


def run(task: AvalaCreateDatasetOperator, *, tries: int = 1, max_tries: int = 3, **identity: Any) -> str:
    """One attempt of the task run with this identity."""
    attempt = context(task_id="dataset", max_tries=max_tries, **identity)
    attempt["ti"].try_number = tries
    found = run_to_end(task, attempt)
    assert isinstance(found, str)
    return found


def made(avala: Emulator) -> list[str]:
    return [dataset["id"] for dataset in avala.datasets if dataset["name"] == "Cars"]


def batches(avala: Emulator) -> set[str]:
    bodies = [request.json for request in avala.requests_to("POST", "/datasets/manual-upload/")]
    return {body["dataset_upload_uid"] for body in bodies if "dataset_upload_uid" in body}


def arrived(avala: Emulator) -> int:
    """How many files the storage took."""
    return sum(1 for request in avala.requests_to("PUT", origin="storage") if (request.status or 500) < 300)


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


# Exactly once

stores = pytest.mark.parametrize("with_store", [True, False], ids=["with task state", "without task state"])


@stores
@waiting
def test_a_retry_sends_no_file_again_and_makes_no_second_dataset(
    arguments: dict[str, Any], with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    ready.inject(faults.status(400), path=BYTES, origin="storage", skip=2)
    with pytest.raises(AvalaStorageError, match="2 of 4 files are stored"):
        run(operator(folder, **arguments), store=store)
    assert arrived(ready) == 2
    found = run(operator(folder, **arguments), store=store, tries=2)
    assert made(ready) == [found]
    assert arrived(ready) == 4
    assert len(batches(ready)) == 1


@stores
def test_a_retry_after_a_crash_finds_the_dataset(
    with_store: bool, folder: Path, ready: Emulator, monkeypatch
) -> None:
    store = StateStore() if with_store else None

    class KilledError(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_avala.api.models.Dataset.read", killed)
        with pytest.raises(KilledError):
            run(operator(folder), store=store)
    assert len(made(ready)) == 1
    ready.clear_requests()
    assert [run(operator(folder), store=store, tries=2)] == made(ready)
    assert ready.requests_to("POST") == []


@stores
def test_a_retry_does_not_take_a_dataset_that_its_run_has_not_made(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    other = ready.add_dataset("Cars", slug="cars")
    with ready.store.lock:
        ready.store.tables["datasets"][other]["created_at"] -= 7200
    with pytest.raises(AirflowFailException, match="has them already"):
        run(operator(folder), store=StateStore() if with_store else None, tries=2)
    assert ready.requests_to("POST") == []


CLEARED = {"tries": 2, "max_tries": 4}


@stores
@waiting
def test_a_cleared_task_whose_wait_failed_waits_on(
    arguments: dict[str, Any], with_store: bool, folder: Path, ready: Emulator
) -> None:
    ready.dataset_seconds = 1000
    store = StateStore() if with_store else None
    with pytest.raises((AvalaTimeoutError, AirflowException), match=r"was not finished|finished within"):
        run(operator(folder, timeout=0.2, **arguments), store=store)
    ready.advance(1000)
    ready.clear_requests()
    assert [run(operator(folder, **arguments), store=store, **CLEARED)] == made(ready)
    assert ready.requests_to("POST") == []


def test_a_task_that_is_cleared_twice_still_finds_its_dataset(folder: Path, ready: Emulator) -> None:
    store = StateStore()
    first = run(operator(folder), store=store)
    assert run(operator(folder), store=store, **CLEARED) == first
    assert run(operator(folder), store=store, tries=3, max_tries=5) == first
    assert made(ready) == [first]


@stores
def test_a_cleared_task_whose_files_have_changed_says_that_the_dataset_is_there(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    first = run(operator(folder), store=store)
    (folder / "one-more.jpg").write_bytes(b"more")
    with pytest.raises(AirflowFailException, match=f"dataset {first} has them already"):
        run(operator(folder), store=store, **CLEARED)
    assert made(ready) == [first]


@stores
def test_a_cleared_task_whose_dataset_is_gone_makes_it_again_by_a_batch_of_its_own(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    run(operator(folder), store=store)
    old = batches(ready)
    ready.reset()
    assert [run(operator(folder), store=store, **CLEARED)] == made(ready)
    assert len(ready.files) == 4
    assert old
    assert not batches(ready) & old


def test_a_cleared_task_of_another_name_has_a_batch_of_its_own(folder: Path, ready: Emulator) -> None:
    store = StateStore()
    first = run(operator(folder), store=store)
    old = batches(ready)
    ready.clear_requests()
    assert run(operator(folder, name="Cars 2", slug="cars-2"), store=store, **CLEARED) != first
    assert not batches(ready) & old


@stores
@pytest.mark.parametrize("mode", ["post", "put"])
@pytest.mark.parametrize(("tries", "max_tries"), [(2, 3), (2, 4)], ids=["a retry", "a cleared task"])
def test_what_is_stored_is_not_sent_again(
    tries: int, max_tries: int, mode: str, with_store: bool, folder: Path, ready: Emulator
) -> None:
    ready.upload_options.mode = mode
    store = StateStore() if with_store else None
    ready.inject(faults.status(400), path=BYTES, origin="storage", skip=2)
    with pytest.raises(AvalaStorageError, match="2 of 4 files are stored"):
        run(operator(folder), store=store)
    found = run(operator(folder), store=store, tries=tries, max_tries=max_tries)
    assert made(ready) == [found]
    sent = ready.requests_to("PUT", origin="storage") + ready.requests_to("POST", origin="storage")
    assert sum((request.status or 500) < 300 for request in sent) == 4
    assert len(batches(ready)) == 1


@stores
def test_a_cleared_task_finds_the_dataset_that_an_attempt_was_killed_over(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    ready.inject(faults.reset_after_commit(), path=FINALIZE, method="POST")
    ready.inject(faults.status(503), path="/datasets/", method="GET", skip=1, times=50)
    with pytest.raises(AvalaError):
        run(operator(folder), store=store)
    ready.clear_faults()
    assert [run(operator(folder), store=store, tries=2, max_tries=4)] == made(ready)


@stores
def test_files_of_another_name_are_stored_for_that_only(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    ready.inject(faults.status(400), path=BYTES, origin="storage", skip=2)
    with pytest.raises(AvalaStorageError):
        run(operator(folder), store=store)
    run(operator(folder, name="Vans", slug="vans"), store=store, tries=2)
    assert sum("/Vans/" in key for key in ready.files) == 4
    assert len(batches(ready)) == 2


@pytest.mark.parametrize(
    ("tries", "max_tries", "attempt"),
    [(1, 3, 1), (2, 3, 2), (4, 3, 4), (2, 4, 1), (3, 4, 2), (5, 7, 1), (6, 7, 2)],
)
def test_attempts_are_counted_from_the_last_clearing(tries: int, max_tries: int, attempt: int) -> None:
    one = context(max_tries=max_tries)
    one["ti"].try_number = tries
    assert TaskRun.of(one, 3).attempt == attempt


def test_a_dataset_that_is_gone_is_made_again(folder: Path, ready: Emulator) -> None:
    store = StateStore()
    run(operator(folder), store=store)
    ready.reset()
    assert [run(operator(folder), store=store, tries=2)] == made(ready)


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
