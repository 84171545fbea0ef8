"""Decoded answers of any shape: pages, errors, resources, upload targets, counts, health reports."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_avala.api.envelopes import UnknownEnvelopeError, describe, read_error, read_page
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaError,
    AvalaProtocolError,
    error_from_response,
)
from airflow_provider_avala.api.health import DatasetHealth
from airflow_provider_avala.api.models import Dataset, Export, Project, State
from airflow_provider_avala.api.part_outcomes import stated_count
from airflow_provider_avala.api.presigned import MOST_PARTS, Target, check_storage_url, read_part
from airflow_provider_avala.api.storable import DEEPEST, storable
from airflow_provider_avala.api.transport import Answer
from tests.fuzz.hostile import (
    DEPTHS,
    bodies,
    bounded,
    headers,
    nested,
    objects,
    outcome,
    statuses,
    texts,
    values,
)

LONGEST_MESSAGE = 60_000


@bounded
@given(bodies(), headers)
def test_a_body_is_decoded_or_is_no_answer_of_avalas(body: bytes, found: Any) -> None:
    answer = Answer(200, found, body, "GET /")
    decoded, words = outcome(answer.json, AvalaProtocolError)
    assert len(words) < 1000
    assert decoded is None or json.dumps(storable(decoded), allow_nan=False).isascii()


@bounded
@given(objects | values)
def test_a_page_is_a_list_of_objects_or_an_unknown_envelope(payload: Any) -> None:
    page, words = outcome(partial(read_page, payload), UnknownEnvelopeError)
    assert len(words) < 2000
    assert words or all(isinstance(item, dict) for item in page.items)


@bounded
@given(objects | values)
def test_any_payload_can_be_described_in_a_line(payload: Any) -> None:
    assert len(describe(payload)) < 2000
    assert describe(payload).isprintable()


@bounded
@given(bodies(), headers, statuses)
def test_an_error_can_be_read_from_whatever_a_server_says(body: bytes, found: Any, status: int) -> None:
    error = error_from_response(status, found, body, method="GET", path="/exports/", secrets=("avk_key",))
    assert isinstance(error, AvalaApiError)
    assert len(str(error)) < LONGEST_MESSAGE


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "around",
    ["%s", '{"error": %s}', '{"detail": %s}', '{"error": {"message": %s, "code": %s, "details": %s}}'],
)
def test_an_error_that_is_nested_without_end_still_has_words(depth: int, around: str) -> None:
    body = around.replace("%s", nested(depth).decode()).encode()
    assert len(read_error(body).detail) < 1000


@bounded
@given(objects)
def test_a_resource_is_read_whole_or_refused(payload: Any) -> None:
    for kind in (Export, Dataset, Project):
        resource, words = outcome(partial(kind.read, payload), AvalaProtocolError)
        if words:
            continue
        assert resource.id.isprintable()
        assert resource.state in State
        assert repr(resource)
        assert resource.progress
        shown = json.dumps(resource.as_dict(), ensure_ascii=False, allow_nan=False)
        assert "\x00" not in shown.encode().decode(), "no JSON column of PostgreSQL takes it"


@pytest.mark.parametrize("depth", DEPTHS[:3])
def test_a_resource_that_is_nested_without_end_still_makes_an_xcom(depth: int) -> None:
    payload = json.loads('{"uid": "e", "metadata": ' + nested(depth, '{"a":', "}").decode() + "}")
    assert json.dumps(Export.read(payload).as_dict())


@bounded
@given(objects, texts)
def test_where_a_file_goes_is_understood_or_refused(payload: Any, text: str) -> None:
    for answer in (payload, {**payload, "method": "MULTIPART"}, {"url": text, **payload}):
        target, words = outcome(partial(Target.read, answer, 100_000_000), AvalaProtocolError)
        assert len(words) < 1000
        assert words or target.part_count <= MOST_PARTS
    _, words = outcome(partial(read_part, {"parts": [{"part_number": 1, **payload}]}, 1), AvalaProtocolError)
    assert len(words) < 1000


@bounded
@given(texts)
def test_an_address_to_store_at_is_checked_without_a_crash(url: str) -> None:
    outcome(partial(check_storage_url, url, allow_insecure_http=False), AvalaProtocolError)


@bounded
@given(objects)
def test_counts_and_health_are_read_or_refused(payload: Any) -> None:
    assert stated_count(payload) is None or isinstance(stated_count(payload), int)
    outcome(lambda: DatasetHealth.read(payload).require(3), AvalaError)


@bounded
@given(values)
def test_what_is_kept_is_what_a_strict_database_takes(value: Any) -> None:
    kept = storable(value)
    text = json.dumps(kept, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in text
    assert text.encode()
    assert storable(kept) == kept


def test_what_is_kept_says_where_something_was_left_out() -> None:
    deep = json.loads(nested(DEEPEST + 5))
    assert "nested too deeply" in json.dumps(storable(deep))
    assert storable({"a\x00": ["\ud83d", "😀", float("inf"), 1.5]}) == {
        "a\ufffd": ["\ufffd", "😀", None, 1.5]
    }
