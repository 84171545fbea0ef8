"""What is started is ended, with everything it has started itself."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import psutil
import pytest

from scripts.processes import ChildProcess, LocalError, ProcessFailed, free_port, port_is_free, wait_until

FAMILY = """
import os, pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
    pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
signal.pause()
"""


def child(code: str, folder: Path, *arguments: str) -> ChildProcess:
    return ChildProcess(
        "child", [sys.executable, "-c", code, *arguments], env=os.environ, log=folder / "child.log"
    )


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_stubborn_family_is_ended_down_to_the_grandchild_in_another_group(tmp_path: Path) -> None:
    told = tmp_path / "grandchild"
    parent = child(FAMILY, tmp_path, str(told))
    grandchild = int(
        wait_until(lambda: told.exists() and told.read_text(), 20, "the grandchild", children=[parent])
    )
    assert alive(grandchild)
    parent.stop(grace_seconds=0.5)
    assert not alive(parent.popen.pid)
    assert not alive(grandchild)


def test_a_child_that_ends_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    brief = child("print('I give up'); raise SystemExit(3)", tmp_path)
    with pytest.raises(ProcessFailed, match="child ended with exit code 3") as caught:
        wait_until(lambda: False, 20, "nothing", children=[brief])
    [log] = caught.value.logs
    assert log.read_text() == "I give up\n"


def test_waiting_ends_at_the_deadline_and_says_what_for() -> None:
    with pytest.raises(LocalError, match="waited 0 s for the moon"):
        wait_until(lambda: False, 0, "the moon")


def test_a_port_in_use_is_told_from_a_free_one() -> None:
    assert port_is_free(free_port())
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not port_is_free(server.getsockname()[1])
