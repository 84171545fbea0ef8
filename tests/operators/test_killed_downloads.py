"""A worker is killed with -9 while it downloads; the retry goes on with what it left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_avala.emulator import Emulator, faults
from airflow_provider_avala.operators.avala import AvalaDownloadExportOperator
from tests.airflow_support import context, run_to_end
from tests.api.test_unpacking import files_in, zipped
from tests.s3_server import CONN_ID, s3_client

PICTURE = random.Random(5).randbytes(2_000_000)
DATA = zipped(("a.json", b"[]"), ("images/1.png", PICTURE))
#: Bytes after whose arrival the worker is killed.
ENOUGH = 100_000
WORKER = """
import sys
from airflow_provider_avala.operators.avala import AvalaDownloadExportOperator
from tests.airflow_support import context
export_id, path, unpack = sys.argv[1:]
AvalaDownloadExportOperator(
    task_id="download", export_id=export_id, path=path, unpack=unpack == "True"
).execute(context())
"""


@pytest.fixture
def s3() -> Any:
    """A client of the S3 that the connection leads to."""
    return s3_client()


def kill_in_the_middle(folder: Path, export_id: str, path: str, *, unpack: bool) -> int:
    """Run a worker, kill it when some bytes have arrived, and say how many are kept."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WORKER, export_id, path, str(unpack)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline, pause = time.monotonic() + 120, threading.Event()
    try:
        while not (parts := [part for part in folder.rglob("*.part") if part.stat().st_size >= ENOUGH]):
            assert process.poll() is None, "the worker ended by itself"
            assert time.monotonic() < deadline, "nothing arrives"
            pause.wait(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    return parts[0].stat().st_size


@pytest.mark.parametrize("way", ["file", "unpacked", "s3"])
def test_the_retry_of_a_killed_download_asks_for_the_rest(
    way: str, avala: Emulator, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    s3.create_bucket(Bucket="labels")
    path = f"s3://{CONN_ID}@labels/labels.zip" if way == "s3" else str(tmp_path / "labels")
    export_id = avala.add_export(artifact=DATA)
    avala.inject(faults.slow_body(40, pieces=2000), origin="storage")
    kept = kill_in_the_middle(tmp_path, export_id, path, unpack=way == "unpacked")
    assert ENOUGH <= kept < len(DATA)
    assert "Contents" not in s3.list_objects_v2(Bucket="labels")
    assert not (tmp_path / "labels").exists()

    task = AvalaDownloadExportOperator(
        task_id="download", export_id=export_id, path=path, unpack=way == "unpacked"
    )
    assert run_to_end(task, context()) == path
    arrived: dict[str, Callable[[], Any]] = {
        "file": lambda: Path(path).read_bytes() == DATA,
        "unpacked": lambda: files_in(path) == {"a.json": b"[]", "images/1.png": PICTURE},
        "s3": lambda: s3.get_object(Bucket="labels", Key="labels.zip")["Body"].read() == DATA,
    }
    assert arrived[way]()
    assert [record.headers.get("range") for record in avala.requests_to(origin="storage")] == [
        None,
        f"bytes={kept}-",
    ]
    assert not list(tmp_path.rglob("*.part*"))
