"""Items that lie in an object storage: a real S3 server, through Airflow's own connection."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_avala.api.errors import AvalaUploadError
from airflow_provider_avala.emulator import SEED_DATASET_ID, Emulator, faults
from airflow_provider_avala.operators.avala import AvalaUploadItemsOperator
from tests.airflow_support import Connect, StateStore, context, run_to_end
from tests.s3_server import CONN_ID, s3_client

ROWS = {name: [{"in": name, "n": n} for n in range(40)] for name in ("a", "b", "c", "deep")}
BUCKET = f"s3://{CONN_ID}@rows"


def lines(name: str) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in ROWS[name])


@pytest.fixture(scope="module")
def s3() -> Any:
    client = s3_client()
    client.create_bucket(Bucket="rows")
    files = {
        "day/a.jsonl": lines("a"),
        "day/b.ndjson": lines("b"),
        "day/c.data": gzip.compress(lines("c")),
        "day/deep/d.jsonl.gz": gzip.compress(lines("deep")),
        "none/readme.txt": b"nothing here",
        "bad/empty.jsonl": b"",
        "bad/line.jsonl": lines("a") + b"{bad\n",
    }
    for key, content in files.items():
        client.put_object(Bucket="rows", Key=key, Body=content)
    return client


def run(source: Any, store: StateStore | None = None, tries: int = 1, **arguments: Any) -> Any:
    task = AvalaUploadItemsOperator(
        task_id="rows", dataset_id=SEED_DATASET_ID, source=source, part_size=500, retries=3, **arguments
    )
    attempt = context(task_id="rows", max_tries=3, store=store)
    attempt["ti"].try_number = tries
    return run_to_end(task, attempt)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(f"{BUCKET}/day/a.jsonl", "a", id="a file"),
        pytest.param(f"{BUCKET}/day/c.data", "c", id="gzip by its content"),
        pytest.param(f"{BUCKET}/day/*.*json", "b", id="a pattern"),
        pytest.param(f"{BUCKET}/day/deep", ["deep"], id="a folder"),
        pytest.param(f"{BUCKET}/day", "ab", id="a folder with a folder in it"),
        pytest.param([f"{BUCKET}/day/a.jsonl", f"{BUCKET}/day/deep/d.jsonl.gz"], ["a", "deep"], id="a list"),
    ],
)
def test_what_lies_in_s3_is_uploaded(source: Any, expected: Any, s3: Any, avala: Emulator) -> None:
    found = run(source)
    rows = [row for name in expected for row in ROWS[name]]
    stored = avala.items(SEED_DATASET_ID)
    assert sorted(map(str, stored)) == sorted(map(str, rows))
    assert (found["items"], found["unknown_parts"]) == (len(rows), 0)
    assert found["parts"] > 1


def test_a_path_that_airflow_makes_will_do(s3: Any, avala: Emulator) -> None:
    run(ObjectStoragePath(f"{BUCKET}/day/a.jsonl"), concurrency=1)
    assert avala.items(SEED_DATASET_ID) == ROWS["a"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (f"{BUCKET}/day/nothing.jsonl", r"cannot read .*nothing\.jsonl: No such file"),
        (f"{BUCKET}/none", r"there is no file \*\.jsonl"),
        (f"{BUCKET}/day/*.csv", "matches no file"),
        (f"{BUCKET}/bad/empty.jsonl", r"empty\.jsonl is empty"),
        (f"{BUCKET}/bad/line.jsonl", r"line 41 of .*line\.jsonl: not JSON"),
        (f"s3://{CONN_ID}@no-such-bucket/a.jsonl", r"no-such-bucket/a\.jsonl"),
    ],
)
def test_what_cannot_be_used_is_named(source: str, problem: str, s3: Any, avala: Emulator) -> None:
    with pytest.raises(AirflowFailException, match=problem):
        run(source)


def test_a_storage_that_cannot_be_asked_is_named_and_asked_again_by_the_retry(
    avala: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"}
    away = {"conn_type": "aws", "login": "a", "password": "b", "extra": nowhere}
    monkeypatch.setenv("AIRFLOW_CONN_S3_AWAY", json.dumps(away))
    with pytest.raises(Exception, match=r"@rows/a\.jsonl could not be read") as caught:
        run("s3://s3_away@rows/a.jsonl")
    assert not isinstance(caught.value, AirflowFailException)
    assert not avala.requests_to("POST")


def test_a_retry_sends_only_what_is_missing(s3: Any, avala: Emulator, connect: Connect) -> None:
    connect(avala, max_retry_seconds=0)
    store = StateStore()
    avala.inject(faults.status(429), method="POST", skip=1)
    with pytest.raises(AvalaUploadError, match="A retry of the task goes on"):
        run(f"{BUCKET}/day/a.jsonl", store, concurrency=1)
    assert run(f"{BUCKET}/day/a.jsonl", store, tries=2, concurrency=1)["resumed_parts"] == 1
    assert avala.items(SEED_DATASET_ID) == ROWS["a"]
