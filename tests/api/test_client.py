"""The client: two dialects, one server's word on which it is, and ids of all kinds."""

import threading

import pytest

from airflow_provider_avala.api.dialects import CURRENT, LEGACY
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaConfigurationError,
    AvalaNotFoundError,
    AvalaPermissionError,
)
from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, running_emulator
from tests.api.scripted import Scripted, says


@pytest.mark.parametrize("server", ["current", "legacy"])
@pytest.mark.parametrize("dialect", ["auto", "current", "legacy"])
def test_every_call_works_against_a_server_that_takes_both_slashes(client_of, server, dialect):
    with running_emulator(dialect=server, rate_limits=None, export_seconds=0) as avala:
        if (server, dialect) in {("legacy", "auto"), ("legacy", "current"), ("current", "legacy")}:
            dialect = server  # the bodies of exports differ
        client = client_of(avala.base_url, avala.api_key, dialect=dialect)
        export = client.create_export(project_id=SEED_PROJECT_ID)
        assert client.get_export(export.id).id == export.id
        assert [each.id for each in client.list_exports()] == [export.id]
        assert client.get_dataset(SEED_DATASET_ID).id == SEED_DATASET_ID
        assert SEED_DATASET_ID in [each.id for each in client.list_datasets()]
        with pytest.raises(AvalaNotFoundError, match="failed: 404 Not Found"):
            client.get_export("nothing")
        slashes = {record.path.endswith("/") for record in avala.requests}
    assert slashes == {dialect != "legacy"}


OPERATIONS = {
    "list": lambda client: list(client.list_exports()),
    "get": lambda client: client.get_dataset(SEED_DATASET_ID),
    "post": lambda client: client.create_export(project_id=SEED_PROJECT_ID),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_auto_learns_from_the_slash_redirect_once(client_of, operation):
    with running_emulator(dialect="legacy", strict_slash=True, rate_limits=None) as avala:
        client = client_of(avala.base_url, avala.api_key)
        operation(client)
        operation(client)
        redirected = [record for record in avala.requests if record.status == 301]
    assert client.dialect is LEGACY
    assert len(redirected) == 1


@pytest.mark.parametrize(("server", "dialect"), [("legacy", "current"), ("current", "legacy")])
def test_fixed_dialect_is_told_what_the_server_prefers(client_of, server, dialect):
    with running_emulator(dialect=server, strict_slash=True, rate_limits=None) as avala:
        client = client_of(avala.base_url, avala.api_key, dialect=dialect)
        for call in (lambda: client.run("POST", "/exports/", json={}), lambda: list(client.list_exports())):
            with pytest.raises(AvalaApiError, match=f"extra dialect to {server}"):
                call()
        assert len(avala.requests) == 2
        assert avala.exports == []


def moves(to):
    return lambda exchange, seen: says(301, None, Location=to(seen.path))(exchange, seen)


def without_slash(path):
    bare, mark, query = path.partition("?")
    return bare.rstrip("/") + mark + query


def with_slash(path):
    bare, mark, query = path.partition("?")
    return bare.rstrip("/") + "/" + mark + query


PAGE = {"results": [{"uid": "a"}], "next": None}


def test_redirected_post_is_sent_once_more_with_the_body_of_the_other_dialect(client_of):
    with Scripted(moves(without_slash), says(201, {"id": "e1"})) as server:
        client_of(server.url).create_export(project_id="p")
    assert server.calls == ["POST /exports/", "POST /exports"]
    assert b"projects" in server.seen[0].body
    assert server.seen[1].body == b'{"project_id": "p", "format": "json"}'


def test_redirected_list_keeps_its_query(client_of):
    with Scripted(moves(without_slash), says(200, PAGE)) as server:
        list(client_of(server.url).paginate("/things/", params={"name": "a b&c", "empty": ""}))
    assert server.calls == [f"GET /things{slash}?limit=100&name=a+b%26c&empty=" for slash in ("/", "")]


def test_redirect_that_only_concerns_next_does_not_turn_the_dialect_round(client_of):
    bare_next = {"results": [{"uid": "a"}], "next": "/things?page=2"}
    with Scripted(says(200, bare_next), moves(with_slash), says(200, PAGE)) as server:
        client = client_of(server.url)
        assert len(list(client.paginate("/things/"))) == 2
    assert client.dialect is CURRENT
    assert server.calls[2] == "GET /things/?page=2"


@pytest.mark.parametrize("call", [lambda c: c.run("GET", "/x/"), lambda c: list(c.paginate("/x/"))])
def test_redirect_back_and_forth_ends_after_one_more_request(client_of, call):
    with Scripted(moves(without_slash), moves(with_slash), moves(without_slash)) as server:
        with pytest.raises(AvalaApiError, match="redirects to"):
            call(client_of(server.url))
        assert len(server.seen) == 2


def test_redirect_to_another_place_is_not_followed_by_auto(client_of):
    with Scripted(moves(lambda path: "/login/")) as server:
        with pytest.raises(AvalaApiError, match="base URL"):
            client_of(server.url).run("POST", "/exports/", json={})
        assert len(server.seen) == 1


def test_303_says_that_the_post_was_done_and_is_not_sent_again(client_of):
    with Scripted(says(303, None, Location="/exports")) as server:
        with pytest.raises(AvalaApiError):
            client_of(server.url).run("POST", "/exports/", json={})
        assert len(server.seen) == 1


def test_threads_that_are_redirected_at_once_agree_on_the_dialect(client_of):
    with running_emulator(dialect="legacy", strict_slash=True, rate_limits=None) as avala:
        client = client_of(avala.base_url, avala.api_key)
        failed, start = [], threading.Barrier(8)

        def work():
            start.wait(10)
            for _ in range(5):
                try:
                    client.get_dataset(SEED_DATASET_ID)
                except Exception as error:
                    failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert failed == []
    assert client.dialect is LEGACY


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ({"project_id": 7}, "project_id"),
        ({"project_id": ""}, "project_id"),
        ({"project_id": [" "]}, "project_id"),
        ({"dataset_id": ["d", 7]}, "dataset_id"),
        ({"slice_id": {"uid": "s"}}, "slice_id"),
        ({"slice_id": b"s"}, "slice_id"),
        ({"project_id": []}, "project_id: nothing to export"),
        ({}, "project_id: nothing to export"),
        ({"project_id": "p", "export_format": ""}, "export_format"),
        ({"project_id": "p", "export_format": 7}, "export_format: 7 is no text"),
        ({"project_id": "p", "name": "n" * 256}, "name: 256 characters"),
        ({"project_id": "p", "name": 20260101}, "name: 20260101 is no text"),
        ({"payload": [{"name": "n"}]}, "payload: a list is no JSON object"),
        ({"payload": '{"name": "n"}'}, "payload: a str is no JSON object"),
    ],
)
def test_bad_export_is_refused_by_name_before_anything_is_sent(client_of, ids, names):
    with Scripted() as server:
        with pytest.raises(AvalaConfigurationError, match=f"^{names}"):
            client_of(server.url).create_export(**ids)
        assert server.seen == []


