"""Doing a command: its exit code, and one clear line if it fails."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pkgutil import resolve_name

#: Exit codes; argparse ends with 2 if the command line is wrong.
DONE, FAILED = 0, 1


def run(function: str, arguments: argparse.Namespace) -> int:
    """Do a command.

    :param function: the path of what does it.
    :param arguments: as parsed.
    :returns: the exit code.
    """
    from airflow_provider_avala.api.secrets import without_signed_urls

    # As Airflow's own commands do: connections may be in its database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    logging.disable(
        logging.CRITICAL
    )  # Airflow 2 logs to where tables and JSON go, with tracebacks of what is no error
    module, _, name = function.rpartition(".")
    try:
        return int(resolve_name(f"{module}:{name}")(arguments))
    except KeyboardInterrupt:
        print("avala: interrupted", file=sys.stderr)
    except BrokenPipeError:  # whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        print(f"avala: {without_signed_urls(words)}", file=sys.stderr)
    finally:
        logging.disable(logging.NOTSET)
    return FAILED
