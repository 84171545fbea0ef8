"""The hub outlives what passes, and tells every waiter what does not."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from contextvars import ContextVar
from uuid import uuid4

import pytest

from airflow_provider_avala.emulator import Emulator, faults, running_emulator
from airflow_provider_avala.hooks.avala import AvalaHook
from airflow_provider_avala.kinds import EXPORTS, Kind
from airflow_provider_avala.triggers import poll_hub
from airflow_provider_avala.triggers.poll_plan import MOST_ASKS
from tests.airflow_support import CONN_ID, Connect
from tests.triggers.hub_support import asks, finish, lists, outcome, running, start, status, until

LIST = re.compile(r"^/exports/$")
MANY, FEW = 20, 2


@pytest.mark.parametrize("waiting", [FEW, MANY])
@pytest.mark.parametrize(
    "fault",
    [
        faults.status(500),
        faults.status(503, headers={"Retry-After": "1"}),
        faults.status(408),
        faults.status(429, headers={"Retry-After": "0"}),
        faults.html(502),
        faults.reset_before_commit(),
        faults.truncated(),
    ],
    ids=lambda fault: f"{fault.name} {fault.options.get('code', '')}".strip(),
)
def test_what_passes_is_outlived(fault: faults.Fault, waiting: int, avala: Emulator) -> None:
    ids = [avala.add_export(status="exported") for _ in range(waiting)]
    avala.inject(fault, path="/exports/", times=40)

    async def wait() -> list[str]:
        return await asyncio.gather(*map(status, ids))

    assert asyncio.run(wait()) == ["exported"] * waiting
    assert len(avala.requests) > 40


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(403),
        faults.status(404),
        faults.status(500),
        faults.html(200),
        faults.bad_json(),
        faults.status(200, {"results": [{"no": "id"}], "next": None}),
        faults.status(200, {"surprise": 1}),
    ],
    ids=lambda fault: f"{fault.name} {fault.options.get('body') or fault.options.get('code', '')}".strip(),
)
def test_without_a_list_each_is_asked_for(fault: faults.Fault, avala: Emulator) -> None:
    rounds = 4
    ids = [avala.add_export(status="exported") for _ in range(rounds * MOST_ASKS)]
    avala.inject(fault, path=LIST, times=1000)

    async def wait() -> set[str]:
        return set(await asyncio.gather(*map(status, ids)))

    assert asyncio.run(wait()) == {"exported"}
    assert asks(avala) == len(ids)
    assert lists(avala) == (
        rounds if fault.options.get("code") == 500 else 1
    )  # a 500 may pass, the others do not


def test_a_list_without_states_shows_nothing(avala: Emulator) -> None:
    ids = [avala.add_export(status="exported") for _ in range(5)]
    page = {"results": [{"uid": each} for each in ids], "next": None, "previous": None}
    avala.inject(faults.status(200, page), path=LIST, times=1000)

    async def wait() -> list[str]:
        return await asyncio.gather(*map(status, ids))

    assert asyncio.run(wait()) == ["exported"] * 5
    assert (lists(avala), asks(avala)) == (1, 5)


def test_a_list_that_nobody_can_make_sense_of_is_done_without(avala: Emulator) -> None:
    ids = [avala.add_export(status="exported") for _ in range(5)]
    odd = Kind("export", AvalaHook.poll_export, lambda hook: ([] for _ in range(1 // 0)))

    async def wait() -> list[str]:
        return await asyncio.gather(*(status(each, kind=odd) for each in ids))

    assert asyncio.run(wait()) == ["exported"] * 5
    assert (lists(avala), asks(avala)) == (0, 5)


def test_an_unknown_id_ends_its_own_waiter_only(avala: Emulator) -> None:
    ids, unknown = running(avala, MANY), str(uuid4())

    async def wait() -> None:
        waits = start(*map(status, ids))
        told = await status(unknown)
        assert told.startswith("AvalaNotFoundError")
        assert not any(each.done() for each in waits)
        finish(avala, ids)
        assert {await each for each in waits} == {"exported"}

    asyncio.run(wait())
    assert asks(avala) == 1


def test_a_server_that_comes_late_is_waited_for(connect: Connect) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    connect(f"http://127.0.0.1:{port}/api/v1")

    async def wait() -> None:
        export_id = str(uuid4())
        with poll_hub.waiting(CONN_ID, EXPORTS, export_id, 0.02) as waiter:
            await until(lambda: waiter.failed_polls > 2)
            assert "no connection" in waiter.last_error
            with running_emulator(port=port, rate_limits=None) as late:
                late.api_key = "avk_some_key"
                late.add_export(status="exported", uid=export_id)
                assert await waiter.ended(10)
        assert waiter.outcome.result().status == "exported"
        assert waiter.last_error == ""

    asyncio.run(wait())


@pytest.mark.parametrize("waiting", [1, FEW, MANY])
def test_a_key_that_was_rotated_is_read_again(waiting: int, avala: Emulator, connect: Connect) -> None:
    ids, key = running(avala, waiting), avala.api_key

    async def wait() -> None:
        waits = start(*map(status, ids))
        await until(lambda: len(avala.requests) > 4)
        connect(avala, password="avk_rotated")
        avala.api_key = "avk_rotated"
        avala.clear_requests()
        await until(lambda: sum(request.status == 200 for request in avala.requests) > 2)
        finish(avala, ids)
        assert {await each for each in waits} == {"exported"}

    try:
        asyncio.run(wait())
    finally:
        avala.api_key = key
    refused = [request for request in avala.requests if request.status == 401]
    assert 1 <= len(refused) <= max(FEW, 1)


@pytest.mark.parametrize("waiting", [1, MANY])
def test_a_key_that_is_refused_ends_all_waiters(waiting: int, avala: Emulator) -> None:
    ids, key = running(avala, waiting), avala.api_key

    async def wait() -> list[str]:
        waits = start(*map(status, ids))
        await until(lambda: len(avala.requests) > 2)
        avala.api_key = "avk_revoked"
        avala.clear_requests()
        return [await each for each in waits]

    try:
        told = asyncio.run(wait())
    finally:
        avala.api_key = key
    assert all(each.startswith("AvalaAuthenticationError") for each in told)
    assert len(avala.requests) <= 2
    assert not poll_hub._hubs


def test_a_connection_that_disappears_is_told_to_each_waiter(
    avala: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, key = running(avala, MANY), avala.api_key

    async def wait() -> list[str]:
        waits = start(*map(status, ids))
        await until(lambda: avala.requests)
        monkeypatch.delenv(f"AIRFLOW_CONN_{CONN_ID.upper()}")
        avala.api_key = "avk_rotated"
        return [await each for each in waits]

    try:
        told = asyncio.run(wait())
    finally:
        avala.api_key = key
    assert all(CONN_ID in each and "NotFound" in each for each in told)


def test_a_connection_that_is_not_there_is_told_at_once(avala: Emulator) -> None:
    assert "not_there" in asyncio.run(status(str(uuid4()), conn_id="not_there", interval=3600))


def test_who_comes_after_a_bad_end_gets_a_new_hub(avala: Emulator, connect: Connect) -> None:
    connect(avala, password="avk_wrong")
    export_id = avala.add_export(status="exported")

    async def wait() -> None:
        assert (await status(export_id)).startswith("AvalaAuthenticationError")
        connect(avala)
        assert await status(export_id) == "exported"

    asyncio.run(wait())


def test_a_connection_that_cannot_be_read_for_a_moment_is_read_again(
    avala: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_id, read, failures = avala.add_export(status="exported"), AvalaHook.get_connection, [0]

    def busy(conn_id: str) -> object:
        failures[0] += 1
        if failures[0] < poll_hub.READING_ATTEMPTS:
            raise OSError("the database is busy")
        return read(conn_id)

    monkeypatch.setattr(AvalaHook, "get_connection", staticmethod(busy))
    assert asyncio.run(status(export_id)) == "exported"
    failures[0] = -1000
    assert asyncio.run(status(export_id)) == "OSError: the database is busy"
    assert failures[0] == -1000 + poll_hub.READING_ATTEMPTS


def test_one_that_hangs_keeps_no_other_waiting(avala: Emulator, connect: Connect) -> None:
    connect(avala, timeout=1.0)
    slow, quick = running(avala, 2)
    avala.inject(faults.hang_before_commit(30), path=f"/exports/{slow}/", times=1)
    finish(avala, [slow, quick])

    async def wait() -> None:
        waits = start(status(slow), status(quick))
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        assert done == {waits[1]}
        assert await waits[0] == "exported"

    asyncio.run(wait())


def test_the_log_tells_when_polls_begin_to_fail_and_when_they_are_well_again(
    avala: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")
    owners = []

    class Witness(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            owners.append(whose.get())

    witness, ids = Witness(), running(avala, 2)
    avala.inject(faults.status(503), path="/exports/", times=5)

    async def wait() -> None:
        whose.set("the first waiter's")
        waits = start(*map(status, ids))
        await until(lambda: len(avala.requests) > 15)
        finish(avala, ids)
        await asyncio.gather(*waits)

    poll_hub.log.addHandler(witness)
    try:
        with caplog.at_level(logging.INFO, logger=poll_hub.log.name):
            asyncio.run(wait())
    finally:
        poll_hub.log.removeHandler(witness)
    levels = [record.levelname for record in caplog.records if record.name == poll_hub.log.name]
    assert levels == ["WARNING", "INFO"]
    assert owners == ["nobody's"] * 2


def test_no_outcome_repeats_the_key(avala: Emulator, connect: Connect) -> None:
    connect(avala, password="avk_of_somebody_else")
    told = asyncio.run(outcome(str(uuid4())))
    assert isinstance(told, Exception)
    assert "avk_" not in str(told)
