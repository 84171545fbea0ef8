"""At most one export, whatever happens to the answer."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_avala.api.errors import (
    AvalaConnectionError,
    AvalaError,
    AvalaProtocolError,
    AvalaRateLimitError,
    AvalaServerError,
    AvalaValidationError,
    is_fatal,
)
from airflow_provider_avala.emulator import SEED_PROJECT_ID, faults, running_emulator
from tests.api.loopback import Server
from tests.api.scripted import AnyMethod, says


@pytest.fixture(scope="module", params=["current", "legacy"])
def either(request):
    with running_emulator(dialect=request.param, rate_limits=None, export_seconds=0) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def avala():
    with running_emulator(rate_limits=None, export_seconds=0) as emulator:
        yield emulator


#: What can happen to the creation: the fault, whether it took effect.
LOSSES = {
    "reset before commit": (faults.reset_before_commit(), False),
    "reset after commit": (faults.reset_after_commit(), True),
    "500 before commit": (faults.status(500), False),
    "500 after commit": (faults.status(500, after_commit=True), True),
    "502 in HTML before commit": (faults.html(502), False),
    "502 in HTML after commit": (faults.html(502, after_commit=True), True),
    "503 after commit": (faults.status(503, headers={"Retry-After": "5"}, after_commit=True), True),
    "504 after commit": (faults.status(504, after_commit=True), True),
    "truncated 201": (faults.truncated(), True),
    "truncated chunked 201": (faults.truncated_chunked(), True),
    "reset within the 201": (faults.reset_mid_body(), True),
    "bad JSON 201": (faults.bad_json(), True),
    "empty 201": (faults.empty_body(), True),
    "hang after commit": (faults.hang_after_commit(), True),
}


@pytest.mark.parametrize("name", [None, "mine"], ids=["made-up name", "given name"])
@pytest.mark.parametrize("reattach", [False, True], ids=["new", "reattach"])
@pytest.mark.parametrize(("fault", "_committed"), LOSSES.values(), ids=LOSSES)
def test_export_whose_answer_is_lost_is_there_once(avala, client_of, fault, _committed, reattach, name):
    avala.reset()
    avala.add_export(name="other", status="exported")
    avala.inject(fault, method="POST")
    client = client_of(avala.base_url, avala.api_key, timeout=0.2)
    export = client.create_export(project_id=SEED_PROJECT_ID, name=name, reattach=reattach)
    there = [each["id"] for each in avala.exports if each["name"] != "other"]
    assert there == [export.id]


@pytest.mark.parametrize(("fault", "_committed"), LOSSES.values(), ids=LOSSES)
def test_export_is_there_once_after_two_losses(avala, client_of, fault, _committed):
    avala.reset()
    avala.inject(faults.status(500), method="POST")
    avala.inject(fault, method="POST")
    client = client_of(avala.base_url, avala.api_key, timeout=0.2)
    export = client.create_export(project_id=SEED_PROJECT_ID)
    assert [each["id"] for each in avala.exports] == [export.id]


@pytest.mark.parametrize("fault", [faults.status(504), faults.hang_before_commit()], ids=["504", "hang"])
def test_export_that_may_yet_come_is_waited_for_and_not_created_again(avala, client_of, clock, fault):
    avala.reset()
    avala.inject(fault, method="POST")
    client = client_of(avala.base_url, avala.api_key, timeout=0.2)
    with pytest.raises(AvalaError, match="Whether the export was created is unknown") as error:
        client.create_export(project_id=SEED_PROJECT_ID)
    assert len(avala.requests_to("POST")) == 1
    assert len(avala.requests_to("GET")) > 3
    assert 100 < clock.now - 1_000_000 <= 121
    assert is_fatal(error.value)


@pytest.mark.parametrize("name", [None, "mine"])
@pytest.mark.parametrize(("fault", "committed"), LOSSES.values(), ids=LOSSES)
def test_legacy_export_whose_answer_is_lost_is_not_repeated_and_the_error_says_so(
    client_of, fault, committed, name
):
    with running_emulator(dialect="legacy", rate_limits=None) as avala:
        avala.inject(fault, method="POST")
        client = client_of(avala.base_url, avala.api_key, dialect="legacy", timeout=0.2)
        with pytest.raises(AvalaError, match="Whether the export was created is unknown") as error:
            client.create_export(project_id=SEED_PROJECT_ID, name=name, reattach=True)
        assert len(avala.requests_to("POST")) == 1
        assert len(avala.exports) == committed
    assert is_fatal(error.value)


@pytest.mark.parametrize(
    "payload", [{"projects": [SEED_PROJECT_ID]}, {"project": SEED_PROJECT_ID, "name": ""}]
)
def test_payload_without_a_name_cannot_be_found_again(avala, client_of, payload):
    avala.reset()
    avala.inject(faults.reset_after_commit(), method="POST")
    with pytest.raises(AvalaConnectionError, match="is unknown") as error:
        client_of(avala.base_url, avala.api_key).create_export(payload=payload)
    assert len(avala.exports) == 1
    assert is_fatal(error.value)


def test_payload_with_a_name_is_found_again(avala, client_of):
    avala.reset()
    avala.add_export(name="mine", status="exported")
    avala.inject(faults.reset_after_commit(), method="POST")
    client = client_of(avala.base_url, avala.api_key)
    export = client.create_export(payload={"projects": [SEED_PROJECT_ID], "name": "mine"})
    assert [each["id"] for each in avala.exports][1:] == [export.id]


@pytest.mark.parametrize(
    "fault", [faults.reset_before_commit(), faults.reset_after_commit()], ids=["before", "after"]
)
def test_namesake_from_before_is_not_taken_for_the_lost_one(avala, client_of, fault):
    avala.reset()
    before = {avala.add_export(name="mine", status="exported") for _ in range(2)}
    avala.inject(fault, method="POST")
    client = client_of(avala.base_url, avala.api_key)
    export = client.create_export(project_id=SEED_PROJECT_ID, name="mine")
    assert {each["id"] for each in avala.exports} - before == {export.id}


def test_creation_that_was_refused_for_now_is_no_loss(either, client_of):
    either.reset()
    either.inject(faults.status(408), method="POST")
    client = client_of(either.base_url, either.api_key, dialect=either.dialect.name)
    client.create_export(project_id=SEED_PROJECT_ID)
    assert len(either.exports) == 1
    assert either.requests_to("GET") == []


def test_refusal_is_final_and_asks_for_nothing_else(avala, client_of):
    avala.reset()
    with pytest.raises(AvalaValidationError):
        client_of(avala.base_url, avala.api_key).create_export(payload={"name": "x" * 300})
    assert len(avala.requests) == 2  # the list, because of the name, and the refused creation


def test_too_many_exports_are_waited_for(avala, client_of, clock):
    avala.reset()
    avala.inject(faults.status(429, headers={"Retry-After": "7"}), method="POST", times=2)
    client_of(avala.base_url, avala.api_key).create_export(project_id=SEED_PROJECT_ID)
    assert len(avala.exports) == 1
    assert clock.now - 1_000_000 > 14


def test_too_many_exports_for_too_long_is_a_rate_limit_error(avala, client_of):
    avala.reset()
    avala.inject(faults.status(429), method="POST", times=100)
    with pytest.raises(AvalaRateLimitError) as error:
        client_of(avala.base_url, avala.api_key).create_export(project_id=SEED_PROJECT_ID)
    assert "unknown" not in str(error.value)
    assert not is_fatal(error.value)


def test_retry_finds_its_own_export_and_a_failed_one_is_replaced(avala, client_of):
    avala.reset()
    client = client_of(avala.base_url, avala.api_key)
    first = client.create_export(project_id=SEED_PROJECT_ID, name="mine", reattach=True)
    again = client.create_export(project_id=SEED_PROJECT_ID, name="mine", reattach=True)
    avala.fail_export(first.id)
    replaced = client.create_export(project_id=SEED_PROJECT_ID, name="mine", reattach=True)
    assert again.id == first.id != replaced.id
    assert len(avala.exports) == 2


def test_export_older_than_asked_for_is_not_reattached(avala, client_of):
    avala.reset()
    client = client_of(avala.base_url, avala.api_key)
    first = client.create_export(project_id=SEED_PROJECT_ID, name="mine")
    later = datetime.now(UTC) + timedelta(hours=1)
    options = {"project_id": SEED_PROJECT_ID, "name": "mine", "reattach": True}
    assert client.create_export(**options, created_after=later - timedelta(hours=2)).id == first.id
    assert client.create_export(**options, created_after=later).id != first.id


def test_lost_retry_of_a_task_run_may_be_run_again(avala, client_of):
    avala.reset()
    avala.inject(faults.hang_before_commit(), method="POST")
    client = client_of(avala.base_url, avala.api_key, timeout=0.2, max_retry_seconds=5)
    with pytest.raises(AvalaConnectionError, match="unknown") as error:
        client.create_export(project_id=SEED_PROJECT_ID, name="mine", reattach=True)
    assert not is_fatal(error.value)


class Backend(Server):
    """Exports with a mind of their own: ``fate(exchange, commit)`` decides what becomes of a creation."""

    def __init__(self, fate, *, oldest_first=False, created_at="2020-01-01T00:00:00Z", named=True):
        super().__init__(self._answer)
        self.RequestHandlerClass = AnyMethod
        self.fate, self.oldest_first, self.created_at, self.named = fate, oldest_first, created_at, named
        self.exports = []
        self.posts = 0

    def add(self, name):
        self.exports.append({"uid": f"e{len(self.exports)}", "name": name, "created_at": self.created_at})
        return self.exports[-1]

    def _answer(self, exchange, seen, number):
        if seen.method == "POST":
            self.posts += 1
            name = json.loads(seen.body).get("name", "") if self.named else None
            self.fate(exchange, lambda: self.add(name))
        else:
            items = self.exports if self.oldest_first else self.exports[::-1]
            says(200, {"results": items, "next": None})(exchange, seen)


def resets_after_commit(exchange, commit):
    commit()
    exchange.reset()


@pytest.mark.parametrize("others", [0, 3, 150])
@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
def test_export_is_found_whatever_the_server_s_clock_and_order(client_of, clock, oldest_first, others):
    clock.now = 1_900_000_000.0
    with Backend(resets_after_commit, oldest_first=oldest_first and others < 100) as backend:
        for number in range(others):
            backend.add(f"other {number}")
        export = client_of(backend.url).create_export(project_id="p")
    assert export.id == f"e{others}"
    assert backend.posts == 1


def test_server_without_names_is_not_asked_twice(client_of):
    with (
        Backend(resets_after_commit, named=False) as backend,
        pytest.raises(AvalaConnectionError, match="is unknown"),
    ):
        client_of(backend.url).create_export(project_id="p")
    assert backend.posts == 1


def test_one_look_is_taken_even_when_there_is_no_time_left(client_of):
    with Backend(resets_after_commit) as backend:
        assert client_of(backend.url, max_retry_seconds=0).create_export(project_id="p").id == "e0"
    assert backend.posts == 1


def test_broken_connection_is_given_a_moment_before_anybody_looks(client_of, clock):
    with Backend(resets_after_commit) as backend:
        client_of(backend.url).create_export(project_id="p")
    assert clock.sleeps == [1.0]


def test_export_that_is_committed_after_the_time_out_is_found(client_of, clock):
    late = threading.Event()
    committed = threading.Event()

    def fate(exchange, commit):
        late.wait(10)
        commit()
        committed.set()

    slept = clock.sleep

    def sleep(seconds):
        slept(seconds)
        if len(clock.sleeps) == 4:
            late.set()
            committed.wait(10)

    clock.sleep = sleep
    with Backend(fate) as backend:
        export = client_of(backend.url, timeout=0.2).create_export(project_id="p")
    assert export.id == "e0"
    assert backend.posts == 1
    assert len(clock.sleeps) == 4


def test_look_that_fails_leaves_the_outcome_unknown_and_repeats_nothing(client_of):
    class Blind(Backend):
        def _answer(self, exchange, seen, number):
            if seen.method == "GET":
                exchange.reply(403, b'{"detail": "No."}')
            else:
                super()._answer(exchange, seen, number)

    with Blind(resets_after_commit) as backend, pytest.raises(AvalaConnectionError, match="is unknown"):
        client_of(backend.url).create_export(project_id="p")
    assert backend.posts == 1


def test_server_that_never_answers_well_ends_with_its_own_error(client_of, clock):
    with (
        Backend(
            lambda exchange, commit: exchange.reply(500, b'{"detail": "Internal server error."}')
        ) as backend,
        pytest.raises(AvalaServerError, match=r"500 .*Internal server error.*is unknown"),
    ):
        client_of(backend.url).create_export(project_id="p")
    assert backend.exports == []
    assert backend.posts > 3
    assert clock.now - 1_000_000 <= 121


def test_answer_that_is_no_export_is_no_reason_to_create_another(client_of):
    with (
        Backend(lambda exchange, commit: exchange.reply(200, b"<html>")) as backend,
        pytest.raises(AvalaProtocolError, match="is unknown"),
    ):
        client_of(backend.url).create_export(project_id="p")
    assert backend.posts == 1


def test_name_of_its_own_is_made_up_for_every_export(avala, client_of):
    avala.reset()
    client = client_of(avala.base_url, avala.api_key)
    for _ in range(2):
        client.create_export(project_id=SEED_PROJECT_ID)
    names = {each["name"] for each in avala.exports}
    assert len(names) == 2
    assert all(name.startswith("airflow-") for name in names)
    assert avala.requests_to("GET") == []
