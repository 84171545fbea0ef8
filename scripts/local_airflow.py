"""A real Airflow in a folder: scheduler, triggerer, dag-processor and api-server as processes on 127.0.0.1.

All that differs between Airflow 2.11 and 3 is in the two :class:`Flavour` objects at the end of this file.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripts.processes import (
    ChildProcess,
    LocalError,
    ProcessFailed,
    free_port,
    stop_all,
    wait_until,
)

FINISHED = {"success", "failed"}
USER, PASSWORD = "admin", "admin"  # loopback only, and a throw-away database

SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__PARALLELISM": "4",  # the local executor forks them all at once, 32 by default
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",  # it would open a port
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


@dataclass(frozen=True)
class Flavour:
    """What one major version of Airflow calls things.

    :param components: name -> arguments of the ``airflow`` command
    :param settings: environment variables; ``{port}`` stands for the web port
    :param api: path of the REST API
    :param health: path of the health report
    :param setup: commands that prepare an empty AIRFLOW_HOME
    :param run_defaults: what the body of a new DAG run must hold
    """

    components: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, str]
    api: str
    health: str
    setup: tuple[tuple[str, ...], ...]
    run_defaults: Mapping[str, Any]


class LocalAirflow:
    """One Airflow whose database, logs and processes live in one folder.

    :param home: becomes AIRFLOW_HOME; should be empty or made by an earlier run
    :param dags_folder: DAG files, read where they are
    :param env: more environment variables, for example ``AIRFLOW_CONN_AVALA_DEFAULT``
    :param port: of the web UI and REST API; 0 picks a free one
    """

    def __init__(
        self, home: Path, *, dags_folder: Path, env: Mapping[str, str] | None = None, port: int = 0
    ) -> None:
        self.home = home.resolve()
        self.version = version("apache-airflow")
        self.flavour = AIRFLOW_2 if self.version.startswith("2.") else AIRFLOW_3
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process_logs = self.home / "processes"
        self.children: dict[str, ChildProcess] = {}
        settings = SETTINGS | dict(self.flavour.settings)
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder.resolve()),
            **{name: value.format(port=self.port) for name, value in settings.items()},
            **(env or {}),
        }
        self._token = ""

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Processes

    def command(self, *arguments: str) -> list[str]:
        """The ``airflow`` command of the running Python."""
        return [str(Path(sys.executable).with_name("airflow")), *arguments]

    def prepare(self) -> None:
        """Create or migrate the database.

        :raises ProcessFailed: with the log of the command that failed
        """
        self.process_logs.mkdir(parents=True, exist_ok=True)
        log = self.process_logs / "setup.log"
        for arguments in self.flavour.setup:
            with log.open("ab") as out:
                done = subprocess.run(  # noqa: S603
                    self.command(*arguments),
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            if done.returncode:
                raise ProcessFailed(f"`airflow {arguments[0]} {arguments[1]}` failed", [log])

    def start(self) -> None:
        """Start every component, each with a log file of its own."""
        for name, arguments in self.flavour.components.items():
            self.children[name] = ChildProcess(
                name,
                self.command(*(part.format(port=self.port) for part in arguments)),
                env=self.env,
                log=self.process_logs / f"{name}.log",
            )

    def stop(self) -> None:
        """End every component and whatever they have started."""
        stop_all(self.children.values())
        self.children.clear()

    def wait_until_healthy(self, seconds: float = 180) -> None:
        """Wait until Airflow itself reports a live scheduler, triggerer and dag-processor."""

        def healthy() -> bool:
            try:
                report = self.request("GET", self.flavour.health)
            except (OSError, LocalError):
                return False
            states = [part["status"] for part in report.values() if part and part.get("status")]
            return len(states) >= 3 and set(states) == {"healthy"}

        self.wait(healthy, seconds, "all parts of Airflow to report healthy")

    def wait(self, condition: Any, seconds: float, what: str) -> Any:
        """Wait for a condition while all components live; see :func:`wait_until`."""
        return wait_until(condition, seconds, what, children=self.children.values())

    # REST API

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API and decode its answer.

        :raises LocalError: for an answer other than 2xx, with what the server said
        """
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310
        request.add_header("Authorization", self._authorization())
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with _opener.open(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise LocalError(f"{method} {path} answered {error.code}: {said[:500]}") from None

    def _authorization(self) -> str:
        if self.flavour is AIRFLOW_2:
            return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if not self._token:
            with _opener.open(f"{self.url}/auth/token", timeout=30) as response:
                self._token = json.load(response)["access_token"]
        return f"Bearer {self._token}"

    def wait_for_dag(self, dag_id: str, seconds: float = 60) -> None:
        """Wait until the DAG file has been parsed.

        :raises LocalError: with the import error, if the file cannot be imported
        """

        def parsed() -> bool:
            listed = self.request("GET", f"{self.flavour.api}/dags?limit=100")["dags"]
            if any(dag["dag_id"] == dag_id for dag in listed):
                return True
            broken = self.request("GET", f"{self.flavour.api}/importErrors")["import_errors"]
            if broken:
                raise LocalError(f"{broken[0]['filename']} cannot be imported:\n{broken[0]['stack_trace']}")
            return False

        self.wait(parsed, seconds, f"the DAG {dag_id!r} to be parsed")

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a DAG run; its run id is returned."""
        body = dict(self.flavour.run_defaults) | {"conf": dict(conf or {})}
        run: dict[str, Any] = self.request("POST", f"{self.flavour.api}/dags/{dag_id}/dagRuns", body)
        return str(run["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a DAG run: queued, running, success or failed."""
        return str(self.request("GET", self._run_path(dag_id, run_id))["state"])

    def task_instances(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """The task instances of a run by task id, as the REST API shows them."""
        answer = self.request("GET", self._run_path(dag_id, run_id) + "/taskInstances")
        return {task["task_id"]: task for task in answer["task_instances"]}

    def return_value(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """The XCom that a task has returned."""
        path = f"{self._run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.request("GET", path)["value"]

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Let a task run again, as its *Clear* button does."""
        which = {"dag_run_id": run_id, "task_ids": [task_id]}
        how = {"dry_run": False, "only_failed": False, "reset_dag_runs": True}
        self.request("POST", f"{self.flavour.api}/dags/{dag_id}/clearTaskInstances", which | how)

    def follow(self, dag_id: str, run_id: str, seconds: float = 180) -> Iterator[dict[str, Any]]:
        """Yield each task instance when its state has changed, until the run is over.

        :param seconds: how long nothing may change
        """
        seen: dict[str, str] = {}

        def news() -> tuple[str, list[dict[str, Any]]] | None:
            run = self.run_state(dag_id, run_id)  # before the tasks, so that their last states are not missed
            tasks = self.task_instances(dag_id, run_id).values()
            changed = [task for task in tasks if task["state"] and seen.get(task["task_id"]) != task["state"]]
            return (run, changed) if changed or run in FINISHED else None

        run = ""
        while run not in FINISHED:
            run, changed = self.wait(news, seconds, f"progress in {dag_id!r}")
            seen |= {task["task_id"]: task["state"] for task in changed}
            yield from changed

    def set_connection(self, conn_id: str, fields: Mapping[str, str]) -> None:
        """Store a connection in Airflow's database, as its form does."""
        body = {"connection_id": conn_id, **fields}
        path = f"{self.flavour.api}/connections"
        known = {c["connection_id"] for c in self.request("GET", f"{path}?limit=1000")["connections"]}
        if conn_id in known:
            self.request("PATCH", f"{path}/{conn_id}", body)
        else:
            self.request("POST", path, body)

    def _run_path(self, dag_id: str, run_id: str) -> str:
        return f"{self.flavour.api}/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}"

    # Files

    def task_logs(self, dag_id: str, run_id: str, task_id: str) -> list[Path]:
        """Log files of one task, the triggerer's part included, oldest first."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return sorted((p for p in folder.rglob("*.log*") if p.is_file()), key=lambda p: p.stat().st_mtime)


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

AIRFLOW_3 = Flavour(
    components={
        "api-server": ("api-server", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    },
    settings={
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__BASE_URL": "http://127.0.0.1:{port}",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    },
    api="/api/v2",
    health="/api/v2/monitor/health",
    setup=(("db", "migrate"),),
    run_defaults={"logical_date": None},
)

AIRFLOW_2 = Flavour(
    components={
        "webserver": ("webserver", "--hostname", "127.0.0.1", "--port", "{port}", "--workers", "1"),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    },
    settings={
        "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor",  # the only one that 2.x allows with SQLite
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
        "AIRFLOW__WEBSERVER__BASE_URL": "http://127.0.0.1:{port}",
    },
    api="/api/v1",
    health="/api/v1/health",
    setup=(
        ("db", "migrate"),
        tuple(f"users create -r Admin -u {USER} -p {PASSWORD} -f Local -l Admin -e a@example.com".split()),
    ),
    run_defaults={},
)
