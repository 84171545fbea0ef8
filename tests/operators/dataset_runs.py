"""Attempts at making a dataset, and what came of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_avala.emulator import Emulator
from airflow_provider_avala.operators.avala import AvalaCreateDatasetOperator
from tests.airflow_support import context, run_to_end

BYTES, FINALIZE = re.compile("^/uploads"), re.compile("^/datasets/manual-upload/?$")
WAITS = {
    "not": {"wait_for_completion": False},
    "on the worker": {"deferrable": False},
    "in the triggerer": {"deferrable": True},
}
WAITING = {name: arguments for name, arguments in WAITS.items() if "deferrable" in arguments}
waiting = pytest.mark.parametrize("arguments", WAITING.values(), ids=WAITING)
in_every_mode = pytest.mark.parametrize("arguments", WAITS.values(), ids=WAITS)


def operator(folder: Path, **arguments: Any) -> AvalaCreateDatasetOperator:
    defaults = {
        "task_id": "dataset",
        "name": "Cars",
        "slug": "cars",
        "data_type": "image",
        "source": str(folder),
        "poll_interval": 0.02,
        "timeout": 30,
        "retries": 3,
        "concurrency": 1,
    }
    return AvalaCreateDatasetOperator(**defaults | arguments)


def run(task: AvalaCreateDatasetOperator, *, tries: int = 1, max_tries: int = 3, **identity: Any) -> str:
    """One attempt of the task run with this identity."""
    attempt = context(task_id="dataset", max_tries=max_tries, **identity)
    attempt["ti"].try_number = tries
    found = run_to_end(task, attempt)
    assert isinstance(found, str)
    return found


def made(avala: Emulator) -> list[str]:
    return [dataset["id"] for dataset in avala.datasets if dataset["name"] == "Cars"]


def batches(avala: Emulator) -> set[str]:
    bodies = [request.json for request in avala.requests_to("POST", "/datasets/manual-upload/")]
    return {body["dataset_upload_uid"] for body in bodies if "dataset_upload_uid" in body}


def arrived(avala: Emulator) -> int:
    """How many files the storage took."""
    return sum(1 for request in avala.requests_to("PUT", origin="storage") if (request.status or 500) < 300)
