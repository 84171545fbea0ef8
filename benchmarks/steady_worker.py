"""One process that uploads, exports, waits and downloads again and again: what would leak, leaks here.

Run as ``python -m benchmarks.steady_worker JOBS DONE``: a file with a JSON list of jobs, and the file that will name
those that were done.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

from airflow_provider_avala.api.errors import AvalaError
from airflow_provider_avala.api.models import State
from airflow_provider_avala.hooks.avala import AvalaHook

PART_SIZE = 4096


def main() -> None:
    """Do the jobs in order."""
    logging.getLogger("airflow_provider_avala").setLevel(logging.WARNING)
    jobs, done = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    hook = AvalaHook()
    for job in jobs:
        try:
            work(hook, job)
        except AvalaError as error:
            print(f"{job['name']}: {type(error).__name__}: {error}", flush=True)
            continue
        with done.open("a") as file:
            file.write(f"{job['name']}\n")


def work(hook: AvalaHook, job: dict[str, str]) -> None:
    """Do one job."""
    hook.upload_items(job["dataset_id"], job["source"], part_size=PART_SIZE)
    export = hook.create_export(dataset_id=job["dataset_id"], name=job["name"])
    while export.state is State.RUNNING:
        time.sleep(1)
        export = hook.get_export(export.id)
    hook.download_export(export.id, job["target"])


if __name__ == "__main__":
    main()
