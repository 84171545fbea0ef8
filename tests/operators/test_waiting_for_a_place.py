"""Avala runs a few exports at a time: the operator waits for its turn instead of failing."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_avala.api.errors import AvalaRateLimitTimeout, AvalaTimeoutError
from airflow_provider_avala.emulator import SEED_PROJECT_ID, Emulator, faults, running_emulator
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.operators.avala import AvalaCreateExportOperator
from airflow_provider_avala.triggers.avala import AvalaDelayTrigger
from tests.airflow_support import Connect, context, run_to_end


def full(retry_after: int = 0) -> faults.Fault:
    """The answer to one export too many: requests are left, places are not."""
    headers = {"Retry-After": str(retry_after), "X-RateLimit-Remaining": "70"}
    return faults.status(429, {"detail": "Too many exports."}, headers)


MODES = {
    "no wait": {},
    "no wait, deferrable": {"deferrable": True},
    "sync": {"wait_for_completion": True},
    "deferrable": {"wait_for_completion": True, "deferrable": True},
}
in_every_mode = pytest.mark.parametrize("arguments", MODES.values(), ids=MODES)


def operator(**arguments: Any) -> AvalaCreateExportOperator:
    defaults: dict[str, Any] = {
        "task_id": "task",
        "project_id": SEED_PROJECT_ID,
        "poll_interval": 0.02,
        "timeout": 30,
    }
    return AvalaCreateExportOperator(**defaults | arguments)


@in_every_mode
def test_a_refused_creation_is_tried_again(arguments: dict[str, Any], avala: Emulator) -> None:
    avala.inject(full(), method="POST", path="/exports", times=3)
    export_id = run_to_end(operator(**arguments), context())
    assert [export["id"] for export in avala.exports] == [export_id]
    assert [r.status for r in avala.requests_to("POST", "/exports/")] == [429, 429, 429, 201]


@in_every_mode
def test_it_gives_up_at_its_timeout_and_says_why(arguments: dict[str, Any], avala: Emulator) -> None:
    avala.inject(full(), method="POST", path="/exports", times=1000)
    with pytest.raises(AvalaTimeoutError, match=r"no export could be created within 0.1 s.*Too many exports"):
        run_to_end(operator(**arguments, timeout=0.1), context())
    assert avala.exports == []


def test_no_worker_is_held_meanwhile(avala: Emulator) -> None:
    avala.inject(full(40), method="POST", path="/exports")
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        operator(deferrable=True, timeout=3600).execute(context())
    trigger = deferred.value.trigger
    assert isinstance(trigger, AvalaDelayTrigger)
    assert before + 40 <= trigger.until <= before + 40 * 1.2 + 5
    assert time.time() - before < 30


def test_a_refusal_for_the_number_of_exports_pauses_nobody_else(avala: Emulator) -> None:
    avala.inject(full(40), method="POST", path="/exports")
    with pytest.raises(TaskDeferred):
        operator(deferrable=True, timeout=3600).execute(context())
    assert AvalaHook().rate_limit_status()["standard"].paused == 0


def test_the_sixth_waits_until_one_of_the_five_is_done(connect: Connect) -> None:
    """The emulator's own limit, without faults: what runs is counted by the server."""
    with running_emulator(max_exports=5, rate_limits=None) as avala:
        connect(avala)
        running = [avala.add_export(status="processing", seconds=1000) for _ in range(5)]
        task, run = operator(deferrable=True, timeout=3600), context()
        with pytest.raises(TaskDeferred) as deferred:
            task.execute(run)
        assert deferred.value.method_name == "execute_later"
        assert len(avala.exports) == 5
        avala.finish_export(running[2])
        export_id = task.resume_execution(
            deferred.value.method_name, {**deferred.value.kwargs, "event": {"status": "due"}}, run
        )
        assert export_id not in running
        assert len(avala.exports) == 6


def test_on_a_worker_no_more_exports_are_waited_for_at_a_time_than_the_connection_allows(
    avala: Emulator, connect: Connect
) -> None:
    connect(avala, max_concurrent_exports=1)
    with (
        AvalaHook().client.export_slot(0),
        pytest.raises(AvalaRateLimitTimeout, match="all 1 places for exports"),
    ):
        operator(wait_for_completion=True, timeout=0.1).execute(context())
    assert avala.exports == []
    assert operator(wait_for_completion=True).execute(context()) == avala.exports[0]["id"]
