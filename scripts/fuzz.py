"""``make fuzz``: search the parsers for a crash, guided by coverage, for a bounded time each.

Run as ``python -m scripts.fuzz --seconds 30 [TARGET ...]`` where atheris is installed. Each target runs in a process of
its own; an exception that is none of ours, more than a gigabyte of memory, or ten seconds for one input ends it, and
the input is left in a file. The tests in ``tests/fuzz`` need none of this.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

PREFERRED = (b'{"results": [{"uid": "a"}], "next": null}', b'{"detail": {"a": ["b"]}}', b'{"uid": "e"}\n')


def targets() -> dict[str, Callable[[bytes], None]]:
    """What is fed with bytes, by name."""
    from airflow_provider_avala.api import archives, checksums, policy, ranges, unpacking
    from airflow_provider_avala.api.envelopes import UnknownEnvelopeError, read_error, read_page
    from airflow_provider_avala.api.errors import AvalaError
    from airflow_provider_avala.api.jsonl import cut_source
    from airflow_provider_avala.api.models import Dataset, Export
    from airflow_provider_avala.api.presigned import Target
    from airflow_provider_avala.api.sources import Source
    from airflow_provider_avala.api.transport import Answer

    def answers(data: bytes) -> None:
        with contextlib.suppress(AvalaError, UnknownEnvelopeError):
            payload = Answer(200, {}, data, "GET /").json()
            for read in (read_page, Export.read, Dataset.read, lambda found: Target.read(found, 10**8)):
                with contextlib.suppress(AvalaError, UnknownEnvelopeError):
                    read(payload)
            Export.read(payload).as_dict()

    def errors(data: bytes) -> None:
        read_error(data, "text/html" if data[:1] == b"<" else "")

    def headers(data: bytes) -> None:
        text = data.decode("latin-1")
        names = (
            "Retry-After",
            "X-RateLimit-Reset",
            "ETag",
            "Content-Range",
            "Content-Length",
            "x-goog-hash",
            "Digest",
        )
        found = dict.fromkeys(names, text)
        policy.server_hint(429, found, 1.7e9)
        ranges.judge(206, found, have=5, etag='"a"', total=9)
        ranges.judge(200, found)
        checksums.announced(200, found)

    def files(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as name, contextlib.suppress(AvalaError):
            path = Path(name) / "items"
            path.write_bytes(data)
            for part in cut_source(Source(path, "items"), 4096):
                part.content.close()

    def zips(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "export.zip"
            path.write_bytes(data)
            with contextlib.suppress(AvalaError):
                archives.check(path, zip_announced=True)
            with contextlib.suppress(AvalaError, OSError):
                unpacking.unpack(path, Path(name) / "out")

    return {"answers": answers, "errors": errors, "headers": headers, "files": files, "zips": zips}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "names", nargs="*", metavar="TARGET", help="answers, errors, headers, files, zips (all)"
    )
    parser.add_argument("--seconds", type=int, default=30, help="for each target (%(default)s)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        return fuzz(options.names[0], options.seconds)
    failed = []
    for name in options.names or ("answers", "errors", "headers", "files", "zips"):
        print(f"{name}: {options.seconds} s", flush=True)
        command = [sys.executable, "-m", "scripts.fuzz", "--here", "--seconds", str(options.seconds), name]
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own command
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "no crash")
    return 1 if failed else 0


def fuzz(name: str, seconds: int) -> int:
    """Feed one target until the time is up; does not return."""
    import atheris

    logging.disable()
    with atheris.instrument_imports(include=["airflow_provider_avala.api"]):
        target = targets()[name]
    with tempfile.TemporaryDirectory() as corpus:
        for number, text in enumerate(PREFERRED):
            (Path(corpus) / str(number)).write_bytes(text)
        limits = [f"-max_total_time={seconds}", "-rss_limit_mb=1024", "-timeout=10", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", corpus], target)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
