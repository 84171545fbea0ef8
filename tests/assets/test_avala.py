"""Assets ``avala://``: their grammar, by our own functions and as Airflow applies it."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_avala.assets.avala import (
    convert_asset_to_openlineage,
    create_asset,
    sanitize_uri,
    uri_of,
)
from airflow_provider_avala.get_provider_info import get_provider_info
from tests import installed
from tests.airflow_support import AIRFLOW, in_subprocess

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        ("avala://datasets/d1", "avala://datasets/d1"),
        ("AVALA://Datasets/D1/", "avala://datasets/D1"),
        (f"avala://datasets/d1@{SHA}", f"avala://datasets/d1@{SHA}"),
        (f"avala://datasets/d1@{SHA.upper()}", f"avala://datasets/d1@{SHA}"),
        ("avala://projects/p1", "avala://projects/p1"),
        ("avala://projects/p1/exports", "avala://projects/p1/exports"),
        ("avala://slices/s1/exports/", "avala://slices/s1/exports"),
        (f"avala://datasets/d1@{SHA}/exports", f"avala://datasets/d1@{SHA}/exports"),
        ("avala://exports/e1", "avala://exports/e1"),
        ("avala://datasets/a%2Fb", "avala://datasets/a%2Fb"),
    ],
)
def test_a_uri_is_normalized(uri: str, normal: str) -> None:
    assert sanitize_uri(urlsplit(uri)).geturl() == normal
    assert sanitize_uri(urlsplit(normal)).geturl() == normal


@pytest.mark.parametrize(
    ("uri", "trouble"),
    [
        ("avala://", "'' is none of"),
        ("avala:///d1", "'' is none of"),
        ("avala:datasets/d1", "'' is none of"),
        ("avala://items/d1", "'items' is none of"),
        ("avala://key@datasets/d1", "is none of"),
        ("avala://datasets", "is not one id"),
        ("avala://datasets/", "is not one id"),
        ("avala://datasets/d1/items", "is not one id"),
        ("avala://datasets/d 1", "is not one id"),
        ("avala://datasets/d%zz", "is not one id"),
        ("avala://datasets/d1@abc", "is not one id"),
        ("avala://datasets//d1", "is not one id"),
        ("avala://datasets/d1?token=secret", "neither a query nor a fragment"),
        ("avala://datasets/d1#x", "neither a query nor a fragment"),
        (f"avala://projects/p1@{SHA}", "only datasets have versions"),
        ("avala://exports/e1/exports", "an export has no exports"),
    ],
)
def test_a_malformed_uri_is_refused_with_the_reason_and_an_example(uri: str, trouble: str) -> None:
    with pytest.raises(ValueError, match=trouble) as caught:
        sanitize_uri(urlsplit(uri))
    assert "avala://datasets/<id>" in str(caught.value)
    assert "secret" not in str(caught.value)


@given(st.text(min_size=1))
def test_any_id_makes_a_uri_that_holds_it(identity: str) -> None:
    try:
        uri = uri_of("datasets", identity)
    except UnicodeEncodeError:
        return  # half a character
    assert unquote(urlsplit(uri).path) == f"/{identity}"
    assert sanitize_uri(urlsplit(uri)).geturl() == uri


@pytest.mark.parametrize(
    ("arguments", "uri"),
    [
        ({"dataset_id": "d1"}, "avala://datasets/d1"),
        ({"project_id": "p1", "exports": True}, "avala://projects/p1/exports"),
        ({"slice_id": "s/1"}, "avala://slices/s%2F1"),
        ({"export_id": "e1", "extra": {"day": 1}}, "avala://exports/e1"),
    ],
)
def test_an_asset_is_made_from_an_id(arguments: dict, uri: str) -> None:
    asset = create_asset(**arguments)
    assert asset.uri == uri
    assert (asset.extra or {}) == arguments.get("extra", {})


@pytest.mark.parametrize("arguments", [{}, {"dataset_id": "d1", "project_id": "p1"}])
def test_an_asset_is_of_one_thing(arguments: dict) -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        create_asset(**arguments)


@pytest.mark.parametrize("arguments", [{"dataset_id": ""}, {"export_id": "e1", "exports": True}])
def test_an_asset_that_cannot_be_is_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="asset"):
        create_asset(**arguments)


def test_openlineage_names_kind_and_id() -> None:
    found = convert_asset_to_openlineage(create_asset(project_id="p1", exports=True), None)
    assert (found.namespace, found.name) == ("avala://projects", "p1/exports")


def test_both_generations_of_airflow_find_the_same() -> None:
    info = get_provider_info()
    assert info["asset-uris"] == info["dataset-uris"]
    [entry] = info["asset-uris"]
    assert entry["schemes"] == ["avala"]


def test_airflow_itself_applies_the_grammar() -> None:
    program = """
import json
from airflow.providers.common.compat.sdk import Asset
try:
    Asset(uri="avala://items/x")
except ValueError as error:
    refused = str(error)
else:
    refused = ""
print(json.dumps([Asset(uri="avala://Datasets/D1/").uri, refused]))
"""
    uri, refused = json.loads(in_subprocess(program, **installed.variables()))
    if AIRFLOW >= (3, 0):  # Airflow 2 keeps what a handler says to itself, and the URI as it was
        assert uri == "avala://datasets/D1"
        assert "'items' is none of datasets" in refused
