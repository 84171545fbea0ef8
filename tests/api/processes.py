"""Real processes for tests: forked, waited for, killed by their id."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_fork = multiprocessing.get_context("fork")


def in_child(work: Callable[[], Any], patience: float = 30) -> Any:
    """What ``work`` returns in a forked process; its error is raised here."""
    return in_children([work], patience)[0]


def in_children(works: list[Callable[[], Any]], patience: float = 60) -> list[Any]:
    """What each of ``works`` returns, all run at the same time in forked processes."""
    pipes, children = [], []
    for work in works:
        receive, send = _fork.Pipe(duplex=False)
        child = _fork.Process(target=_report, args=(work, send), daemon=True)
        child.start()
        send.close()
        pipes.append(receive)
        children.append(child)
    try:
        answers = []
        for pipe in pipes:
            assert pipe.poll(patience), f"a child has not answered in {patience} s"
            answers.append(pipe.recv())
    finally:
        for child in children:
            child.join(1)
            child.kill()
            child.join()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def _report(work, send):
    try:
        send.send(work())
    except BaseException as error:
        send.send(error)


@contextmanager
def running(work: Callable[[Callable[[], None]], None]) -> Iterator[Any]:
    """A forked process that has called what ``work`` was given; killed at the end."""
    receive, send = _fork.Pipe(duplex=False)
    child = _fork.Process(target=work, args=(lambda: send.send(None),), daemon=True)
    child.start()
    send.close()
    try:
        assert receive.poll(30), "the child has not come so far"
        receive.recv()
        yield child
    finally:
        child.kill()
        child.join()


def for_ever() -> None:
    """Do nothing until killed."""
    while True:
        signal.pause()


def kill_self() -> None:
    """Die as from ``kill -9``, here and now."""
    os.kill(os.getpid(), signal.SIGKILL)


def until(condition: Callable[[], bool], patience: float = 30) -> None:
    """Come back as soon as the condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience} s"
