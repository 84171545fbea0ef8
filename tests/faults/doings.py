"""The columns of the fault matrix: what is being done when something goes wrong, and how to tell whether it was done.

Each has requests at which the fault is aimed, a way of doing it, and a witness: what Avala holds once it has been done.
"""

from __future__ import annotations

import asyncio
import re
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_avala.emulator import SEED_DATASET_ID, SEED_PROJECT_ID
from airflow_provider_avala.operators.avala import (
    AvalaCreateDatasetOperator,
    AvalaCreateExportOperator,
    AvalaDownloadExportOperator,
    AvalaUploadItemsOperator,
)
from airflow_provider_avala.sensors.avala import AvalaExportSensor
from airflow_provider_avala.triggers.avala import AvalaExportTrigger
from tests.airflow_support import CONN_ID, first_event, in_mode, run_deferred, run_to_end, stored_and_loaded
from tests.faults.bench import Bench

POLLS = 0.02
ROWS = [{"id": number} for number in range(10, 14)]
Fault = Callable[[], None]


@dataclass(frozen=True)
class Doing:
    """One column.

    :param do: does it; gets the bench and what makes the fault happen from now on.
    :param done: asserts that it was done, once, and that ``result`` is right.
    :param prepare: what has to be there before.
    :param times_done: how often it was done, where that must not be twice.
    :param method, path, origin, skip: the requests at which the fault is aimed.
    """

    do: Callable[[Bench, Fault], Any]
    done: Callable[[Bench, Any], None]
    prepare: Callable[[Bench], None] = lambda bench: None
    times_done: Callable[[Bench], int] = lambda bench: 0
    method: str = "GET"
    path: str = "/exports/"
    origin: str = "api"
    skip: int = 0
    #: Whether it has a time of its own after which it gives up.
    is_patient: bool = False
    #: Whether Airflow would try it again, with the same identity.
    is_task: bool = False

    @property
    def target(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "path": re.compile(f"^{self.path}"),
            "origin": self.origin,
            "skip": self.skip,
        }


# hook.run, hook.paginate


def _one_export(bench: Bench) -> None:
    bench.export_id = bench.avala.add_export(name="labels", seconds=0)


def _running_export(bench: Bench) -> None:
    bench.export_id = bench.avala.add_export(name="labels", status="pending")


def _get(bench: Bench, fault: Fault) -> Any:
    fault()
    return bench.hook().run("GET", f"/exports/{bench.export_id}/")


def _is_the_export(bench: Bench, found: Any) -> None:
    assert found["uid"] == bench.export_id


def _post(bench: Bench, fault: Fault) -> Any:
    fault()
    body = {"name": "made", "format": "json", "projects": [SEED_PROJECT_ID]}
    return bench.hook().run("POST", "/exports/", json=body)


def _made(bench: Bench) -> int:
    return len(bench.avala.exports)


def _is_made(bench: Bench, found: Any) -> None:
    (export,) = bench.avala.exports
    assert found["uid"] == export["id"]


def _three_exports(bench: Bench) -> None:
    for number in range(3):
        bench.avala.add_export(name=f"labels {number}", seconds=0)


def _paginate(bench: Bench, fault: Fault) -> Any:
    fault()
    return list(bench.hook().paginate("/exports/", params={"limit": 1}))


def _are_all(bench: Bench, found: Any) -> None:
    assert [each["name"] for each in found] == ["labels 2", "labels 1", "labels 0"]


# Tasks


def _create_export(bench: Bench, fault: Fault) -> Any:
    fault()
    task = AvalaCreateExportOperator(
        task_id="task",
        project_id=SEED_PROJECT_ID,
        poll_interval=POLLS,
        timeout=bench.patience,
        deferrable=False,
        retries=3,
    )
    return run_to_end(task, bench.context())


def _id_is_made(bench: Bench, found: Any) -> None:
    _is_made(bench, {"uid": found})


def _wait(mode: str) -> Callable[[Bench, Fault], Any]:
    def wait(bench: Bench, fault: Fault) -> Any:
        def sensor() -> AvalaExportSensor:
            return AvalaExportSensor(
                task_id="task",
                export_id=bench.export_id,
                poke_interval=POLLS,
                timeout=bench.patience,
                retries=3,
                **in_mode(mode),
            )

        context = bench.context()
        if mode != "deferrable":
            fault()
            return run_to_end(sensor(), context)
        try:
            return sensor().execute(context)
        except TaskDeferred as deferred:
            bench.avala.finish_export(bench.export_id)
            fault()
            return run_deferred(sensor(), deferred, context)  # on another worker, without a connection yet

    return wait


