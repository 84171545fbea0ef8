"""Download of a large export beside ``curl -o``: MB/s and peak memory.

Run as ``python -m benchmarks.bulk_download`` where Airflow and this package are installed. A process of its own serves
the file over loopback; the two take turns, each in a new process, and the ratio of each pair counts. Our time is that
of ``AvalaHook.download_export``: it reads the export, downloads, verifies, makes the file durable (fsync, which curl
does not) and renames it. Our memory is the process's peak above what it had with an idle hook.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_MB = 1_000_000
_BLOCK = 10 * _MB
_SMALL = "small.bin"


class _Files(BaseHTTPRequestHandler):
    """An export for each file of the working directory, handed out by the kernel."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path.strip("/").split("/")[-1]
        if self.path.startswith("/api/"):
            url = f"http://{self.headers['Host']}/files/{name}"
            body = json.dumps({"uid": name, "status": "exported", "download_url": url}).encode()
            self._head(len(body), "application/json")
            self.wfile.write(body)
            return
        with Path(name).open("rb") as file:
            size, sent = os.fstat(file.fileno()).st_size, 0
            self._head(size, "application/octet-stream")
            while sent < size:
                sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, size - sent)

    def _head(self, length: int, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", kind)
        self.send_header("ETag", f'"{length}"')
        self.end_headers()
        self.wfile.flush()


def _serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.bulk_download", "serve"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment)  # noqa: S603
    try:
        assert process.stdout  # noqa: S101  # mypy
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def _ours(export_id: str, target: str) -> None:
    """Download in this process, and print seconds and bytes of memory."""
    from airflow_provider_avala.hooks.avala import AvalaHook

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    hook = AvalaHook()
    hook.download_export(_SMALL, target)  # what is imported once belongs to an idle hook
    idle, start = peak(), time.perf_counter()
    hook.download_export(export_id, target)
    print(json.dumps({"seconds": time.perf_counter() - start, "memory": peak() - idle}))


def _run_ours(url: str, name: str, target: Path) -> dict[str, float]:
    connection = {
        "conn_type": "avala",
        "host": f"{url}/api/v1",
        "password": "avk_" + "0" * 40,
        "extra": {"rate_limit_store": "memory"},
    }
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "ignore", "-m", "benchmarks.bulk_download", "ours", name, str(target)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "AIRFLOW_CONN_AVALA_DEFAULT": json.dumps(connection)},
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _run_curl(url: str, name: str, target: Path) -> float:
    start = time.perf_counter()
    command = ["curl", "-s", "-f", "-o", str(target), f"{url}/files/{name}"]
    subprocess.run(command, check=True)  # noqa: S603
    return time.perf_counter() - start


def compare(folder: Path, size: int, kind: str, rounds: int) -> dict[str, Any]:
    """Download one file by turns, and give medians.

    :param folder: where the files go; needs twice the size.
    :param size: bytes of the file.
    :param kind: ``bytes`` or ``zip``; a zip's members are checked, too.
    :param rounds: how many pairs.
    """
    source = folder / f"source.{kind}"
    _make(source, size, kind)
    (folder / _SMALL).write_bytes(b"small")
    pairs, memory = [], []
    with _serving(folder) as url:
        for number in range(rounds + 1):
            turns = ["curl", "ours"] if number % 2 else ["ours", "curl"]
            seconds = {}
            for turn in turns:
                target = folder / "target"
                if turn == "curl":
                    seconds[turn] = _run_curl(url, source.name, target)
                else:
                    measured = _run_ours(url, source.name, target)
                    seconds[turn] = measured["seconds"]
                    memory.append(measured["memory"])
                target.unlink()
                os.sync()
            if number:  # the first pair warms up
                pairs.append((seconds["curl"], seconds["ours"]))
    size = source.stat().st_size
    source.unlink()
    return {
        "size": size,
        "kind": kind,
        "curl": size / _MB / statistics.median(pair[0] for pair in pairs),
        "ours": size / _MB / statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[0] / pair[1] for pair in pairs),
        "memory": max(memory),
    }


def _make(path: Path, size: int, kind: str) -> None:
    block = os.urandom(min(_BLOCK, size))
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(size // len(block)):
                archive.writestr(f"{number}.bin", block)
        return
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, nargs="+", default=[10, 100, 1000, 2000], help="sizes in MB")
    parser.add_argument("--kinds", nargs="+", default=["bytes", "zip"], choices=["bytes", "zip"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="on the disk to write to; by default that of temporary files")
    options = parser.parse_args(arguments)
    print("| file | MB | curl -o, MB/s | this provider, MB/s | ratio | memory above an idle hook, MB |")
    print("|---|---|---|---|---|---|")
    folder = Path(tempfile.mkdtemp(prefix="avala-bulk-", dir=options.folder))
    try:
        for kind in options.kinds:
            for size in options.mb:
                found = compare(folder, size * _MB, kind, options.rounds)
                print(
                    f"| {kind} | {found['size'] / _MB:,.0f} | {found['curl']:,.0f} | {found['ours']:,.0f}"
                    f" | {found['ratio']:.2f} | {found['memory'] / _MB:.1f} |",
                    flush=True,
                )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        _serve()
    elif sys.argv[1:2] == ["ours"]:
        _ours(*sys.argv[2:])
    else:
        main()
