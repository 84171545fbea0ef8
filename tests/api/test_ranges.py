"""What answers mean for a download: one row each."""

from __future__ import annotations

import pytest
from requests.structures import CaseInsensitiveDict

from airflow_provider_avala.api.ranges import Action, Judgement, judge, strong_etag

OURS = {"have": 100, "etag": '"v1"', "total": 300}


def answer(status, *, zip_announced=False, known=None, **headers):
    headers = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return judge(status, headers, zip_announced=zip_announced, **(known or {}))


@pytest.mark.parametrize("known", [{}, OURS])
@pytest.mark.parametrize(
    ("headers", "length", "etag"),
    [
        ({"content_length": "300", "etag": '"v2"'}, 300, '"v2"'),
        ({"content_length": "300", "etag": 'W/"v2"'}, 300, None),
        ({"content_length": "0"}, 0, None),
        ({"transfer_encoding": "chunked", "content_length": "300"}, None, None),
        ({"content_length": "-5"}, None, None),
        ({}, None, None),
        ({"content_encoding": "identity"}, None, None),
    ],
)
def test_200_is_the_whole_file_whatever_was_asked_for(known, headers, length, etag):
    assert answer(200, known=known, **headers) == Judgement(Action.REWRITE, "", length, etag)


@pytest.mark.parametrize(
    ("headers", "total", "whole"),
    [
        ({"content_range": "bytes 100-299/300", "etag": '"v1"'}, 300, 300),
        ({"content_range": "bytes 100-299/300"}, 300, 300),
        ({"content_range": "bytes 100-149/300"}, 300, 300),
        ({"content_range": "bytes 100-299/*"}, 300, 300),
        ({"content_range": "bytes 100-299/300"}, None, 300),
        ({"content_range": "bytes 100-299/*"}, None, None),
    ],
)
def test_206_that_fits_is_appended(headers, total, whole):
    known = {**OURS, "total": total}

    assert answer(206, known=known, **headers) == Judgement(Action.APPEND, "", whole, '"v1"')


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_type": "multipart/byteranges; boundary=x"},
        {"content_range": "nonsense"},
        {"content_range": "bytes */300"},
        {"content_range": "bytes 0-299/300"},
        {"content_range": "bytes 101-299/300"},
        {"content_range": "bytes 100-99/300"},
        {"content_range": "bytes 100-300/300"},
        {"content_range": "bytes 100-399/400"},
        {"content_range": "bytes 100-299/300", "etag": '"v2"'},
        {"content_range": "bytes 100-299/300", "etag": 'W/"v1"'},
    ],
)
def test_206_that_does_not_fit_starts_over(headers):
    assert answer(206, known=OURS, **headers).action is Action.RESTART


@pytest.mark.parametrize(
    ("status", "known", "action"),
    [
        (206, {}, Action.FAIL),
        (416, OURS, Action.RESTART),
        (416, {}, Action.REFRESH),
        (408, OURS, Action.RETRY),
        (429, OURS, Action.RETRY),
        (500, OURS, Action.RETRY),
        (503, {}, Action.RETRY),
        (400, OURS, Action.REFRESH),
        (403, {}, Action.REFRESH),
        (404, {}, Action.REFRESH),
        (410, OURS, Action.REFRESH),
        (204, {}, Action.FAIL),
        (304, {}, Action.FAIL),
    ],
)
def test_statuses(status, known, action):
    found = answer(status, known=known)

    assert found.action is action
    assert found.reason


@pytest.mark.parametrize(
    ("headers", "zip_announced", "problem"),
    [
        ({"content_encoding": "gzip"}, False, "encoded the file (gzip)"),
        ({"content_encoding": "br"}, True, "encoded the file (br)"),
        ({"content_type": "text/html; charset=utf-8"}, False, "a page (text/html)"),
        ({"content_type": "application/json"}, True, "a page (application/json)"),
        ({"content_type": "Application/XML"}, True, "a page (application/xml)"),
    ],
)
@pytest.mark.parametrize("status", [200, 206])
def test_what_cannot_be_the_file_is_refused_before_it_replaces_anything(
    headers, zip_announced, problem, status
):
    found = answer(status, known=OURS, zip_announced=zip_announced, **headers)

    assert found.action is Action.FAIL
    assert problem in found.reason


def test_an_export_may_be_json():
    assert answer(200, content_type="application/json").action is Action.REWRITE


@pytest.mark.parametrize(
    ("etag", "strong"),
    [('"a"', '"a"'), (' "a" ', '"a"'), ('W/"a"', None), ("", None), ("a", None), ('""', None), ('"', None)],
)
def test_only_a_strong_etag_tells_contents_apart(etag, strong):
    assert strong_etag({"ETag": etag}) == strong
