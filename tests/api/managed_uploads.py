"""What the tests of managed uploads share: an emulator, files, and looks at what arrived."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from airflow_provider_avala.emulator import running_emulator

MIB = 1024 * 1024
FORMS = ("put", "post", "multipart")
BYTES = re.compile("^/uploads")
PRESIGN, COMPLETE = "/datasets/manual-upload/file-upload-url/", re.compile("/complete/$")
CARS = {"name": "Cars", "slug": "cars", "data_type": "image"}


@pytest.fixture(scope="module")
def running():
    with running_emulator(rate_limits=None, dataset_seconds=0, max_uploads=100) as emulator:
        yield emulator


@pytest.fixture
def avala(running):
    running.reset()
    running.upload_options.mode = "put"
    running.upload_options.quota = 10**12
    return running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name, size in {"1.jpg": 5, "a/2.png": 3000, "a/ü b.jpg": 7, "empty.jpg": 0}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes(number % 251 for number in range(size)))
    return root


def stored(avala) -> dict[str, bytes]:
    """What arrived, by path in the dataset."""
    return {key.split("/Cars/")[1]: file.content for key, file in avala.files.items()}


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def made(avala) -> list[str]:
    return [dataset["id"] for dataset in avala.datasets if dataset["name"] == "Cars"]


def sent(avala, path: str) -> list[dict]:
    return [json.loads(request.body) for request in avala.requests_to("POST", path)]


def bytes_sent(avala) -> list[str]:
    """Where the storage took bytes."""
    return [request.path for request in avala.requests_to(origin="storage") if (request.status or 500) < 300]