def _trigger(bench: Bench, fault: Fault) -> Any:
    fault()
    trigger = AvalaExportTrigger(bench.export_id, CONN_ID, POLLS, time.time() + bench.patience)
    return asyncio.run(first_event(stored_and_loaded(trigger)))


def _is_finished(bench: Bench, event: Any) -> None:
    assert event == {"status": "finished", "export_id": bench.export_id}


def _upload_items(bench: Bench, fault: Fault) -> Any:
    fault()
    task = AvalaUploadItemsOperator(
        task_id="task", dataset_id=SEED_DATASET_ID, items=ROWS, part_size=20, concurrency=1, retries=3
    )
    return run_to_end(task, bench.context())


def _rows_stored(bench: Bench) -> int:
    rows = bench.avala.items(SEED_DATASET_ID)
    return max((rows.count(row) for row in rows), default=0)


def _rows_are_there(bench: Bench, found: Any) -> None:
    assert (found["items"], found["parts"]) == (4, 2)
    assert [row["id"] for row in bench.avala.items(SEED_DATASET_ID)] == [row["id"] for row in ROWS]


def _two_files(bench: Bench) -> None:
    for name in ("a.jpg", "b.jpg"):
        (bench.folder / name).write_bytes(name.encode() * 100)


def _create_dataset(bench: Bench, fault: Fault) -> Any:
    fault()
    task = AvalaCreateDatasetOperator(
        task_id="task",
        name="Cars",
        slug="cars",
        data_type="image",
        source=str(bench.folder),
        concurrency=1,
        poll_interval=POLLS,
        timeout=30,
        deferrable=False,
        retries=3,
    )
    return run_to_end(task, bench.context())


def _datasets(bench: Bench) -> list[str]:
    return [dataset["id"] for dataset in bench.avala.datasets if dataset["name"] == "Cars"]


def _dataset_is_there(bench: Bench, found: Any) -> None:
    assert [found] == _datasets(bench)
    assert sorted(file.content for file in bench.avala.files.values()) == [b"a.jpg" * 100, b"b.jpg" * 100]


def _download(bench: Bench, fault: Fault) -> Any:
    fault()
    target = bench.folder / "labels.zip"
    task = AvalaDownloadExportOperator(task_id="task", export_id=bench.export_id, path=str(target), retries=3)
    return run_to_end(task, bench.context())


def _file_is_whole(bench: Bench, found: Any) -> None:
    assert zipfile.ZipFile(found).testzip() is None
    assert [path.name for path in Path(found).parent.iterdir()] == ["labels.zip"]


def _test_connection(bench: Bench, fault: Fault) -> Any:
    fault()
    return bench.hook().test_connection()


def _is_fine(bench: Bench, found: Any) -> None:
    works, _ = found
    assert works


_ASKS = {"path": "/exports/[^/]+/", "prepare": _one_export}

COLUMNS: dict[str, Doing] = {
    "hook.run GET": Doing(_get, _is_the_export, **_ASKS),
    "hook.run POST": Doing(_post, _is_made, times_done=_made, method="POST"),
    "hook.paginate": Doing(_paginate, _are_all, _three_exports, skip=1),
    "create export": Doing(
        _create_export, _id_is_made, times_done=_made, method="POST", is_task=True, is_patient=True
    ),
    "sensor (poke)": Doing(_wait("poke"), _is_the_export, **_ASKS, is_patient=True, is_task=True),
    "sensor (reschedule)": Doing(_wait("reschedule"), _is_the_export, **_ASKS, is_patient=True, is_task=True),
    "sensor (deferrable)": Doing(
        _wait("deferrable"),
        _is_the_export,
        **_ASKS | {"prepare": _running_export},
        is_patient=True,
        is_task=True,
    ),
    "trigger": Doing(_trigger, _is_finished, **_ASKS, is_patient=True),
    "upload items": Doing(
        _upload_items,
        _rows_are_there,
        times_done=_rows_stored,
        method="POST",
        path="/datasets/[^/]+/items",
        skip=1,
        is_task=True,
    ),
    "managed upload (bytes)": Doing(
        _create_dataset,
        _dataset_is_there,
        _two_files,
        lambda bench: len(_datasets(bench)),
        method="PUT",
        path="/",
        origin="storage",
        is_task=True,
    ),
    "managed upload (dataset)": Doing(
        _create_dataset,
        _dataset_is_there,
        _two_files,
        lambda bench: len(_datasets(bench)),
        method="POST",
        path="/datasets/manual-upload/?$",
        is_task=True,
    ),
    "download": Doing(
        _download, _file_is_whole, _one_export, path="/exports/", origin="storage", is_task=True
    ),
    "test_connection": Doing(_test_connection, _is_fine, path="/datasets/"),
}
