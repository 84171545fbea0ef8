"""Exports: created, waited for, listed by pages, failed."""

from __future__ import annotations

import io
import json
import zipfile

import avala.errors
import pytest
import requests

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID
from tests.sdk.facade import covers


@covers("exports.create", "exports.get", "exports.wait")
def test_an_export_is_created_waited_for_and_downloaded(sdk, control):
    [dataset] = control.plant(datasets=[{"name": "D", "rows": [{"key": "a"}, {"key": "b"}]}])["datasets"]
    created = sdk.exports.create(dataset=dataset)
    assert (created.status, created.download_url) == ("requested", None)
    assert sdk.exports.get(created.uid).uid == created.uid
    done = sdk.exports.wait(created.uid, interval=0.5, timeout=30)
    assert (done.uid, done.status, done.created_at) == (created.uid, "exported", created.created_at)
    archive = zipfile.ZipFile(io.BytesIO(requests.get(done.download_url, timeout=20).content))
    rows = [json.loads(line) for line in archive.read("items.jsonl").splitlines()]
    assert rows == [{"key": "a"}, {"key": "b"}]


@covers("exports.create", "exports.wait")
def test_a_failed_export_ends_the_wait_too(sdk, control):
    control.turn(fail_next_export=1)
    created = sdk.exports.create(project=SEED_PROJECT_ID)
    assert sdk.exports.wait(created.uid, interval=0.5, timeout=30).status == "failed"


@covers("exports.wait")
def test_a_wait_has_an_end(sdk, control):
    control.turn(export_seconds=1000)
    created = sdk.exports.create(project=SEED_PROJECT_ID)
    with pytest.raises(TimeoutError, match="last status: requested"):
        sdk.exports.wait(created.uid, timeout=0)
    control.turn(advance=999)
    assert sdk.exports.get(created.uid).status == "processing"
    control.turn(advance=1)
    assert sdk.exports.get(created.uid).status == "exported"


@covers("exports.list")
def test_exports_are_listed_newest_first_by_pages(sdk, control):
    states = ["exported", "failed", "processing", "exported", "requested"]
    uids = control.plant(exports=[{"datasets": [SEED_DATASET_ID], "status": status} for status in states])[
        "exports"
    ]
    found, cursor = [], None
    while True:
        page = sdk.exports.list(limit=2, cursor=cursor)
        found += [(export.uid, export.status) for export in page]
        cursor = page.next_cursor
        if not page.has_more:
            break
    assert found == list(zip(uids, states, strict=True))[::-1]


@pytest.mark.parametrize(
    ("given", "error"),
    [({}, avala.errors.ValidationError), ({"project": "nobody"}, avala.errors.ValidationError)],
)
def test_an_export_of_nothing_is_refused(sdk, given, error):
    with pytest.raises(error) as caught:
        sdk.exports.create(**given)
    assert caught.value.status_code == 400
    assert isinstance(caught.value.body["detail"], dict)


def test_the_sixth_export_at_a_time_is_one_too_many(sdk, control):
    control.turn(export_seconds=100)
    for _ in range(5):
        sdk.exports.create(project=SEED_PROJECT_ID)
    with pytest.raises(avala.errors.RateLimitError) as caught:
        sdk.exports.create(project=SEED_PROJECT_ID)
    assert 1 <= caught.value.retry_after <= 100
