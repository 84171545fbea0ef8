"""Uploading, downloading and calling any endpoint as tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaServerError, AvalaUploadError
from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID, Emulator, faults
from airflow_provider_avala.operators.avala import (
    AvalaApiOperator,
    AvalaCreateExportOperator,
    AvalaDownloadExportOperator,
    AvalaUploadItemsOperator,
)
from tests.airflow_support import Connect, context, run_to_end

ROWS = [{"id": number} for number in range(4)]


def upload(**arguments: Any) -> Any:
    defaults = {"task_id": "upload", "dataset_id": SEED_DATASET_ID}
    return run_to_end(AvalaUploadItemsOperator(**defaults | arguments), context())


def download(**arguments: Any) -> Any:
    return run_to_end(AvalaDownloadExportOperator(task_id="download", **arguments), context())


def call(**arguments: Any) -> Any:
    return run_to_end(AvalaApiOperator(task_id="call", **arguments), context())


# Uploading


def test_an_upload_reports_what_was_accepted(avala: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    found = upload(source=str(file))
    size = file.stat().st_size
    expected = {"dataset_id": SEED_DATASET_ID, "items": 4, "parts": 1, "bytes": size}
    assert found == expected | {"resumed_parts": 0, "unknown_parts": 0}
    assert avala.items(SEED_DATASET_ID) == ROWS
    assert json.loads(json.dumps(found)) == found


def test_items_may_be_given_themselves_and_in_small_parts(avala: Emulator) -> None:
    found = upload(items=ROWS, part_size=20, concurrency=1)
    assert (found["items"], found["parts"]) == (4, 2)
    assert avala.items(SEED_DATASET_ID) == ROWS


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "source, items: got neither"),
        ({"source": "x.jsonl", "items": ROWS}, "source, items: got both"),
        ({"source": "/not/there.jsonl"}, "source: cannot read /not/there.jsonl"),
        ({"source": []}, "source: the list is empty"),
        ({"items": []}, "items: there are none"),
        ({"items": {"id": 1}}, "items: expected an iterable"),
        ({"items": [1]}, "items: item 1"),
        ({"items": ROWS, "part_size": 0}, "part_size"),
        ({"items": ROWS, "concurrency": 0}, "concurrency"),
        ({"items": ROWS, "dataset_id": ""}, "dataset_id"),
        ({"items": ROWS, "dataset_id": None}, "dataset_id"),
    ],
    ids=str,
)
def test_an_upload_that_cannot_be_is_told_before_it_begins(
    arguments: dict[str, Any], says: str, avala: Emulator
) -> None:
    with pytest.raises(AirflowFailException) as raised:
        upload(**arguments)
    assert says in str(raised.value)
    assert not avala.requests


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 413, 422])
def test_an_upload_that_is_refused_ends_the_task(code: int, avala: Emulator) -> None:
    avala.inject(faults.status(code), method="POST")
    with pytest.raises(AirflowFailException, match=str(code)):
        upload(items=ROWS)


def test_an_upload_that_may_have_happened_is_not_tried_again_where_that_is_not_wanted(
    avala: Emulator,
) -> None:
    avala.inject(faults.reset_after_commit(), method="POST")
    with pytest.raises(AirflowFailException, match="items 1-4 of the given items may or may not") as raised:
        upload(items=ROWS, on_unknown="fail")
    assert isinstance(raised.value.__cause__, AvalaUploadError)
    assert len(avala.requests_to("POST")) == 1


def test_a_part_without_an_answer_is_sent_again_with_the_same_key(avala: Emulator) -> None:
    avala.inject(faults.reset_after_commit(), method="POST")
    found = upload(items=ROWS)
    first, second = avala.requests_to("POST")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert (found["items"], found["parts"], found["unknown_parts"]) == (4, 1, 1)
    assert avala.items(SEED_DATASET_ID) == ROWS


def test_an_upload_that_cannot_have_happened_leaves_the_task_its_retries(
    avala: Emulator, connect: Connect
) -> None:
    connect(avala, max_retry_seconds=0)
    avala.inject(faults.status(429), method="POST", times=9)
    with pytest.raises(Exception, match="429") as raised:
        upload(items=ROWS)
    assert not isinstance(raised.value, AirflowException)


# Downloading


def test_a_download_returns_the_path(avala: Emulator, tmp_path: Path) -> None:
    path = str(tmp_path / "labels.zip")
    assert download(export_id=avala.add_export(), path=path) == path
    assert download(export_id=avala.add_export(), path=f"file://{path}") == f"file://{path}"
    assert [each.name for each in tmp_path.iterdir()] == ["labels.zip"]


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_download_that_is_refused_ends_the_task(code: int, avala: Emulator, tmp_path: Path) -> None:
    avala.inject(faults.status(code), path="/exports/")
    with pytest.raises(AirflowFailException, match=str(code)):
        download(export_id=avala.add_export(), path=f"{tmp_path}/x.zip")


@pytest.mark.parametrize(("path", "export_id", "says"), [("", "x", "path"), ("/tmp/x", "", "export_id")])
def test_a_download_of_nothing_or_to_nowhere_is_told(
    path: str, export_id: str, says: str, avala: Emulator
) -> None:
    with pytest.raises(AirflowFailException, match=says):
        download(export_id=export_id, path=path)
    assert not avala.requests


def test_an_export_that_runs_leaves_the_task_its_retries(avala: Emulator, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no file yet") as raised:
        download(export_id=avala.add_export(status="processing"), path=f"{tmp_path}/x.zip")
    assert not isinstance(raised.value, AirflowException)


# Any endpoint


def test_any_endpoint_can_be_read(avala: Emulator) -> None:
    avala.add_dataset("Street")
    assert call(endpoint="/datasets/", params={"limit": 1})["results"][0]["uid"]
    assert avala.requests[0].path == "/datasets/"


def test_the_query_is_sent_under_either_name(avala: Emulator) -> None:
    first = call(endpoint="datasets", params={"limit": 1})
    assert call(endpoint="datasets", query={"limit": 1}) == first
    assert len(first["results"]) == 1


def test_pages_are_put_together(avala: Emulator) -> None:
    for number in range(5):
        avala.add_dataset(f"Dataset {number}")
    found = call(endpoint="/datasets/", params={"limit": 2}, paginate=True)
    assert len(found) == len(avala.datasets)
    assert len(avala.requests) == 3


def test_json_is_sent(avala: Emulator) -> None:
    body = {"name": "x", "format": "json", "projects": [SEED_PROJECT_ID]}
    assert call(endpoint="/exports", method="post", json=body)["name"] == "x"


def test_an_answer_without_body_is_none(avala: Emulator) -> None:
    avala.inject(faults.status(204, body=b""))
    assert call(endpoint="/datasets/x/", method="DELETE") is None


@pytest.mark.parametrize("arguments", [{"method": "POST"}, {"json": {}}])
def test_only_a_plain_get_has_pages(arguments: dict[str, Any]) -> None:
    with pytest.raises(AvalaConfigurationError, match="paginate"):
        AvalaApiOperator(task_id="call", endpoint="/datasets/", paginate=True, **arguments)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 413, 422])
def test_a_call_that_is_refused_ends_the_task(code: int, avala: Emulator) -> None:
    avala.inject(faults.status(code))
    with pytest.raises(AirflowFailException, match=str(code)):
        call(endpoint="/datasets/")
    assert len(avala.requests) == 1


def test_an_outage_leaves_the_task_its_retries(avala: Emulator, connect: Connect) -> None:
    connect(avala, max_retry_seconds=0)
    avala.inject(faults.status(503))
    with pytest.raises(AvalaServerError):
        call(endpoint="/datasets/")


# All of them


def every_operator() -> list[Any]:
    return [
        AvalaUploadItemsOperator(task_id="a", dataset_id="x", items=ROWS),
        AvalaCreateExportOperator(task_id="b", project_id="x"),
        AvalaDownloadExportOperator(task_id="c", export_id="x", path="/tmp/x"),
        AvalaApiOperator(task_id="d", endpoint="x"),
    ]


@pytest.mark.parametrize("task", every_operator(), ids=lambda task: type(task).__name__)
def test_a_connection_that_cannot_be_used_ends_the_task(task: Any, avala: Emulator, connect: Connect) -> None:
    connect(avala, timeout="soon")
    with pytest.raises(AirflowFailException, match="timeout"):
        task.execute(context())


@pytest.mark.parametrize("task", every_operator(), ids=lambda task: type(task).__name__)
def test_the_key_is_shown_nowhere(task: Any, avala: Emulator, connect: Connect) -> None:
    key = "avk_wrong_key_of_this_test"
    connect(avala, password=key)
    with pytest.raises(AirflowFailException) as raised:
        task.execute(context())
    assert key not in "".join([repr(task), str(task), str(raised.value), repr(raised.value), repr(task.hook)])


def test_neither_signed_urls_nor_the_key_get_into_the_xcom_of_a_call(avala: Emulator) -> None:
    export_id = avala.add_export(status="exported")
    body = json.dumps({"echo": avala.api_key, "next": "https://example.com/?cursor=1"})
    answer = call(endpoint=f"/exports/{export_id}/")
    assert answer["download_url"].endswith("?***")
    avala.inject(faults.status(200, body), path="/datasets/")
    assert call(endpoint="/datasets/") == {"echo": "***", "next": "https://example.com/?cursor=1"}
