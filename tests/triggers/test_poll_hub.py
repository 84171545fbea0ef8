"""All that wait on one connection share one poller."""

from __future__ import annotations

import asyncio
import threading
import time
from uuid import uuid4

import pytest

from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.kinds import DATASETS
from airflow_provider_avala.triggers import poll_hub
from airflow_provider_avala.triggers.poll_plan import MOST_ASKS
from tests.airflow_support import CONN_ID, Connect
from tests.triggers.hub_support import (
    asks,
    finish,
    lists,
    outcome,
    running,
    start,
    status,
    until,
)


def polling_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("avala-polls")]


@pytest.mark.parametrize(
    ("waiting", "pages", "singles"), [(1, 0, 1), (2, 0, 2), (3, 1, 0), (100, 1, 0), (250, 3, 0)]
)
def test_few_are_asked_for_and_many_are_listed(
    waiting: int, pages: int, singles: int, avala: Emulator
) -> None:
    ids = [avala.add_export(status="exported") for _ in range(waiting)]

    async def wait() -> list[str]:
        return await asyncio.gather(*map(status, ids))

    assert asyncio.run(wait()) == ["exported"] * waiting
    assert (lists(avala), asks(avala)) == (pages, singles)


def test_each_round_reads_the_list_once_for_all(avala: Emulator) -> None:
    ids = running(avala, 150)

    async def wait() -> None:
        waits = start(*(status(each, interval=0.1) for each in ids))
        await until(lambda: lists(avala) >= 8)
        finish(avala, ids)
        assert {await each for each in waits} == {"exported"}

    asyncio.run(wait())
    assert asks(avala) == 0
    begun = [request.at for request in avala.requests if "cursor" not in request.query]
    assert lists(avala) == 2 * len(begun)
    assert len(begun) - 1 <= (begun[-1] - begun[0]) / 0.1 + 1  # the first interval may be cut by half


def test_what_stands_deep_in_the_list_is_asked_for(avala: Emulator) -> None:
    deep = running(avala, 2)
    running(avala, 500)
    recent = running(avala, 40)

    async def wait() -> None:
        waits = start(*(status(each, interval=0.05) for each in deep + recent))
        await until(lambda: asks(avala) >= 6)
        finish(avala, deep + recent)
        assert {await each for each in waits} == {"exported"}

    asyncio.run(wait())
    assert {request.path.split("/")[2] for request in avala.requests if request.path.count("/") > 2} == set(
        deep
    )
    rounds = sum("cursor" not in request.query for request in avala.requests if request.path.count("/") == 2)
    assert lists(avala) == rounds


def test_what_was_looked_for_in_vain_is_not_looked_for_again(avala: Emulator) -> None:
    ids = running(avala, 10)
    running(avala, 1000)

    async def wait() -> None:
        waits = start(*(status(each, interval=0.05) for each in ids))
        await until(lambda: asks(avala) >= 50)
        finish(avala, ids)
        assert {await each for each in waits} == {"exported"}

    asyncio.run(wait())
    assert lists(avala) == 5  # as much work as asking for all of them


def test_where_something_was_seen_is_remembered(avala: Emulator) -> None:
    ids = running(avala, 12)
    running(avala, 400)

    async def wait() -> None:
        waits = start(*(status(each, interval=0.05) for each in ids))
        await until(lambda: lists(avala) >= 10)
        assert asks(avala) == 0
        finish(avala, ids[:6])
        await until(lambda: asks(avala) >= 12)
        finish(avala, ids)
        assert {await each for each in waits} == {"exported"}

    asyncio.run(wait())
    assert lists(avala) % 5 == 0  # all five pages for twelve, and none for six


def test_what_moves_deeper_in_the_list_is_followed(avala: Emulator) -> None:
    ids = running(avala, 50)

    async def wait() -> None:
        waits = start(*(status(each, interval=0.05) for each in ids))
        for _ in range(3):
            seen = len(avala.requests)
            await until(lambda seen=seen: len(avala.requests) > seen + 3)
            running(avala, 100)
        finish(avala, ids)
        assert {await each for each in waits} == {"exported"}

    asyncio.run(wait())
    assert asks(avala) == 0
    assert lists(avala) > 8


def test_one_is_asked_for_once_however_many_wait_for_it(avala: Emulator) -> None:
    one, other = running(avala, 2)

    async def wait() -> None:
        waits = start(*[status(one, interval=600) for _ in range(20)], status(other, interval=600))
        await until(lambda: len(avala.requests) == 2)
        waits += start(status(one, interval=0.02))
        await until(lambda: len(avala.requests) == 4)
        finish(avala, [one])
        assert {await each for each in waits[:20] + waits[21:]} == {"exported"}
        waits[20].cancel()

    asyncio.run(wait())
    assert lists(avala) == 0


