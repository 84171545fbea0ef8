"""Files of a dataset that lie in an object storage: a real S3 server, through Airflow's own connection."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_avala.api.presigned import AvalaStorageError
from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.operators.avala import AvalaCreateDatasetOperator
from tests.airflow_support import context, run_to_end
from tests.s3_server import CONN_ID, s3_client

FILES = {
    "day/1.jpg": b"one" * 1000,
    "day/a/2 ü.jpg": b"two" * 2000,
    "day/empty.jpg": b"",
    "night/3.jpg": b"three",
}


@pytest.fixture(scope="module")
def s3() -> Any:
    client = s3_client()
    client.create_bucket(Bucket="cars")
    for key, content in FILES.items():
        client.put_object(Bucket="cars", Key=key, Body=content)
    client.put_object(Bucket="cars", Key="big/1.jpg", Body=bytes(range(256)) * (11 * 4096))
    return client


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["day"], {"1.jpg": "day/1.jpg", "a/2 ü.jpg": "day/a/2 ü.jpg", "empty.jpg": "day/empty.jpg"}),
        (["day/"], {"1.jpg": "day/1.jpg", "a/2 ü.jpg": "day/a/2 ü.jpg", "empty.jpg": "day/empty.jpg"}),
        (["night/3.jpg"], {"3.jpg": "night/3.jpg"}),
        (["*/[13].jpg"], {"day/1.jpg": "day/1.jpg", "night/3.jpg": "night/3.jpg", "big/1.jpg": "big/1.jpg"}),
        (["day/a", "night"], {"2 ü.jpg": "day/a/2 ü.jpg", "3.jpg": "night/3.jpg"}),
    ],
)
@pytest.mark.parametrize("form", ["put", "post", "multipart"])
def test_what_lies_in_s3_becomes_a_dataset(
    form: str, places: list[str], expected: dict[str, str], s3: Any, avala: Emulator
) -> None:
    avala.upload_options.mode = form
    source = [f"s3://{CONN_ID}@cars/{place}" for place in places]
    run(source if len(source) > 1 else source[0])
    found = {key.split("/Cars/")[1]: file.content for key, file in avala.files.items()}
    assert found == {
        name: s3.get_object(Bucket="cars", Key=key)["Body"].read() for name, key in expected.items()
    }


def test_a_retry_sends_only_what_is_missing(s3: Any, avala: Emulator) -> None:
    avala.upload_options.mode = "put"
    avala.inject(faults.status(400), path="/uploads", origin="storage", skip=1)
    with pytest.raises(AvalaStorageError, match="1 of 3 files are stored"):
        run(f"s3://{CONN_ID}@cars/day")
    run(f"s3://{CONN_ID}@cars/day", tries=2)
    taken = [request for request in avala.requests_to("PUT", origin="storage") if request.status == 200]
    assert len(taken) == 3


def run(source: Any, tries: int = 1) -> str:
    task = AvalaCreateDatasetOperator(
        task_id="cars", name="Cars", slug="cars", data_type="image", source=source, retries=3, concurrency=1,
        wait_for_completion=False,
    )  # fmt: skip
    attempt = context(task_id="cars", max_tries=3)
    attempt["ti"].try_number = tries
    return str(run_to_end(task, attempt))
