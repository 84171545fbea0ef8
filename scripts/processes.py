"""Child processes that log into a file, are waited for with a deadline, and leave nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.2


class LocalError(Exception):
    """Something on this machine stands in the way.

    :param message: what
    :param logs: files that tell more
    """

    def __init__(self, message: str, logs: Iterable[Path] = ()) -> None:
        super().__init__(message)
        self.logs = list(logs)


class ProcessFailed(LocalError):
    """A child process ended badly, or although it should be running."""


class ChildProcess:
    """One long-running child. It leads a session of its own, by which its grandchildren are found and ended.

    :param name: what people call it, used in messages
    :param command: argument list
    :param env: the whole environment of the child
    :param log: file that receives its output; appended to
    """

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.popen = subprocess.Popen(  # noqa: S603
                list(command),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    def check(self) -> None:
        """Raise :class:`ProcessFailed` if the child has ended."""
        code = self.popen.poll()
        if code is not None:
            raise ProcessFailed(f"{self.name} ended with exit code {code}", [self.log])

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """End the child and everything it has started; see :func:`stop_all`."""
        stop_all([self], grace_seconds=grace_seconds)


def _end_with_parent() -> None:
    """Ask Linux to end this child when its parent dies, even by a kill that no cleaning up can follow."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def stop_all(children: Iterable[ChildProcess], *, grace_seconds: float = 5.0) -> None:
    """End the children and everything that still lives in their sessions.

    :param grace_seconds: how long the children may take to end by themselves
    """
    children = list(children)
    with uninterrupted():
        for child in children:
            if child.popen.poll() is None:
                child.popen.terminate()
        with contextlib.suppress(LocalError):
            wait_until(lambda: all(c.popen.poll() is not None for c in children), grace_seconds, "the ends")
        sessions = {child.popen.pid for child in children}
        wait_until(lambda: not kill_sessions(sessions), 10, "killed processes to vanish")
        for child in children:
            child.popen.wait()


def kill_sessions(sessions: set[int]) -> list[int]:
    """Kill every process of these sessions; the ids of those that were found, zombies apart.

    A component may have left children in process groups of their own; they keep the session of their leader.
    """
    found = []
    for pid in _living_processes():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) in sessions:
                os.kill(pid, signal.SIGKILL)
                found.append(pid)
    return found


def _living_processes() -> list[int]:
    import psutil  # type: ignore[import-untyped]

    return [p.pid for p in psutil.process_iter(["status"]) if p.info["status"] != psutil.STATUS_ZOMBIE]


def wait_until(
    condition: Callable[[], T | bool | None],
    seconds: float,
    what: str,
    *,
    children: Iterable[ChildProcess] = (),
) -> T:
    """Ask until the answer is truthy, and return it.

    :param what: completes the sentence "waited 30 s for ..."
    :param children: processes that must stay alive meanwhile
    :raises LocalError: when the time is over
    :raises ProcessFailed: when one of the children has ended
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        answer = condition()
        if answer:
            return answer  # type: ignore[return-value]
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise LocalError(f"waited {seconds:.0f} s for {what}")
        pause.wait(POLL_SECONDS)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, so that ``finally`` blocks run."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore further signals while cleaning up, so that an impatient second Ctrl-C leaves nothing behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def only_one(folder: Path, command: str) -> Iterator[None]:
    """Hold a folder for one run of a command.

    :raises LocalError: when another run holds it
    """
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(
                f"another '{command}' runs in this folder: stop it, or wait for its end"
            ) from None
        yield