@pytest.mark.parametrize("value", [7, None, "", "..", b"x"])
def test_bad_id_is_refused_by_name_before_anything_is_sent(client_of, value):
    with Scripted() as server:
        client = client_of(server.url)
        for call, name in (
            (client.get_export, "export_id"),
            (client.get_dataset, "dataset_id"),
            (client.get_project, "project_id"),
        ):
            with pytest.raises(AvalaConfigurationError, match=f"{name}: "):
                call(value)
        assert server.seen == []


def test_several_targets_go_into_one_export(client_of):
    with Scripted(says(201, {"uid": "e"})) as server:
        client_of(server.url).create_export(project_id=["p", "q"], dataset_id=("d",), slice_id="s")
    body = server.seen[0].body
    assert b'"projects": ["p", "q"], "datasets": ["d"], "slices": ["s"]' in body


def test_codes_of_a_403_reach_the_caller(client_of):
    with running_emulator(rate_limits=None) as avala:
        client = client_of(avala.base_url, avala.api_key)
        pending = avala.add_project(status="pending-approval")
        codes = {}
        avala.plan = "FREE"
        with pytest.raises(AvalaPermissionError) as plan:
            client.run("POST", f"/projects/{pending}/approve/")
        avala.plan, avala.scopes = "ENTERPRISE", {"projects.read"}
        with pytest.raises(AvalaPermissionError) as scope:
            client.run("POST", f"/projects/{pending}/approve/")
        codes = {plan.value.code, scope.value.code}
    assert codes == {"plan_insufficient", "scope_required"}
    assert "'projects.write'" in str(scope.value)
