"""Retries of uploads: they go on with what is missing, and tell when they cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_avala.api.errors import AvalaUploadError
from airflow_provider_avala.emulator import SEED_DATASET_ID, Emulator, faults
from airflow_provider_avala.operators.avala import AvalaUploadItemsOperator
from tests.airflow_support import Connect, StateStore, context, run_to_end

ROWS = [{"id": number} for number in range(10, 20)]
LINE = len(b'{"id":10}\n')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "items.jsonl"
    write(path, ROWS)
    return path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


class Task:
    """One task run, over its attempts."""

    def __init__(self, store: StateStore | None, **arguments: Any) -> None:
        defaults = {"dataset_id": SEED_DATASET_ID, "part_size": 2 * LINE, "concurrency": 1, "retries": 3}
        self.arguments = defaults | arguments
        self.store, self.tries, self.clears = store, 0, 0

    def attempt(self) -> Any:
        self.tries += 1
        found = context(store=self.store, max_tries=3 + 4 * self.clears)
        ti: SimpleNamespace = found["ti"]
        ti.try_number = self.tries
        return run_to_end(AvalaUploadItemsOperator(task_id="upload", **self.arguments), found)

    def clear(self) -> None:
        self.clears += 1


@pytest.fixture(params=["task state", "file"])
def store(request: pytest.FixtureRequest) -> StateStore | None:
    return StateStore() if request.param == "task state" else None


@pytest.fixture
def impatient(avala: Emulator, connect: Connect) -> Emulator:
    connect(avala, max_retry_seconds=0)
    return avala


def keys(avala: Emulator) -> list[str]:
    return [request.headers["idempotency-key"] for request in avala.requests_to("POST")]


@pytest.mark.parametrize("kind", ["source", "items"])
@pytest.mark.parametrize(
    ("fault", "unknown"),
    [(faults.status(429), 0), (faults.status(503), 1), (faults.reset_after_commit(), 1)],
    ids=["refused", "unknown", "stored"],
)
def test_a_retry_goes_on_with_what_is_missing(
    fault: faults.Fault, unknown: int, kind: str, file: Path, store: StateStore | None, impatient: Emulator
) -> None:
    task = Task(store, **{kind: file if kind == "source" else ROWS})
    impatient.inject(fault, method="POST", skip=2)
    with pytest.raises(AvalaUploadError, match="A retry of the task goes on"):
        task.attempt()
    found = task.attempt()

    assert impatient.items(SEED_DATASET_ID) == ROWS
    assert found["items"] == 10
    assert (found["parts"], found["resumed_parts"], found["unknown_parts"]) == (5, 2, unknown)
    assert found["bytes"] == 10 * LINE
    assert len(keys(impatient)) == 6
    assert keys(impatient)[2] == keys(impatient)[3]


def test_a_retry_after_the_end_sends_nothing_and_a_cleared_task_everything(
    file: Path, store: StateStore | None, avala: Emulator
) -> None:
    task = Task(store, source=file)
    task.attempt()
    again = task.attempt()
    assert (again["items"], again["resumed_parts"]) == (10, 5)
    assert len(keys(avala)) == 5
    task.clear()
    task.attempt()
    assert len(set(keys(avala))) == 10
    assert len(avala.items(SEED_DATASET_ID)) == 20


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: [{"id": 99}, *rows[1:]], id="the first part"),
        pytest.param(lambda rows: rows[:3], id="shorter"),
        pytest.param(lambda rows: [*rows[:5], {"id": 99}, *rows[6:]], id="the part of unknown outcome"),
    ],
)
def test_a_source_that_has_changed_is_not_gone_on_with(
    change: Any, file: Path, store: StateStore | None, impatient: Emulator
) -> None:
    task = Task(store, source=file)
    impatient.inject(faults.status(503), method="POST", skip=2)
    with pytest.raises(AvalaUploadError):
        task.attempt()
    write(file, change(ROWS))
    with pytest.raises(AirflowFailException, match=r"source has changed .* accepted 4 items in 2 parts"):
        task.attempt()
    assert len(keys(impatient)) == 3


def test_what_changed_behind_all_that_was_sent_does_no_harm(
    file: Path, store: StateStore | None, impatient: Emulator
) -> None:
    task = Task(store, source=file)
    impatient.inject(faults.status(429), method="POST", skip=2)
    with pytest.raises(AvalaUploadError):
        task.attempt()
    write(file, [*ROWS[:9], {"id": 99}])
    task.attempt()
    assert impatient.items(SEED_DATASET_ID) == [*ROWS[:9], {"id": 99}]


@pytest.mark.parametrize("mended", [b'{"id":17}', b'{"id":17,"was":"bad"}', b""])
def test_a_cleared_task_goes_on_behind_what_is_stored_once_a_bad_line_is_mended(
    mended: bytes, file: Path, store: StateStore | None, avala: Emulator
) -> None:
    task, good = Task(store, source=file, part_size=30), file.read_bytes()
    file.write_bytes(good.replace(b'{"id":17}', b'{"id":17'))
    with pytest.raises(AirflowFailException, match=r"line 8.*Once that is mended, clear the task"):
        task.attempt()
    assert avala.items(SEED_DATASET_ID) == ROWS[:6]
    file.write_bytes(good.replace(b'{"id":17}', mended))
    task.clear()
    found = task.attempt()

    assert avala.items(SEED_DATASET_ID) == [
        json.loads(line) for line in file.read_bytes().splitlines() if line
    ]
    assert (found["resumed_parts"], found["items"]) == (2, len(avala.items(SEED_DATASET_ID)))
    assert len(set(keys(avala))) == len(keys(avala))


def test_a_cleared_task_that_went_on_is_not_begun_anew_by_its_retry(
    file: Path, store: StateStore | None, impatient: Emulator
) -> None:
    task = Task(store, source=file)
    impatient.inject(faults.reset_after_commit(), method="POST", skip=2)
    with pytest.raises(AvalaUploadError):
        task.attempt()
    task.clear()
    task.attempt()
    assert keys(impatient)[2] == keys(impatient)[3], "so that Avala can tell that it has it"
    task.attempt()
    assert impatient.items(SEED_DATASET_ID) == ROWS
    task.clear()
    task.attempt()
    assert impatient.items(SEED_DATASET_ID) == ROWS + ROWS


def test_a_cleared_task_tells_what_is_stored_if_that_is_not_in_the_source_any_more(
    file: Path, store: StateStore | None, impatient: Emulator
) -> None:
    task = Task(store, source=file)
    impatient.inject(faults.status(429), method="POST", skip=2)
    with pytest.raises(AvalaUploadError):
        task.attempt()
    write(file, ROWS[1:])
    task.clear()
    with pytest.raises(
        AirflowFailException, match=r"accepted 4 items .* delete those items in Avala, and trigger a new run"
    ):
        task.attempt()
    write(file, ROWS)
    task.clear()
    task.attempt()
    assert impatient.items(SEED_DATASET_ID) == ROWS


def test_whoever_has_looked_can_have_the_lines_in_doubt_sent_again(
    file: Path, store: StateStore | None, impatient: Emulator
) -> None:
    task = Task(store, source=file, on_unknown="fail")
    impatient.inject(faults.reset_before_commit(), method="POST", skip=2)
    with pytest.raises(AirflowFailException):
        task.attempt()
    task.clear()
    with pytest.raises(AirflowFailException, match="set on_unknown='retry' and clear the task"):
        task.attempt()
    task.clear()
    task.arguments["on_unknown"] = "retry"
    task.attempt()
    assert impatient.items(SEED_DATASET_ID) == ROWS


def test_another_size_of_parts_is_told(file: Path, store: StateStore | None, impatient: Emulator) -> None:
    task = Task(store, source=file)
    impatient.inject(faults.status(429), method="POST", skip=2)
    with pytest.raises(AvalaUploadError):
        task.attempt()
    task.arguments["part_size"] = 3 * LINE
    with pytest.raises(AirflowFailException, match=r"the size of the parts has \(it was 20 bytes\)"):
        task.attempt()


def test_where_nothing_may_be_sent_twice_the_lines_are_named(
    file: Path, store: StateStore | None, impatient: Emulator
) -> None:
    task = Task(store, source=file, on_unknown="fail")
    impatient.inject(faults.reset_after_commit(), method="POST", skip=2)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=r"lines 5-6 of .* may or may not have been stored"):
            task.attempt()
    assert len(keys(impatient)) == 3


@pytest.fixture
def impatient_legacy(legacy: Emulator, connect: Connect) -> Iterator[Emulator]:
    connect(legacy, max_retry_seconds=0, dialect="legacy")
    settings = legacy.settings
    legacy.settings = replace(settings, honour_idempotency_key=False)
    yield legacy
    legacy.settings = settings


@pytest.mark.parametrize(
    "fault",
    [faults.reset_before_commit(), faults.reset_after_commit(), faults.status(500, after_commit=True)],
)
def test_a_server_that_ignores_the_key_is_asked_for_its_total(
    fault: faults.Fault, file: Path, impatient_legacy: Emulator
) -> None:
    task = Task(None, source=file, on_unknown="verify")
    for skip in (0, 2):
        impatient_legacy.inject(fault, method="POST", skip=skip)
    found = task.attempt()

    assert impatient_legacy.items(SEED_DATASET_ID) == ROWS
    assert (found["parts"], found["unknown_parts"]) == (5, 0)


def test_the_total_is_not_believed_where_somebody_else_writes(
    file: Path, impatient_legacy: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(None, source=file, on_unknown="verify")
    impatient_legacy.inject(faults.reset_before_commit(), method="POST", skip=1)
    append = impatient_legacy.store.append_rows
    monkeypatch.setattr(
        impatient_legacy.store, "append_rows", lambda dataset, rows: append(dataset, [*rows, b"{}"])
    )
    with pytest.raises(AvalaUploadError, match="somebody else writes to it"):
        task.attempt()


def test_the_total_cannot_be_asked_in_the_current_dialect(file: Path, avala: Emulator) -> None:
    with pytest.raises(AirflowFailException, match=r"on_unknown: 'verify' needs .* legacy dialect"):
        Task(None, source=file, on_unknown="verify").attempt()
    assert not avala.requests
