"""Uploading in bulk, beside ``curl -F`` and the official SDK, to a server that takes whatever comes and keeps nothing.

Run as ``python -m benchmarks.bulk_upload``. Prints Markdown tables: MB/s of the same file by each way, taken in turns
and the best of several rounds, with the peak of memory above what the process took before; then growth with the size
of the file; then ten million rows. The SDK, avala 0.10.0, has no call for JSONL items: beside stands its upload of a
managed file, by one form. Its check of the address is left out, because it sends nothing to a server on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_BLOCK = 1024 * 1024
_HOST = re.compile(rb"(?i)host: *(\S+)")
_HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
#: What the SDK is told where to put a file.
_FORM = b'{"method":"POST","url":"http://%b/file","fields":{"key":"items.jsonl"}}'


def _sink(pipe: Connection) -> None:
    """Take requests of any size, throw their bodies away, and answer 201."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    pipe.send(server.getsockname()[1])
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    room, pending = memoryview(bytearray(_BLOCK)), b""
    with connection:
        while True:
            while b"\r\n\r\n" not in pending:
                block = connection.recv(65536)
                if not block:
                    return
                pending += block
            head, _, pending = pending.partition(b"\r\n\r\n")
            if b"100-continue" in head.lower():
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            found = _LENGTH.search(head)
            left = (int(found[1]) if found else 0) - len(pending)
            pending = b""
            while left > 0:
                taken = connection.recv_into(room[: min(left, _BLOCK)])
                if not taken:
                    return
                left -= taken
            host = _HOST.search(head)
            answer = _FORM % host[1] if host and b"file-upload-url" in head else b"{}"
            connection.sendall(_HEAD % (len(answer), answer))


@contextmanager
def sink() -> Iterator[int]:
    """Run the server in a process of its own; gives its port."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_sink, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def write_rows(path: Path, size: int, rows: int = 0) -> None:
    """Write JSONL of about ``size`` bytes, or of so many short rows."""
    rng = random.Random(1)
    make: Callable[[int], bytes] = _short if rows else lambda number: _long(rng, number)
    block = b"".join(make(number) for number in range(10_000))
    with path.open("wb") as file:
        for _ in range(rows // 10_000 if rows else max(1, round(size / len(block)))):
            file.write(block)


def _short(number: int) -> bytes:
    return b'{"id":%d,"url":"s3://b/%d.jpg"}\n' % (number, number)


def _long(rng: random.Random, number: int) -> bytes:
    row = {
        "id": number,
        "key": f"images/{number:08d}.jpg",
        "url": f"https://bucket.example.com/images/{number:08d}.jpg",
        "metadata": {"width": 1920, "height": 1080, "labels": ["car", "tree"], "score": rng.random()},
        "text": "Straße " * 3,
    }
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _provider(port: int, path: Path, validate: bool, pipe: Connection) -> None:
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    connection = {"conn_type": "avala", "host": f"http://127.0.0.1:{port}", "password": "avk_x"}
    connection["extra"] = {"rate_limits": "100000/1", "rate_limit_store": "memory"}  # type: ignore[assignment]
    os.environ["AIRFLOW_CONN_AVALA_DEFAULT"] = json.dumps(connection)
    from airflow_provider_avala.hooks.avala import AvalaHook

    hook = AvalaHook()
    hook.client.run("POST", "/datasets/")  # an idle hook has everything loaded
    small = path.with_name("small.jsonl")
    write_rows(small, 1)
    hook.upload_items("ds", small)
    _measured(pipe, lambda: hook.upload_items("ds", path, validate=validate))


def _sdk(port: int, path: Path, validate: bool, pipe: Connection) -> None:
    os.environ["AVALA_ALLOW_INSECURE_BASE_URL"] = "true"
    import avala
    from avala import _managed_upload
    from avala.resources import datasets

    datasets.validate_presigned_url = _managed_upload.validate_presigned_url = lambda url: None
    datasets._STATE_DIR = path.with_name("sdk-state")  # and not in the home of whoever runs this
    client = avala.Client(api_key="avk_x", base_url=f"http://127.0.0.1:{port}")

    def upload(file: Path) -> None:
        sent = client.datasets.upload_files(
            dataset_name=file.name, files=[(str(file), file.name)], resume=False
        )
        if sent != file.stat().st_size:
            sys.exit(f"the SDK sent {sent} bytes of {file.stat().st_size}")

    small = path.with_name("small.jsonl")
    write_rows(small, 1)
    upload(small)
    _measured(pipe, lambda: upload(path))


def _measured(pipe: Connection, work: Callable[[], object]) -> None:
    before, begin = _peak(), time.perf_counter()
    work()
    pipe.send((time.perf_counter() - begin, _peak() - before))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(
    target: Callable[..., None], port: int, path: Path, validate: bool = True
) -> tuple[float, float]:
    """Seconds and MB that an upload takes, in a fresh process."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=target, args=(port, path, validate, theirs))
    process.start()
    theirs.close()
    found: tuple[float, float] = ours.recv()
    process.join()
    return found


def curl(port: int, path: Path) -> tuple[float, float]:
    """Seconds that curl takes, by its own word, and its peak of memory in MB."""
    program = shutil.which("curl") or sys.exit("curl is not installed")
    command = [program, "-s", "-o", os.devnull, "-w", "%{time_total}", "-F", f"file=@{path}"]
    done = subprocess.run(  # noqa: S603  # our own words
        [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
    )
    return float(done.stdout), float("nan")


def _settled_rows(path: Path, size: int, rows: int = 0) -> None:
    """Write rows, and let the file grow older than what the provider takes for still being written."""
    write_rows(path, size, rows)
    time.sleep(4)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", default="10,100,500,2000", help="sizes in MB, comma separated")
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    with sink() as port, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.jsonl"
        _settled_rows(path, options.megabytes * 1_000_000)
        size = path.stat().st_size / 1e6
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "`curl -F`": lambda: curl(port, path),
            "this provider, `validate=False`": lambda: in_process(_provider, port, path, False),
            "this provider, `validate=True`": lambda: in_process(_provider, port, path),
            "avala 0.10.0, `datasets.upload_files`, one form": lambda: in_process(_sdk, port, path),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                found[name].append(way())
        best = {name: size / min(seconds for seconds, _ in each) for name, each in found.items()}
        print(
            f"{size:.0f} MB, best of {options.rounds} rounds\n\n|  | MB/s | of curl | memory, MB |\n|---|---|---|---|"
        )
        for name, rate in best.items():
            memory = max(memory for _, memory in found[name])
            print(f"| {name} | {rate:.0f} | {rate / best['`curl -F`']:.2f} | {memory:.0f} |")
        print("\n|  | seconds | MB/s | memory, MB |\n|---|---|---|---|")
        for megabytes in map(int, options.growth.split(",")):
            _settled_rows(path, megabytes * 1_000_000)
            seconds, memory = in_process(_provider, port, path)
            print(
                f"| {megabytes} MB | {seconds:.2f} | {path.stat().st_size / 1e6 / seconds:.0f} | {memory:.0f} |"
            )
        _settled_rows(path, 0, options.rows)
        seconds, memory = in_process(_provider, port, path)
        print(
            f"| {options.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB | {seconds:.2f} |"
            f" {path.stat().st_size / 1e6 / seconds:.0f} | {memory:.0f} |"
        )


if __name__ == "__main__":
    main()
