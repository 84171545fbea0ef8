"""The forms in which Avala says where a file goes, and the addresses that bytes may go to."""

from __future__ import annotations

import pytest

from airflow_provider_avala.api.errors import AvalaProtocolError
from airflow_provider_avala.api.ledger import pack, unpack
from airflow_provider_avala.api.presigned import MIB, Target, check_storage_url, read_part

UID = "0f0e0d0c-0000-4000-8000-000000000001"
PARTS = {
    "method": "MULTIPART",
    "upload_uid": UID,
    "part_size": 5 * MIB,
    "part_count": 3,
    "uploaded_parts": [],
}
SIZE = 12 * MIB


def test_every_form_is_read():
    form = {"url": "https://s/x", "fields": {"key": "a", "n": 1}}
    assert Target.read(form, 5) == Target("POST", url="https://s/x", fields={"key": "a", "n": "1"})
    put = {"method": "PUT", "upload_uid": UID, "url": "https://s/x", "headers": {"A": "b"}}
    assert Target.read(put, 5) == Target("PUT", UID, url="https://s/x", headers={"A": "b"})
    assert Target.read({"method": "PUT", "upload_uid": UID, "complete": True}, 5) == Target("PUT", UID, True)
    sent = [
        {"part_number": 1, "size": 5 * MIB},
        {"part_number": 3, "size": 2 * MIB},
        {"part_number": 2, "size": 1},
    ]
    target = Target.read({**PARTS, "uploaded_parts": sent}, SIZE)
    assert (target.part_count, target.uploaded) == (3, {1, 3})
    assert [target.length_of(number, SIZE) for number in (1, 2, 3)] == [5 * MIB, 5 * MIB, 2 * MIB]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"method": "POST", "url": 7, "fields": {}},
        {"method": "POST", "url": "https://s/x", "fields": ["a"]},
        {"method": "PUT", "upload_uid": "../me", "url": "https://s/x"},
        {"method": "PUT", "url": "https://s/x"},
        {"method": "PUT", "upload_uid": UID, "url": "https://s/x", "headers": {"a": None}},
        {"method": "PATCH", "upload_uid": UID, "url": "https://s/x"},
        {**PARTS, "part_count": 2},
        {**PARTS, "part_count": "3"},
        {**PARTS, "part_size": MIB, "part_count": 12},
        {**PARTS, "part_size": 200 * MIB, "part_count": 1},
        {**PARTS, "part_size": True},
    ],
)
def test_another_answer_is_refused_without_its_url(answer):
    with pytest.raises(AvalaProtocolError) as raised:
        Target.read(answer, SIZE)
    assert "https://s" not in str(raised.value)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"parts": []},
        {"parts": [{"part_number": 2, "url": "https://s/x"}]},
        {"parts": [{"part_number": 1}]},
    ],
)
def test_an_answer_about_another_part_is_refused(answer):
    with pytest.raises(AvalaProtocolError):
        read_part(answer, 1)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://data.avala.ai/x?sig=1", None),
        ("https://data.avala.ai:8443/x", None),
        ("http://127.0.0.1:9/x", None),
        ("http://localhost:9/x", None),
        ("http://[::1]:9/x", None),
        ("http://data.avala.ai/x?sig=1", "plain HTTP"),
        ("https://me:pw@data.avala.ai/x", "credentials"),
        ("https://data.avala.ai/x#here", "fragment"),
        ("https://data.avala.ai/x#", "fragment"),
        ("ftp://data.avala.ai/x", "no http or https URL"),
        ("file:///etc/passwd", "no http or https URL"),
        ("/relative", "no http or https URL"),
        ("https:///x", "no http or https URL"),
    ],
)
def test_bytes_go_only_to_addresses_that_are_safe(url, problem):
    if problem is None:
        check_storage_url(url, allow_insecure_http=False)
        return
    with pytest.raises(AvalaProtocolError, match=problem) as raised:
        check_storage_url(url, allow_insecure_http=False)
    assert not {"sig", "pw"} & set(str(raised.value).replace("=", " ").split())


def test_plain_http_is_allowed_by_the_connection():
    check_storage_url("http://data.example/x", allow_insecure_http=True)


@pytest.mark.parametrize("numbers", [set(), {0}, {7, 8}, set(range(1000)), {0, 99_999}])
def test_what_is_stored_is_remembered_in_a_few_bytes(numbers):
    text = pack(numbers, 100_000)
    assert len(text) < 200
    assert unpack(text, 100_000) == numbers


@pytest.mark.parametrize("text", [None, 7, "", "nonsense", "AAAA", [1]])
def test_a_note_that_cannot_be_read_remembers_nothing(text):
    assert unpack(text, 10) == set()