def test_datasets_and_exports_wait_through_the_same_hub(avala: Emulator) -> None:
    datasets = [avala.add_dataset(f"set {n}", status="creating") for n in range(5)]
    exports = running(avala, 5)

    async def wait() -> None:
        waits = start(*(status(each, kind=DATASETS) for each in datasets), *map(status, exports))
        await until(lambda: len(avala.requests) > 4)
        assert len(poll_hub._hubs) == 1
        finish(avala, exports)
        for each in datasets:
            avala.store.tables["datasets"][each]["_pinned"] = "created"
        assert [await each for each in waits] == ["created"] * 5 + ["exported"] * 5

    asyncio.run(wait())
    assert {request.path for request in avala.requests} == {"/datasets/", "/exports/"}


def test_the_legacy_dialect_is_listed_too(legacy: Emulator) -> None:
    ids = [legacy.add_export(status="completed") for _ in range(120)]

    async def wait() -> list[str]:
        return await asyncio.gather(*map(status, ids))

    assert set(asyncio.run(wait())) == {"completed"}
    assert (lists(legacy), asks(legacy)) == (0, 0)
    assert {request.path for request in legacy.requests} == {"/exports"}


def test_intervals_stretch_when_the_budget_is_short(avala: Emulator, connect: Connect) -> None:
    connect(avala, rate_limits="20/1")  # polls may use half of it: one request each 0.1 s

    async def wait() -> None:
        waits = start(*map(status, running(avala, 2)))
        await until(lambda: len(avala.requests) >= 10)
        finish(avala, [each["uid"] for each in avala.exports])
        await asyncio.gather(*waits)

    asyncio.run(wait())
    arrivals = [request.at for request in avala.requests]
    assert arrivals[9] - arrivals[1] > 0.75


def test_no_line_of_asks_is_longer_than_a_round(avala: Emulator) -> None:
    avala.scopes = None
    ids = running(avala, 30)
    running(avala, 3000)
    finish(avala, ids)

    async def wait() -> None:
        assert set(await asyncio.gather(*map(status, ids))) == {"exported"}

    asyncio.run(wait())
    first_asks = [request.path.count("/") > 2 for request in avala.requests]
    in_a_row = max(map(len, "".join("a" if each else "l" for each in first_asks).split("l")))
    assert asks(avala) == 30
    assert in_a_row <= 3 * MOST_ASKS


def test_a_cancelled_waiter_leaves_the_others_alone(avala: Emulator) -> None:
    ids = running(avala, 5)

    async def wait() -> None:
        waits = start(*map(status, ids))
        await until(lambda: avala.requests)
        for each in waits[:4]:
            each.cancel()
        seen = len(avala.requests)
        await until(lambda: len(avala.requests) > seen + 2)
        finish(avala, ids)
        assert await waits[4] == "exported"
        assert all(each.cancelled() for each in waits[:4])

    asyncio.run(wait())


@pytest.mark.parametrize("way", ["finished", "cancelled"])
def test_the_hub_ends_with_the_last_waiter(way: str, avala: Emulator) -> None:
    ids = running(avala, 3)

    async def wait() -> None:
        waits = start(*map(status, ids))
        await until(lambda: len(avala.requests) > 2)
        assert len(poll_hub._hubs) == 1
        if way == "finished":
            finish(avala, ids)
        else:
            for each in waits:
                each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        assert not poll_hub._hubs
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        await until(lambda: not polling_threads())
        seen = len(avala.requests)
        begin = time.monotonic()
        await until(lambda: time.monotonic() > begin + 0.1)
        assert len(avala.requests) == seen

    asyncio.run(wait())


def test_each_loop_and_connection_has_a_hub_of_its_own(avala: Emulator, connect: Connect) -> None:
    connect(avala, conn_id="another")
    (export_id,) = running(avala, 1)

    async def wait() -> list[tuple[object, str]]:
        avala.clear_requests()
        waits = start(status(export_id), status(export_id), status(export_id, conn_id="another"))
        await until(lambda: len(avala.requests) > 2)
        hubs = [*poll_hub._hubs]
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)
        return hubs

    first, second = asyncio.run(wait()), asyncio.run(wait())
    assert [conn_id for _, conn_id in first + second] == [CONN_ID, "another"] * 2
    assert len({loop for loop, _ in first + second}) == 2
    assert not poll_hub._hubs


def test_a_loop_that_was_dropped_leaves_nothing_behind(avala: Emulator) -> None:
    (export_id,) = running(avala, 1)
    loop = asyncio.new_event_loop()
    forgotten = loop.create_task(status(export_id))
    loop.run_until_complete(until(lambda: avala.requests))
    loop.close()
    assert [key[0] for key in poll_hub._hubs] == [loop]
    avala.finish_export(export_id)
    assert asyncio.run(status(export_id)) == "exported"
    assert not poll_hub._hubs
    forgotten._log_destroy_pending = False


def test_nobody_waits_in_vain_for_a_mistake_of_the_hub(
    avala: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_avala.triggers.poll_plan.to_ask", lambda unseen: 1 / 0)

    async def wait() -> list[object]:
        return await asyncio.gather(*(outcome(str(uuid4())) for _ in range(3)))

    assert [type(each) for each in asyncio.run(wait())] == [ZeroDivisionError] * 3
    assert not poll_hub._hubs
