"""One task run makes one dataset, however often it is retried or cleared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_avala.api.errors import AvalaError, AvalaTimeoutError
from airflow_provider_avala.api.presigned import AvalaStorageError
from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.operators.task_run import TaskRun
from tests.airflow_support import StateStore, context

from .dataset_runs import BYTES, FINALIZE, arrived, batches, made, operator, run, waiting

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
def test_no_retry_takes_the_dataset_of_the_files_before(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    first = run(operator(folder), store=store)
    (folder / "one-more.jpg").write_bytes(b"more")
    ready.inject(faults.status(503), path="/datasets/", method="GET", times=50)
    with pytest.raises(AvalaError):
        run(operator(folder), store=store, **CLEARED)
    ready.clear_faults()
    with pytest.raises(AirflowFailException, match=f"dataset {first} has them already"):
        run(operator(folder), store=store, tries=3, max_tries=4)


@stores
def test_a_task_that_is_cleared_again_with_the_files_as_they_were_finds_its_dataset(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    first = run(operator(folder), store=store)
    (folder / "one-more.jpg").write_bytes(b"more")
    with pytest.raises(AirflowFailException, match="was made of other files"):
        run(operator(folder), store=store, **CLEARED)
    (folder / "one-more.jpg").unlink()
    assert run(operator(folder), store=store, tries=3, max_tries=5) == first


def test_a_dataset_found_by_a_retry_on_another_host_is_that_of_its_files_when_the_task_is_cleared(
    folder: Path, ready: Emulator, tmp_path: Path, monkeypatch
) -> None:
    first = run(operator(folder))
    monkeypatch.setenv("AIRFLOW__AVALA__STATE_DIR", str(tmp_path / "another host"))
    assert run(operator(folder), tries=2) == first
    assert run(operator(folder), tries=3, max_tries=5) == first
    (folder / "one-more.jpg").write_bytes(b"more")
    with pytest.raises(AirflowFailException, match="was made of other files"):
        run(operator(folder), tries=4, max_tries=6)


@stores
def test_a_cleared_task_whose_files_have_changed_makes_another_dataset_once_the_old_one_is_renamed(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    first = run(operator(folder), store=store)
    with ready.store.lock:
        ready.store.tables["datasets"][first] |= {"name": "Old cars", "slug": "old-cars"}
    (folder / "one-more.jpg").write_bytes(b"more")
    assert [run(operator(folder), store=store, **CLEARED)] == made(ready)
    assert first not in made(ready)


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


@stores
def test_a_retry_whose_dataset_is_gone_makes_it_again_and_sends_its_files_again(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    run(operator(folder), store=store)
    ready.reset()
    assert [run(operator(folder), store=store, tries=2)] == made(ready)
    assert len(ready.files) == 4


@stores
def test_a_retry_finds_by_its_name_a_dataset_that_is_not_seen_by_its_id(
    with_store: bool, folder: Path, ready: Emulator
) -> None:
    store = StateStore() if with_store else None
    first = run(operator(folder), store=store)
    ready.clear_requests()
    ready.inject(faults.status(404), path=f"/datasets/{first}", method="GET")
    assert run(operator(folder), store=store, tries=2) == first
    assert ready.requests_to("POST") == []
