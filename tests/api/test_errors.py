"""What people and programs learn from a failure."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api import errors
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaAuthenticationError,
    AvalaConfigurationError,
    AvalaConflictError,
    AvalaConnectionError,
    AvalaDownloadError,
    AvalaError,
    AvalaExportFailedError,
    AvalaNotFoundError,
    AvalaPayloadTooLargeError,
    AvalaPermissionError,
    AvalaProtocolError,
    AvalaRateLimitError,
    AvalaRateLimitTimeout,
    AvalaServerError,
    AvalaTimeoutError,
    AvalaUploadError,
    AvalaValidationError,
    error_from_response,
    is_fatal,
    is_transient,
)
from airflow_provider_avala.api.models import Export
from airflow_provider_avala.api.transport import SlashRedirect


def of(status, payload=None, *, method="GET", path="/api/v1/exports/", headers=None, **options):
    body = payload if isinstance(payload, bytes) else b"" if payload is None else json.dumps(payload).encode()
    return error_from_response(status, headers or {}, body, method=method, path=path, **options)


CLASSES = {
    301: AvalaApiError,
    400: AvalaValidationError,
    401: AvalaAuthenticationError,
    402: AvalaApiError,
    403: AvalaPermissionError,
    404: AvalaNotFoundError,
    405: AvalaApiError,
    408: AvalaApiError,
    409: AvalaConflictError,
    413: AvalaPayloadTooLargeError,
    422: AvalaValidationError,
    429: AvalaRateLimitError,
    500: AvalaServerError,
    502: AvalaServerError,
    503: AvalaServerError,
    504: AvalaServerError,
    599: AvalaServerError,
}


@pytest.mark.parametrize(("status", "expected"), CLASSES.items())
def test_status_decides_the_class(status, expected):
    error = of(status)
    assert type(error) is expected
    assert isinstance(error, AvalaError)
    assert error.status_code == status


@pytest.mark.parametrize("status", CLASSES)
def test_message_says_what_failed_and_where_without_the_query(status):
    error = of(status, {"detail": "Its words."}, path="/api/v1/exports/?cursor=abc", method="get")
    assert str(error).startswith(f"GET /api/v1/exports/ failed: {status} ")
    assert "Its words." in str(error)
    assert "abc" not in str(error)
    assert error.path == "/api/v1/exports/"


REMEDIES = {
    400: "Fix the request body, or check the state",
    401: "rotate it",
    403: "organization",
    404: "Check the id",
    405: "does not support this method",
    409: "use the resource that exists",
    413: "smaller parts",
    422: "Fix the request body",
    429: "then retry",
    500: "retry later",
    503: "retry later",
}


@pytest.mark.parametrize(("status", "words"), REMEDIES.items())
def test_message_ends_with_the_remedy_of_the_decision_tree(status, words):
    assert words in str(of(status, {"detail": "x"}))


def test_plan_and_scope_are_told_apart_by_code():
    plan = of(403, {"detail": "Needs PRO.", "code": "plan_insufficient", "doc_url": "https://d/errors#plan"})
    scope = of(403, {"detail": "API key requires 'projects.write' scope.", "code": "scope_required"})
    assert (plan.code, scope.code) == ("plan_insufficient", "scope_required")
    assert "Upgrade the organization's plan" in str(plan)
    assert "https://d/errors#plan" in str(plan)
    assert "Create a key with the scope" in str(scope)
    assert "'projects.write'" in str(scope)


def test_message_names_the_refused_fields():
    error = of(
        400, {"detail": {"name": ["This field is required."], "schedule": ["Invalid cron.", "Too often."]}}
    )
    assert error.field_errors == {
        "name": ["This field is required."],
        "schedule": ["Invalid cron.", "Too often."],
    }
    assert "name: This field is required." in str(error)
    assert "schedule: Invalid cron. Too often." in str(error)


def test_message_of_errors_without_a_field_has_no_made_up_field_name():
    error = of(400, {"detail": ["Name a project."]})
    assert "Name a project." in str(error)
    assert "non_field_errors" not in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"<html><title>502 Bad Gateway</title>", b"oops", b"\xff\xfe", b"{}", b"null"]
)
def test_message_survives_bodies_that_are_not_avala_s(body):
    assert str(of(502, body)).startswith("GET /api/v1/exports/ failed: 502 Bad Gateway")


def test_status_without_a_name_is_shown_too():
    assert "failed: 522 " in str(of(522))


def test_retry_after_is_in_the_advice_of_a_429():
    error = of(429, {"detail": "Throttled."}, retry_after=12.2)
    assert error.retry_after == 12.2
    assert "Wait 13 s" in str(error)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_server_fault_of_a_write_says_that_the_outcome_is_unknown(method):
    assert "may or may not have acted" in str(of(500, method=method))
    assert "may or may not" not in str(of(400, method=method))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_server_fault_of_a_repeatable_request_does_not(method):
    assert "may or may not have acted" not in str(of(500, method=method))


@pytest.mark.parametrize("name", ["X-Request-ID", "x-request-id", "X-Correlation-Id", "CF-Ray"])
def test_request_id_is_kept_for_support(name):
    error = of(500, headers={name: "req-7"})
    assert error.request_id == "req-7"
    assert "req-7" in str(error)


KEY = "avk_topsecret"
LEAKS = {
    "in detail": {"detail": f"Bad key {KEY}."},
    "in a field": {"detail": {"key": [f"{KEY} is wrong"]}},
    "as a field": {"detail": {KEY: ["wrong"]}},
    "in the code": {"detail": "x", "code": KEY},
    "in the doc_url": {"detail": "x", "doc_url": f"https://d/{KEY}"},
    "in a message": {"error": {"code": KEY, "message": KEY, "details": [{"field": KEY, "message": KEY}]}},
    "escaped": b'{"detail": "avk\\u005ftopsecret"}',
    "at the place where words are cut": {"detail": "x" * 492 + KEY},
    "in a signed URL": {"detail": "https://s.example/x?X-Amz-Signature=avk_topsecret"},
    "in a link": {"detail": "x", "doc_url": "https://s.example/x?sig=topsecret"},
    "in HTML": b"<html><title>no avk_topsecret</title>",
    "in text": b"no avk_topsecret",
}


@pytest.mark.parametrize("payload", LEAKS.values(), ids=LEAKS)
def test_key_and_signatures_show_nowhere(payload):
    error = of(400, payload, headers={"X-Request-Id": KEY}, secrets=(KEY,))
    for shown in (str(error), repr(error), repr(error.args), repr(vars(error)), repr(pickle.dumps(error))):
        assert "avk_" not in shown
        assert "topsecret" not in shown


def test_doc_url_keeps_the_anchor_of_its_page():
    assert of(403, {"detail": "x", "doc_url": "https://d/e#plan"}).doc_url == "https://d/e#plan"


ALL = [
    AvalaError("a"),
    AvalaConfigurationError("timeout: b"),
    of(
        400,
        {"detail": {"name": ["Required."]}},
        method="POST",
        retry_after=3.0,
        headers={"X-Request-Id": "r"},
    ),
    of(403, {"detail": "x", "code": "scope_required", "doc_url": "https://d/e#s"}),
    AvalaConnectionError("c", sent=True, still_running=True),
    AvalaConnectionError("c", sent=False, transient=False),
    AvalaProtocolError("d"),
    AvalaRateLimitTimeout("e"),
    AvalaExportFailedError(Export.read({"uid": "x", "status": "failed", "error": "no rows"})),
    AvalaTimeoutError("f"),
    AvalaDownloadError("g"),
    SlashRedirect(301, method="GET", path="/x"),
]


@pytest.mark.parametrize("error", ALL, ids=[f"{type(error).__name__}-{n}" for n, error in enumerate(ALL)])
@pytest.mark.parametrize(
    "transfer",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deep"],
)
def test_errors_survive_a_trip(error, transfer):
    there = transfer(error)
    assert type(there) is type(error)
    assert str(there) == str(error)
    assert vars(there) == vars(error)
    assert is_fatal(there) is is_fatal(error)


def test_added_words_survive_a_trip():
    error = of(404, {"detail": "Not found."})
    error.add_detail("Look elsewhere.")
    assert "Not found. Look elsewhere." in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_every_error_of_the_module_is_in_the_tree_of_its_docstring():
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, AvalaError)
    ]
    assert len(classes) > 15
    assert all(each.__name__ in (errors.__doc__ or "") for each in classes)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 422])
def test_errors_that_no_retry_mends_are_fatal(status):
    assert is_fatal(of(status))
    assert not is_transient(of(status))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 522])
def test_errors_that_pass_are_transient(status):
    assert not is_fatal(of(status))
    assert is_transient(of(status))


@pytest.mark.parametrize("status", [301, 302, 308, 402, 410, 451])
def test_other_answers_are_no_reason_to_go_on_polling(status):
    assert not is_transient(of(status))


@pytest.mark.parametrize(
    ("error", "fatal", "transient"),
    [
        (AvalaConfigurationError("x"), True, False),
        (AvalaConnectionError("x", sent=True), False, True),
        (AvalaConnectionError("x", sent=False, transient=False), False, False),
        (AvalaProtocolError("x"), False, True),
        (AvalaRateLimitTimeout("x"), False, True),
        (AvalaTimeoutError("x"), False, False),
        (ValueError("x"), False, False),
    ],
)
def test_other_errors(error, fatal, transient):
    assert (is_fatal(error), is_transient(error)) == (fatal, transient)


@given(st.integers(300, 599), st.binary(), st.text(), st.text(), st.dictionaries(st.text(), st.text()))
def test_an_error_is_made_of_anything(status, body, method, path, headers):
    error = error_from_response(status, headers, body, method=method, path=path)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert AvalaUploadError is not type(error)
