"""The operator asks Avala for the same as the official SDK does, request by request and field by field.

Both upload the same files to the emulator, behind a host that the SDK sends files to. What differs, and why:

- The SDK reads ``/users/me/``, by which it names its checkpoint files. We have none: the upload's id follows from the
  task run, and what is stored is kept in Airflow's task state.
- We look first whether there is a dataset of that name and slug, because files for it would end up in it.
- The ``dataset_upload_uid`` of the SDK is random, ours follows from the task run; both are the same in all requests.
- Of the headers, ``User-Agent``, ``Accept-Encoding``, ``Connection`` and, at the storage, ``Accept`` are the HTTP
  library's own.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_avala.emulator import SEED_ORGANIZATION_ID, Emulator, RequestRecord, running_emulator
from airflow_provider_avala.operators.avala import AvalaCreateDatasetOperator
from tests.airflow_support import Connect, context, run_to_end
from tests.sdk.conftest import avala as sdk
from tests.sdk.tls_proxy import HOST, make_certificates, proxying

MIB = 1024 * 1024
FORMS = ("post", "put", "multipart", "complete")
CARS = {"name": "Cars", "slug": "cars", "data_type": "image"}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all": {
        "organization_uid": SEED_ORGANIZATION_ID,
        "owner_name": "emulator",
        "visibility": "unlisted",
        "create_metadata": False,
        "metadata": {"city": "Zürich"},
        "industry": 3,
        "license": 7,
    },
}
#: What the storage signs its addresses with, another time each time.
SIGNING = ("Expires", "Nonce", "Signature")
#: Headers that the API or the storage reads.
MEANT = (
    "content-type",
    "content-length",
    "if-none-match",
    "x-avala-api-key",
    "transfer-encoding",
    "authorization",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    """An emulator behind the SDK's own upload host: itself, the proxy that leads to its storage, the CA."""
    ca_file, certificate = make_certificates(tmp_path_factory.mktemp("site"))
    with (
        running_emulator(storage_url=f"https://{HOST}", rate_limits=None, dataset_seconds=0) as avala,
        proxying(certificate, avala.storage_url) as proxy,
    ):
        yield avala, proxy.url, ca_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name, size in {"1.jpg": 5, "a/2 ü.png": 70_000, "a/b/empty.bin": 0, "large.tiff": 11 * MIB}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes(range(1, 251)) * (size // 250) + b"x" * (size % 250))
    return root


@pytest.fixture(params=FORMS)
def avala(request: pytest.FixtureRequest, site, connect: Connect, monkeypatch, tmp_path: Path) -> Emulator:
    avala, proxy, ca_file = site
    avala.reset()
    avala.upload_options.mode = request.param
    for name, value in {
        "AVALA_ALLOW_INSECURE_BASE_URL": "true",
        "HTTPS_PROXY": proxy,
        "NO_PROXY": "localhost,127.0.0.1",
        "SSL_CERT_FILE": str(ca_file),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("avala.resources.datasets._STATE_DIR", tmp_path / "checkpoints" / "datasets")
    connect(avala, verify=str(ca_file))
    return avala


def by_the_sdk(avala: Emulator, folder: Path, options: dict[str, Any]) -> None:
    with sdk.Client(
        api_key=avala.api_key, base_url=avala.base_url.replace("127.0.0.1", "localhost")
    ) as client:
        client.datasets.create_from_local(source=str(folder), **CARS, **options, wait=True)


def by_the_operator(avala: Emulator, folder: Path, options: dict[str, Any]) -> None:
    task = AvalaCreateDatasetOperator(task_id="cars", source=str(folder), **CARS, **options, deferrable=False)
    run_to_end(task, context())


def form(record: RequestRecord, avala: Emulator) -> list[tuple[str, str | None, str | None, Any]]:
    """The fields of a form, in order; what only signs it is left out, and of the file its length."""
    head = f"Content-Type: {record.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + record.body)
    fields = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        signs = name in ("policy", "x-amz-signature")
        kind = part.get("content-type")
        value = None if signs or name == "file" else part.get_payload(decode=True)
        fields.append((str(name), part.get_filename(), kind, value))
    return fields


def described(record: RequestRecord, avala: Emulator) -> str:
    """A request without what is another one each time: ids that Avala or the client made up."""
    path = record.path
    for session in avala.manual_uploads.sessions.values():
        path = path.replace(session.uid, f"<{session.key}>")
    for dataset in avala.datasets:
        path = path.replace(dataset["id"], f"<dataset {dataset['name']}>")
    headers = {name: record.headers.get(name) for name in MEANT}
    body: Any = record.json
    if isinstance(body, dict) and "dataset_upload_uid" in body:
        body = {**body, "dataset_upload_uid": "<batch>"}
    if record.origin == "storage" and record.method == "POST":
        body = form(record, avala)
        headers["content-type"] = "<form>"
        headers["content-length"] = None  # it counts the boundary
    elif record.origin == "storage":
        body = [record.body_size, record.body.hex()]
    elif record.method == "POST":
        headers["content-length"] = None  # it counts the blanks in the JSON
    query = {name: value for name, value in record.query.items() if name not in SIGNING}
    return json.dumps([record.origin, record.method, path, query, headers, body], default=repr)


def log_of(avala: Emulator) -> Counter[str]:
    return Counter(described(record, avala) for record in avala.requests)


def batches(avala: Emulator) -> set[str]:
    bodies = [record.json for record in avala.requests_to("POST")]
    return {body["dataset_upload_uid"] for body in bodies if "dataset_upload_uid" in (body or {})}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_operator_s_requests_equal_those_of_the_sdk(
    avala: Emulator, folder: Path, options: dict[str, Any]
) -> None:
    by_the_sdk(avala, folder, options)
    expected, files = log_of(avala), avala.files
    assert len(batches(avala)) == 1
    dataset = {**avala.datasets[-1], "id": "", "uid": "", "created_at": "", "updated_at": ""}
    avala.reset()
    by_the_operator(avala, folder, options)
    found = log_of(avala)
    [batch] = batches(avala)
    assert str(uuid.UUID(batch)) == batch
    only_sdk, only_ours = expected - found, found - expected
    assert {json.loads(each)[2] for each in only_sdk} <= {"/users/me/"}
    assert [json.loads(each)[1:4] for each in only_ours] == [
        ["GET", "/datasets/", {"name": "Cars", "limit": "100"}]
    ]
    assert avala.files == files
    assert {**avala.datasets[-1], "id": "", "uid": "", "created_at": "", "updated_at": ""} == dataset
    if avala.upload_options.mode != "complete":
        assert {key.split("/Cars/")[1]: file.content for key, file in files.items()} == {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }


def test_the_order_of_phases_is_that_of_the_sdk(avala: Emulator, folder: Path) -> None:
    def phases() -> list[str]:
        steps = []
        for record in avala.requests:
            uploads = record.origin == "storage" or re.search("upload-url|/uploads/", record.path)
            step = "upload" if uploads else f"{record.method} {record.path.partition('?')[0]}"
            step = re.sub("[0-9a-f-]{36}", "<uid>", step)
            if not steps or steps[-1] != step:
                steps.append(step)
        return [step for step in steps if step not in ("GET /users/me/", "GET /datasets/")]

    by_the_sdk(avala, folder, {})
    expected = phases()
    avala.reset()
    by_the_operator(avala, folder, {})
    assert phases() == expected
    assert expected[0] == "GET /datasets/manual-upload/quota/"
