"""What Avala may send, recognised by its shape."""

import contextlib
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.envelopes import Page, UnknownEnvelopeError, read_error, read_page

ONE = [{"uid": "a"}]

PAGES = {
    "cursor in next": (
        {"results": ONE, "next": "http://x/?cursor=2", "previous": None},
        "http://x/?cursor=2",
        None,
    ),
    "last page": ({"results": ONE, "next": None, "previous": "http://x/"}, None, None),
    "empty last page": ({"results": [], "next": None, "previous": "http://x/"}, None, None),
    "page number": ({"count": 9, "results": ONE, "next": "?page=2"}, "?page=2", None),
    "no next at all": ({"results": ONE}, None, None),
    "legacy": ({"items": ONE, "total": 2, "has_more": True, "cursor": "c"}, None, "c"),
    "legacy, last": ({"items": ONE, "total": 2, "has_more": False, "cursor": "c"}, None, None),
    "legacy, last without cursor": ({"items": [], "total": 0, "has_more": False}, None, None),
    "legacy, cursor alone": ({"items": ONE, "cursor": "c"}, None, "c"),
    "legacy, cursor is a number": ({"items": ONE, "has_more": True, "cursor": 7}, None, "7"),
    "legacy, cursor is null": ({"items": ONE, "cursor": None}, None, None),
    "items with next": ({"items": ONE, "next": "http://x/?page=2"}, "http://x/?page=2", None),
    "results with cursor": ({"results": ONE, "has_more": True, "cursor": "c"}, None, "c"),
    "next is null, cursor is of this page": ({"results": ONE, "next": None, "cursor": "c"}, None, None),
    "all of it": ({"items": ONE, "total": 1}, None, None),
    "bare list": (ONE, None, None),
    "empty bare list": ([], None, None),
}


@pytest.mark.parametrize(("payload", "next_url", "cursor"), PAGES.values(), ids=PAGES)
def test_page_is_recognised(payload, next_url, cursor):
    page = read_page(payload)
    items = payload if isinstance(payload, list) else payload.get("results", payload.get("items"))
    assert (page.items, page.next_url, page.cursor) == (items, next_url, cursor)


NO_PAGES = {
    "nothing": None,
    "text": "results",
    "number": 3,
    "empty object": {},
    "error": {"detail": "Not found."},
    "one resource": {"uid": "a", "status": "x"},
    "results are no list": {"results": {"a": 1}},
    "items are null": {"items": None, "total": 0},
    "an element is no object": {"results": [{"uid": "a"}, "b"]},
    "an element of a bare list is no object": [1, 2],
    "next is no text": {"results": [], "next": {"url": "x"}},
    "next is a number": {"results": [], "next": 2},
    "next is true": {"results": [], "next": True},
    "cursor is no text": {"items": [], "has_more": True, "cursor": ["c"]},
    "more, but no cursor": {"items": ONE, "has_more": True},
    "more, but an empty cursor": {"items": ONE, "has_more": True, "cursor": ""},
    "has_more is text": {"items": ONE, "has_more": "yes", "cursor": "c"},
    "fewer than announced and no way on": {"items": ONE, "total": 142},
    "fewer than counted and no way on": {"results": ONE, "count": 142},
}


