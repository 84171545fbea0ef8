"""What living processes hold: descriptors, threads, memory; of those that live from one look to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Vitals:
    """What processes hold together.

    :param processes: how many they are.
    :param descriptors: open files, sockets and pipes.
    :param threads: of all of them.
    :param megabytes: resident memory; what they share is counted for each.
    """

    processes: int = 0
    descriptors: int = 0
    threads: int = 0
    megabytes: float = 0.0

    def __add__(self, other: Vitals) -> Vitals:
        return Vitals(
            self.processes + other.processes,
            self.descriptors + other.descriptors,
            self.threads + other.threads,
            self.megabytes + other.megabytes,
        )


#: Vitals of each process of a component, by process id.
Look = Mapping[str, Mapping[int, Vitals]]


def look(components: Mapping[str, int]) -> Look:
    """Look at some processes; what they have started is a component of its own, ``<name>'s children``.

    :param components: process ids by name.
    """
    found: dict[str, dict[int, Vitals]] = {}
    for name, pid in components.items():
        found[name] = _of([psutil.Process(pid)])
        if children := _of(psutil.Process(pid).children(recursive=True)):
            found[f"{name}'s children"] = children
    return found


def _of(processes: list[psutil.Process]) -> dict[int, Vitals]:
    found = {}
    for process in processes:
        try:
            with process.oneshot():
                memory = process.memory_info().rss / 1e6
                found[process.pid] = Vitals(1, process.num_fds(), process.num_threads(), memory)
        except psutil.Error:  # it has ended meanwhile
            continue
    return found


def lasting(looks: list[Look]) -> dict[str, list[Vitals]]:
    """What the processes that appear in all looks held at each of them, by component.

    :param looks: at least one, in order.
    """
    found = {}
    for name in looks[0]:
        everywhere = set.intersection(*({*one.get(name, {})} for one in looks))
        if everywhere:
            found[name] = [sum((one[name][pid] for pid in everywhere), Vitals()) for one in looks]
    return found
