"""Nothing that opens a door survives in texts and stored values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.api.secrets import (
    redact,
    without_secrets,
    without_signatures,
    without_signed_urls,
)

TEXTS = {
    "https://s.example/x.zip?X-Amz-Signature=topsecret": "https://s.example/x.zip?***",
    "see https://s.example/a/b?sig=topsecret, then": "see https://s.example/a/b?*** then",
    "https://user:topsecret@s.example/x": "https://***@s.example/x",
    "https://topsecret@s.example": "https://***@s.example",
    "https://s.example/x#topsecret": "https://s.example/x?***",
    "https://s.example?topsecret": "https://s.example?***",
    "redis://:topsecret@cache:6379/0": "redis://***@cache:6379/0",
    "GET /x.zip?Expires=1&Signature=topsecret HTTP/1.1": "GET /x.zip?Expires=1&Signature=*** HTTP/1.1",
    "it's https://s.example/it's.zip?X-Amz-Signature=topsecret": None,
    "X-Goog-Credential=topsecret%2Fx and token=topsecret": None,
    "//s.example/x?sig=topsecret&se=2": None,
    "nothing to hide: https://docs.avala.ai/api": "nothing to hide: https://docs.avala.ai/api",
    "": "",
}


@pytest.mark.parametrize(("text", "shown"), TEXTS.items())
def test_text_loses_queries_and_credentials_of_its_urls(text, shown):
    assert "topsecret" not in without_signed_urls(text)
    if shown is not None:
        assert without_signed_urls(text) == shown


@given(st.text())
def test_masking_any_text_twice_changes_no_more(text):
    assert without_signed_urls(without_signed_urls(text)) == without_signed_urls(text)


def test_stored_values_lose_urls_and_secrets_at_any_depth():
    stored = without_secrets(
        {
            "uid": "e1",
            "download_url": "https://s.example/x?sig=topsecret",
            "url": "https://topsecret",
            "urls": ["https://topsecret"],
            "secret": "topsecret",
            "api_key": "topsecret",
            "apiKey": "topsecret",
            "config": {"password": "topsecret", "region": "eu", "list": [{"access_token": "topsecret"}]},
            "link": "https://s.example/x?sig=topsecret",
            "note": ("at https://s.example/x?sig=topsecret",),
            "count": 3,
            "none": None,
        }
    )
    assert "topsecret" not in json.dumps(stored)
    assert stored["uid"] == "e1"
    assert stored["count"] == 3
    assert stored["config"]["region"] == "eu"
    assert stored["link"] == "https://s.example/x?***"


def test_redact_masks_every_occurrence_and_ignores_empty_secrets():
    assert redact("a key, a key", "key", "") == "a ***, a ***"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"next": "https://a/b?cursor=1", "n": 3}, {"next": "https://a/b?cursor=1", "n": 3}),
        ({"download_url": "https://s/x.zip?Hash=1"}, {"download_url": "https://s/x.zip?***"}),
        ([{"file": "https://s/x?X-Amz-Signature=abc&b=1"}], [{"file": "https://s/x?***"}]),
        ({"echo": "the key is avk_secret"}, {"echo": "the key is ***"}),
        (None, None),
        (True, True),
    ],
)
def test_signatures_are_masked_and_all_else_is_left_alone(value: object, expected: object) -> None:
    assert without_signatures(value, "avk_secret") == expected
