"""One task run makes one export, whatever gets lost on the way, and the task returns its id in every mode."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_avala.api.errors import (
    AvalaError,
    AvalaExportFailedError,
    AvalaServerError,
    AvalaTimeoutError,
)
from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, SEED_SLICE_ID, Emulator, faults
from airflow_provider_avala.operators.avala import AvalaCreateExportOperator
from tests.airflow_support import Connect, StateStore, context, run_deferred, run_to_end

WAITS = {
    "not": {},
    "not, deferrable": {"deferrable": True},
    "on the worker": {"wait_for_completion": True, "deferrable": False},
    "in the triggerer": {"wait_for_completion": True, "deferrable": True},
}
WAITING = {name: arguments for name, arguments in WAITS.items() if "wait_for_completion" in arguments}
waiting = pytest.mark.parametrize("arguments", WAITING.values(), ids=WAITING)
in_every_mode = pytest.mark.parametrize("arguments", WAITS.values(), ids=WAITS)


def operator(**arguments: Any) -> AvalaCreateExportOperator:
    defaults = {"task_id": "export", "poll_interval": 0.02, "timeout": 30}
    if not {"payload", "dataset_id", "slice_id"} & arguments.keys():
        defaults["project_id"] = SEED_PROJECT_ID
    return AvalaCreateExportOperator(**defaults | arguments)


def run(task: AvalaCreateExportOperator | None = None, **identity: Any) -> str:
    """One attempt of the task run with this identity."""
    found = run_to_end(task or operator(), context(task_id="export", **identity))
    assert isinstance(found, str)
    return found


def ids(avala: Emulator) -> list[str]:
    return [export["id"] for export in avala.exports]


@pytest.mark.parametrize("dialect", ["current", "legacy"])
@in_every_mode
def test_the_id_is_returned_in_every_mode(
    arguments: dict[str, Any], dialect: str, emulators, connect: Connect
) -> None:
    avala = emulators(dialect)
    avala.reset()
    avala.export_seconds = 0.1
    connect(avala, dialect=dialect)
    assert [run(operator(**arguments))] == ids(avala)


def test_nothing_is_deferred_when_the_export_is_finished(avala: Emulator) -> None:
    first = operator().execute(context())
    assert operator(wait_for_completion=True, deferrable=True).execute(context()) == first


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"project_id": SEED_PROJECT_ID}, {"projects": [SEED_PROJECT_ID]}),
        ({"dataset_id": [SEED_DATASET_ID]}, {"datasets": [SEED_DATASET_ID]}),
        ({"slice_id": SEED_SLICE_ID, "export_format": "coco"}, {"slices": [SEED_SLICE_ID], "format": "coco"}),
    ],
)
def test_what_to_export_is_sent(arguments: dict[str, Any], sent: dict[str, Any], avala: Emulator) -> None:
    run(operator(**arguments, name="Street scenes"))
    body = json.loads(avala.requests_to("POST", "/exports/")[0].body)
    assert body.items() >= sent.items()
    assert body["name"].startswith("Street scenes-")


def test_a_payload_is_sent_as_it_is(avala: Emulator) -> None:
    payload = {"name": "mine", "format": "json", "projects": [SEED_PROJECT_ID], "filters": {"a": [1]}}
    run(operator(payload=payload))
    assert json.loads(avala.requests_to("POST", "/exports/")[0].body) == payload


# Exactly once


@in_every_mode
def test_a_retry_goes_on_with_the_export_of_its_run(arguments: dict[str, Any], avala: Emulator) -> None:
    first = run(operator(**arguments), max_tries=3)
    assert run(operator(**arguments), max_tries=3) == first
    assert ids(avala) == [first]
    assert len(avala.requests_to("POST", "/exports/")) == 1


def test_a_retry_after_a_time_out_waits_for_the_same_export(avala: Emulator) -> None:
    avala.export_seconds = 1000
    with pytest.raises(AvalaTimeoutError):
        run(operator(wait_for_completion=True, timeout=0.05))
    [export_id] = ids(avala)
    avala.finish_export(export_id)
    assert run(operator(wait_for_completion=True)) == export_id


@pytest.mark.parametrize(
    "other",
    [
        {"max_tries": 4},
        {"map_index": 0},
        {"map_index": 1},
        {"run_id": "manual__2"},
        {"dag_id": "other"},
    ],
    ids=["cleared", "mapped 0", "mapped 1", "another run", "another DAG"],
)
def test_another_task_run_has_an_export_of_its_own(other: dict[str, Any], avala: Emulator) -> None:
    first, second = (
        run(operator(retries=3), max_tries=3),
        run(operator(retries=3), **{"max_tries": 3} | other),
    )
    assert first != second
    assert run(operator(retries=3), **{"max_tries": 3} | other) == second
    assert ids(avala) == [first, second]


@waiting
def test_a_failed_export_is_not_taken_again(arguments: dict[str, Any], avala: Emulator) -> None:
    avala.export_seconds = 0.05
    avala.fail_next_export()
    with pytest.raises(AvalaExportFailedError) as raised:
        run(operator(**arguments))
    assert not isinstance(raised.value, AirflowFailException), "a retry shall create another one"
    failed = ids(avala)[0]
    second = run(operator(**arguments))
    assert ids(avala) == [failed, second]
    assert run(operator(**arguments)) == second


NAMED = {"payload": {"name": "x", "format": "json", "projects": [SEED_PROJECT_ID]}}


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        (faults.reset_after_commit(), {}),
        (faults.reset_after_commit(), NAMED),
        (faults.html(502, after_commit=True), {}),
        (faults.status(500, after_commit=True), NAMED),
        (faults.reset_before_commit(), {}),
        (faults.status(500), {}),
        (faults.truncated(), {}),
        (faults.bad_json(), {}),
    ],
    ids=lambda it: (
        f"{it.name} {'after' if it.after_commit else 'before'}" if isinstance(it, faults.Fault) else ""
    ),
)
def test_a_lost_answer_doubles_nothing(
    fault: faults.Fault, arguments: dict[str, Any], avala: Emulator
) -> None:
    avala.inject(fault, method="POST", path="/exports/")
    found = run(operator(**arguments))
    assert ids(avala) == [found]


def test_a_lost_answer_in_a_dialect_without_names_is_told(legacy: Emulator) -> None:
    legacy.inject(faults.reset_after_commit(), method="POST", path="/exports")
    with pytest.raises(AirflowFailException, match="Whether the export was created is unknown"):
        run()
    assert len(ids(legacy)) == 1


def test_a_retry_in_a_dialect_without_names_needs_the_state_store(legacy: Emulator) -> None:
    store = StateStore()
    first = run(store=store)
    assert run(store=store) == first
    assert run(store=store, max_tries=1) != first
    assert run() not in (first, None)
    assert len(ids(legacy)) == 3


def test_the_state_store_is_asked_first(avala: Emulator) -> None:
    store = StateStore()
    first = run(store=store)
    avala.clear_requests()
    assert run(store=store) == first
    assert [request.method for request in avala.requests] == ["GET"]
    assert avala.requests[0].path.startswith(f"/exports/{first}")


def test_a_payload_is_recognised_by_the_state_store(avala: Emulator) -> None:
    store, payload = StateStore(), {"format": "json", "projects": [SEED_PROJECT_ID], "name": "same"}
    first = run(operator(payload=payload), store=store)
    assert run(operator(payload=payload), store=store) == first


def test_an_interrupted_creation_without_a_name_is_not_repeated_but_told(legacy: Emulator) -> None:
    """A worker that is killed leaves the note that it was about to create an export."""
    store = StateStore()
    legacy.inject(faults.reset_after_commit(), method="POST", path="/exports")
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="Whether the export was created is unknown"):
            run(store=store)
    assert len(ids(legacy)) == 1
    assert run(store=store, max_tries=1) in ids(legacy), "a cleared task creates another one"
    assert len(ids(legacy)) == 2


@pytest.mark.parametrize("code", [429, 403])
def test_a_refused_creation_without_a_name_may_be_repeated(code: int, legacy: Emulator) -> None:
    store = StateStore()
    legacy.inject(faults.status(code), method="POST", path="/exports")
    with suppress(AirflowFailException):
        run(store=store)
    assert run(store=store) in ids(legacy)
    assert len(ids(legacy)) == 1


@pytest.mark.parametrize("note", [None, {}, "text", {"run": "another", "export_id": "x"}, {"export_id": "x"}])
def test_a_note_of_something_else_is_passed_over(note: Any, avala: Emulator) -> None:
    assert [run(store=StateStore({"avala_export": note}))] == ids(avala)


def test_a_noted_export_that_failed_or_vanished_is_replaced(avala: Emulator) -> None:
    store = StateStore()
    first = run(store=store)
    avala.fail_export(first)
    second = run(store=store)
    assert second != first
    avala.reset()
    third = run(store=store)
    assert ids(avala) == [third]


def test_the_state_store_holds_no_secret(avala: Emulator) -> None:
    store = StateStore()
    run(store=store)
    assert avala.api_key not in json.dumps(store.notes)
    assert "://" not in json.dumps(store.notes)


# Outcomes


@waiting
def test_outages_are_waited_out(arguments: dict[str, Any], avala: Emulator) -> None:
    avala.export_seconds = 0.1
    avala.inject(faults.status(503), method="GET", path="/exports/", times=4, skip=2)
    assert [run(operator(**arguments))] == ids(avala)


@waiting
@pytest.mark.parametrize("fault", [None, faults.status(500)], ids=["running", "500s"])
def test_the_wait_ends_in_time(
    fault: faults.Fault | None, arguments: dict[str, Any], avala: Emulator
) -> None:
    avala.export_seconds = 1000
    if fault:
        avala.inject(fault, method="GET", path=re.compile(r"/exports/\w"), times=10_000)
    with pytest.raises(AvalaTimeoutError, match="not finished"):
        run(operator(**arguments, timeout=0.2))


@in_every_mode
@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 413, 422])
def test_a_fatal_answer_ends_the_task(code: int, arguments: dict[str, Any], avala: Emulator) -> None:
    avala.inject(faults.status(code), path="/exports/", times=2)
    with pytest.raises(AirflowFailException, match=str(code)):
        run(operator(**arguments))
    assert len(avala.requests) == (
        2 if code in (403, 404, 405) else 1
    )  # not to list is not yet not to create


@pytest.mark.parametrize(
    "fault", [faults.status(403), faults.status(404), faults.status(405), faults.html(200)]
)
def test_a_server_that_lists_no_exports_still_creates_one(fault: faults.Fault, avala: Emulator) -> None:
    avala.inject(fault, path="/exports/", method="GET")
    assert [run()] == ids(avala)


@pytest.mark.parametrize("code", [403, 404, 405])
def test_a_retry_that_cannot_look_creates_nothing(code: int, avala: Emulator) -> None:
    avala.inject(faults.status(code), path="/exports/", method="GET")
    attempt = context(task_id="export", max_tries=1)
    attempt["ti"].try_number = 2
    with pytest.raises(AirflowFailException, match=str(code)):
        run_to_end(operator(), attempt)
    assert ids(avala) == []


def test_a_retry_knows_its_export_although_the_rest_of_the_name_has_changed(avala: Emulator) -> None:
    first = run(operator(name=" attempt 1"), max_tries=1)
    assert run(operator(name="attempt 2"), max_tries=1) == first
    assert len(ids(avala)) == 1


def test_waiting_for_a_place_ends_at_the_deadline_where_only_the_event_is_handed_on(avala: Emulator) -> None:
    """``dag.test()`` drops what a task has deferred with."""
    avala.inject(faults.status(429, headers={"Retry-After": "0"}), path="/exports", method="POST", times=100)
    task = operator(deferrable=True, timeout=3600)
    with pytest.raises(AvalaTimeoutError):
        task.execute_later(context(), event={"status": "due", "deadline": 1.0})


@waiting
def test_a_fatal_answer_while_waiting_ends_the_task(arguments: dict[str, Any], avala: Emulator) -> None:
    avala.export_seconds = 1000
    avala.inject(faults.status(403), path="/exports/", method="GET", skip=3)
    with pytest.raises(AirflowFailException, match="403"):
        run(operator(**arguments))


@in_every_mode
def test_an_outage_leaves_the_task_its_retries(
    arguments: dict[str, Any], avala: Emulator, connect: Connect
) -> None:
    connect(avala, max_retry_seconds=0)
    avala.inject(faults.status(503), path="/exports/", times=100)
    with pytest.raises(AvalaServerError) as raised:
        run(operator(**arguments))
    assert not isinstance(raised.value, AirflowException)


def test_nothing_is_created_before_the_arguments_are_checked(avala: Emulator) -> None:
    with pytest.raises(AirflowFailException, match="project_id"):
        run(AvalaCreateExportOperator(task_id="export"))
    with pytest.raises(AirflowFailException, match="project_id"):
        run(operator(project_id=["", "x"]))
    assert not ids(avala)


@in_every_mode
@pytest.mark.parametrize(
    ("field", "value"),
    [("name", 20260101), ("export_format", 7), ("payload", '{"name": "n"}'), ("payload", [1])],
)
def test_what_a_template_has_made_another_kind_of_is_named(
    field: str, value: Any, arguments: dict[str, Any], avala: Emulator
) -> None:
    with pytest.raises(AirflowFailException, match=f"^{field}: "):
        run(operator(**arguments | {field: value}))
    assert not avala.requests


@pytest.mark.parametrize("field", ["poll_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "10", None, True, float("nan"), float("inf")])
def test_a_time_that_is_none_is_named(field: str, value: Any) -> None:
    with pytest.raises(AvalaError, match=field) as raised:
        operator(**{field: value})
    assert isinstance(raised.value, ValueError)


def test_the_deferral_holds_ids_and_times_only(avala: Emulator) -> None:
    avala.export_seconds = 1000
    with pytest.raises(TaskDeferred) as raised:
        operator(wait_for_completion=True, deferrable=True, timeout=100).execute(context())
    deferred = raised.value
    assert deferred.kwargs.keys() == {"export_id", "deadline"}
    assert deferred.timeout.total_seconds() > 110
    assert json.loads(json.dumps(deferred.kwargs)) == deferred.kwargs


@pytest.mark.parametrize(
    "event", [None, {}, {"status": "success"}, {"status": "finished", "export_id": "another"}]
)
def test_an_event_that_is_none_of_ours_never_succeeds(event: Any, avala: Emulator) -> None:
    export_id = run()
    with pytest.raises(AirflowException, match="not about export"):
        operator().resume_execution("execute_complete", {"event": event, "export_id": export_id}, context())


def test_the_event_alone_is_enough(avala: Emulator) -> None:
    """``dag.test()`` resumes a task with the event and forgets what the task has noted for itself."""
    export_id = run()
    event = {"status": "finished", "export_id": export_id}
    assert operator().resume_execution("execute_complete", {"event": event}, context()) == export_id


def test_an_outage_at_the_end_is_waited_out_without_notes(avala: Emulator, connect: Connect) -> None:
    connect(avala, max_retry_seconds=0)
    export_id = run()
    event = {"status": "finished", "export_id": export_id}
    avala.inject(faults.status(500), path="/exports/")
    with pytest.raises(TaskDeferred) as raised:
        operator().resume_execution("execute_complete", {"event": event}, context())
    assert run_deferred(operator(), raised.value, context()) == export_id


def test_outside_of_a_task_run_each_call_creates_an_export_of_its_own(avala: Emulator) -> None:
    assert [operator().execute({}), operator().execute({})] == ids(avala)
