"""``python -m airflow_provider_avala.emulator``: a local Avala until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from airflow_provider_avala.emulator import SEED_API_KEY, SEED_DATASET_ID, SEED_PROJECT_ID, running_emulator
from airflow_provider_avala.emulator.connection import connection_of
from airflow_provider_avala.emulator.scenarios import SCENARIOS, describe

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

BANNER = """\
Avala emulator ({dialect} dialect), Ctrl-C stops it
  base URL     {base_url}
  storage URL  {storage_url}
  API key      {api_key}
  seeds        project {project}, dataset {dataset}
For Airflow:
  export AIRFLOW_CONN_AVALA_DEFAULT={connection}
"""
SCENARIO_OPTIONS = ("export_seconds", "rate_limits", "max_exports")  # unless given, the scenario decides


def port_number(text: str) -> int:
    """Read a TCP port, 0 meaning a free one."""
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError(text)
    return port


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_avala.emulator")
    add_arguments(parser)
    return parser.parse_args(arguments)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to a parser, which may be that of another command line."""
    parser.description = "Run a local Avala API."
    parser.epilog = describe()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=port_number, default=8765, help="of the API; 0 = a free one (%(default)s)"
    )
    parser.add_argument(
        "--storage-port", type=port_number, default=0, help="of the download origin; 0 = a free one"
    )
    parser.add_argument("--dialect", choices=("current", "legacy"), default="current")
    parser.add_argument("--api-key", default=SEED_API_KEY, help="the key to accept (%(default)s)")
    parser.add_argument("--export-seconds", type=float, help="how long an export runs (3, or the scenario's)")
    parser.add_argument(
        "--rate-limits",
        help="requests/seconds, comma separated, or none (100/60,20/1, or the scenario's)",
    )
    parser.add_argument("--max-exports", type=int, help="exports running at once (5, or the scenario's)")
    parser.add_argument(
        "--upload-mode",
        choices=("put", "post", "multipart", "complete"),
        default="put",
        help="how managed uploads are answered (%(default)s); complete takes no bytes",
    )
    parser.add_argument(
        "--public-storage-url", default="", help="hand out storage URLs under this address, of a proxy"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse what the reference says is invalid, such as unknown filters",
    )
    parser.add_argument(
        "--strict-slash", action="store_true", help="redirect paths with the other dialect's trailing slash"
    )
    parser.add_argument(
        "--ready-file", type=Path, help="write base_url, storage_url, api_key, pid here once up"
    )
    parser.add_argument("--scenario", choices=tuple(SCENARIOS), help="a way to misbehave, see below")
    parser.add_argument(
        "--seed",
        type=Path,
        metavar="FILE",
        help="YAML or JSON: what it holds besides its own seeds, by resource (docs/offline-tests.md)",
    )


def write_ready_file(path: Path, emulator: Emulator) -> None:
    """Tell scripts where the emulator is; the file appears whole or not at all."""
    ready = {
        "base_url": emulator.base_url,
        "storage_url": emulator.storage_url,
        "api_key": emulator.api_key,
        "pid": os.getpid(),
    }
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(ready) + "\n")
    draft.replace(path)


def serve(options: argparse.Namespace, stop: threading.Event) -> None:
    """Run an emulator until ``stop`` is set.

    :raises ImportError: when the extra is not installed.
    :raises OSError: when a port is in use or the ready file cannot be written.
    :raises ValueError: for options that make no sense.
    """
    with ExitStack() as stack:
        emulator = stack.enter_context(
            running_emulator(
                host=options.host,
                port=options.port,
                storage_port=options.storage_port,
                dialect=options.dialect,
                api_key=options.api_key,
                strict=options.strict,
                strict_slash=options.strict_slash,
                upload_mode=options.upload_mode,
                storage_url=options.public_storage_url,
                scenario=options.scenario,
                seed=options.seed,
                **{name: value for name in SCENARIO_OPTIONS if (value := getattr(options, name)) is not None},
            )
        )
        if options.ready_file is not None:
            write_ready_file(options.ready_file, emulator)
            stack.callback(options.ready_file.unlink, missing_ok=True)
        banner = BANNER.format(
            dialect=emulator.dialect.name,
            base_url=emulator.base_url,
            storage_url=emulator.storage_url,
            api_key=emulator.api_key,
            project=SEED_PROJECT_ID,
            dataset=SEED_DATASET_ID,
            connection=shlex.quote(connection_of(emulator)),
        )
        print(banner, end="", flush=True)
        stop.wait()


def explain(error: Exception) -> str:
    """Put an error that ends the command in one line."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{error.strerror}; choose another with --port or --storage-port (0 = a free one)"
    return str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run(parse_arguments(arguments))


def run(options: argparse.Namespace) -> int:
    """Run an emulator until a signal comes; return the exit code."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    if options.ready_file is not None:
        options.ready_file.unlink(missing_ok=True)
    try:
        serve(options, stop)
    except (ImportError, OSError, ValueError) as error:
        print(f"avala emulator: {explain(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
