"""How many requests a second the emulator answers on one core, how fast it starts, and how it stops.

Run as ``python -m benchmarks.emulator --seconds 5``. The emulator runs in a process of its own, bound to one core; the
client sends plain GETs over a few connections that stay open, from another core where there is one. On a machine that
is busy with other things, the figures per second of processor time are those that say something.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CASES = {
    "GET one dataset": "/datasets/0a7a1a00-0000-4000-8000-000000000004/",
    "GET a list of datasets": "/datasets/?limit=100",
    "GET an unknown dataset": "/datasets/unknown/",
}
CONNECTIONS = 4


@contextmanager
def emulator(core: int, *options: str) -> Iterator[tuple[dict[str, Any], float]]:
    """Run the command on one core; yield what its ready file says and the seconds that took."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [
            sys.executable,
            "-m",
            "airflow_provider_avala.emulator",
            "--port",
            "0",
            "--rate-limits",
            "none",
        ]
        started = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--ready-file", str(ready), *options], stdout=subprocess.DEVNULL
        )
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, {core})
            while not ready.exists():
                if process.poll() is not None:
                    raise RuntimeError(f"the emulator ended with {process.returncode}")
                time.sleep(0.002)
            yield json.loads(ready.read_text()), time.monotonic() - started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def hammer(base_url: str, path: str, key: str, until: float, counts: list[int]) -> None:
    """Send one GET after the other over one connection until the time is up."""
    parts = urlsplit(base_url)
    request = (
        f"GET {parts.path}{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nX-Avala-Api-Key: {key}\r\n"
        "Accept: application/json\r\n\r\n"
    ).encode()
    sent = 0
    with socket.create_connection((str(parts.hostname), int(parts.port or 80))) as connection:
        while time.monotonic() < until:
            connection.sendall(request)
            read_answer(connection)
            sent += 1
    counts.append(sent)


def read_answer(connection: socket.socket) -> None:
    """Read one answer that has a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += connection.recv(65536)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def requests_a_second(ready: dict[str, Any], path: str, seconds: float) -> tuple[float, float]:
    """Measure one case: requests per second of the clock, and per second of the emulator's processor time."""
    counts: list[int] = []
    started, used = time.monotonic(), processor_seconds(ready["pid"])
    threads = [
        threading.Thread(
            target=hammer, args=(ready["base_url"], path, ready["api_key"], started + seconds, counts)
        )
        for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent, used = sum(counts), processor_seconds(ready["pid"]) - used
    return sent / (time.monotonic() - started), sent / used


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case (%(default)s)")
    options = parser.parse_args()
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    with emulator(core) as (ready, seconds):
        print(f"start: {seconds:.2f} s, of which {processor_seconds(ready['pid']):.2f} s on the processor")
        for name, path in CASES.items():
            wall, processor = requests_a_second(ready, path, options.seconds)
            print(f"{name}: {wall:,.0f} requests/s; {processor:,.0f} per second of processor time")
        stopping = time.monotonic()
    print(f"stop: {time.monotonic() - stopping:.2f} s")


if __name__ == "__main__":
    main()