@pytest.mark.parametrize("payload", NO_PAGES.values(), ids=NO_PAGES)
def test_unknown_shape_is_an_error_and_never_an_empty_list(payload):
    with pytest.raises(UnknownEnvelopeError):
        read_page(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
words = st.sampled_from(
    ["results", "items", "next", "cursor", "has_more", "total", "count", "detail", "error"]
)


@given(json_values | st.dictionaries(words, json_values | st.lists(st.dictionaries(st.text(), st.text()))))
def test_any_json_is_a_page_or_an_unknown_envelope(payload):
    with contextlib.suppress(UnknownEnvelopeError):
        assert isinstance(read_page(payload), Page)


def test_complaint_names_the_keys_but_not_the_values():
    with pytest.raises(UnknownEnvelopeError, match="'download_url'") as error:
        read_page({"download_url": "https://s.example/?sig=topsecret", "has_more": "topsecret"})
    assert "topsecret" not in str(error.value)
    with pytest.raises(UnknownEnvelopeError) as error:
        read_page({"items": [], "has_more": "topsecret"})
    assert "topsecret" not in str(error.value)


def test_complaint_is_short_whatever_the_keys():
    with pytest.raises(UnknownEnvelopeError) as error:
        read_page({"k" * 10_000 + str(number): 1 for number in range(100)})
    assert len(str(error.value)) < 1000


def test_page_keeps_its_content_out_of_its_repr():
    page = read_page(
        {"results": [{"download_url": "https://s/?sig=topsecret"}], "next": "https://s/?topsecret"}
    )
    assert "topsecret" not in repr(page)


ERRORS = {
    # name: (body, detail, code, field errors)
    "detail": ({"detail": "Not found."}, "Not found.", None, {}),
    "detail, code, doc_url": (
        {"detail": "Needs PRO.", "code": "plan_insufficient", "doc_url": "https://d/#p"},
        "Needs PRO.",
        "plan_insufficient",
        {},
    ),
    "validation A: map under detail": (
        {"detail": {"name": ["Required."], "email": ["Bad.", "Too long."]}},
        "",
        None,
        {"name": ["Required."], "email": ["Bad.", "Too long."]},
    ),
    "validation B: map at the top": (
        {"name": ["Required."], "sub": {"x": ["Bad."]}},
        "",
        None,
        {"name": ["Required."], "sub.x": ["Bad."]},
    ),
    "validation C: bare list": (["Bad."], "", None, {"non_field_errors": ["Bad."]}),
    "validation D: error.details as a list": (
        {
            "error": {
                "code": "validation_error",
                "message": "No.",
                "details": [{"field": "format", "message": "Bad."}],
            }
        },
        "No.",
        "validation_error",
        {"format": ["Bad."]},
    ),
    "validation E: error.details as a map": (
        {"error": {"code": "invalid", "message": "No.", "details": {"format": ["Bad."]}}},
        "No.",
        "invalid",
        {"format": ["Bad."]},
    ),
    "list of loc and msg": (
        {"detail": [{"loc": ["body", "items", 0, "id"], "msg": "Required.", "type": "missing"}]},
        "",
        None,
        {"items.0.id": ["Required."]},
    ),
    "detail as a list of texts": (
        {"detail": ["Bad.", "Worse."]},
        "",
        None,
        {"non_field_errors": ["Bad.", "Worse."]},
    ),
    "list of maps": ([{}, {"name": ["Required."]}], "", None, {"name": ["Required."]}),
    "maps in a field": ({"rows": [{}, {"id": ["Bad."]}]}, "", None, {"rows.1.id": ["Bad."]}),
    "field with one text": ({"name": "Required."}, "", None, {"name": ["Required."]}),
    "detail as a coded object": (
        {"detail": {"code": "scope_required", "message": "Needs 'x'."}},
        "Needs 'x'.",
        "scope_required",
        {},
    ),
    "a field of the name message": (
        {"detail": {"message": ["Required."]}},
        "",
        None,
        {"message": ["Required."]},
    ),
    "detail is null, error speaks": ({"detail": None, "error": {"message": "No."}}, "No.", None, {}),
    "detail is null": ({"detail": None}, "", None, {}),
    "detail beats error": ({"error": "not_found", "detail": "Not found."}, "Not found.", None, {}),
    "error as text": ({"error": "No."}, "No.", None, {}),
    "error is null": ({"error": None}, "", None, {}),
    "error without message": ({"error": {"code": "not_found"}}, "", "not_found", {}),
    "message alone": ({"message": "Forbidden"}, "Forbidden", None, {}),
    "quota": ({"detail": "Full.", "limit": 10, "used": 9}, "Full. (limit 10, used 9)", None, {}),
    "json text": ("No.", "No.", None, {}),
    "json number": (3, "3", None, {}),
    "empty object": ({}, "", None, {}),
    "empty list": ([], "", None, {}),
    "detail is a number": ({"detail": 7}, "7", None, {}),
    "line breaks": ({"detail": "a\n\tb\u0000\u001b[31mc"}, "a b [31mc", None, {}),
    "half a character": ({"detail": "a\ud800b"}, "a b", None, {}),
}


@pytest.mark.parametrize(("payload", "detail", "code", "fields"), ERRORS.values(), ids=ERRORS)
def test_error_is_read_from_every_envelope(payload, detail, code, fields):
    said = read_error(json.dumps(payload).encode(), "application/json")
    assert (said.detail, said.code, said.field_errors) == (detail, code, fields)


BODIES = {
    "empty": (b"", "", "no body"),
    "blank": (b" \r\n", "", "no body"),
    "HTML of a gateway": (
        b"<html><head><title>502 Bad\nGateway</title></head>",
        "text/html",
        "'502 Bad Gateway'",
    ),
    "HTML without a title": (b"<!doctype html><html><body>x", "", "HTML page"),
    "HTML under a wrong type": (b"<HTML><TITLE>Oops</TITLE>", "application/json", "'Oops'"),
    "plain text": (b"upstream connect error", "text/plain", "upstream connect error"),
    "broken JSON": (b'{"detail": "Not', "application/json", '{"detail": "Not'),
    "not UTF-8": ('{"detail": "größer"}'.encode("latin-1"), "application/json", "gr\ufffd\ufffder"),
    "byte order mark": (b'\xef\xbb\xbf{"detail": "Not found."}', "application/json", "Not found."),
    "UTF-16": ('{"detail": "Not found."}'.encode("utf-16"), "application/json", "Not found."),
    "nested too deep": (b"[" * 100_000, "application/json", "[[["),
    "deep but well-formed": (b"[" * 5000 + b"]" * 5000, "application/json", ""),
    "binary": (bytes(range(256)), "application/octet-stream", ""),
}


@pytest.mark.parametrize(("body", "kind", "says"), BODIES.values(), ids=BODIES)
def test_error_is_read_from_what_is_no_json(body, kind, says):
    assert says in read_error(body, kind).detail


@pytest.mark.parametrize("payload", [{"detail": "x"}, {"name": ["x"]}, {"error": {"message": "x"}}, ["x"]])
def test_avala_s_own_envelopes_are_told_from_others(payload):
    assert read_error(json.dumps(payload).encode()).is_avala


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"forbidden", b'"x"', b"3", b'{"message": "Forbidden"}', b"{}"]
)
def test_what_any_gateway_says_is_not_taken_for_avala_s(body):
    assert not read_error(body).is_avala


def test_huge_bodies_make_short_words():
    wide = {f"field{number}": ["x" * 1000] * 50 for number in range(100)}
    for payload in (wide, {"detail": "x" * 5_000_000}, ["x"] * 100_000):
        said = read_error(json.dumps(payload).encode())
        assert len(said.detail) + sum(len(str(item)) for item in said.field_errors.items()) < 30_000
    assert len(read_error(b"x" * 50_000_000).detail) <= 500


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()), st.text())
def test_reading_an_error_never_fails(body, kind):
    said = read_error(body, kind)
    assert all(isinstance(text, str) for texts in said.field_errors.values() for text in texts)
    for text in (said.detail, said.code or "", said.doc_url or "", *said.field_errors):
        assert text.encode("utf-8") == text.encode("utf-8", "replace")
        assert text.isprintable()


@given(st.dictionaries(words, json_values).map(lambda value: json.dumps(value).encode()))
def test_reading_an_error_of_known_keys_and_odd_values_never_fails(body):
    pickle.dumps(read_error(body))
