"""``python -m airflow_provider_avala``: the commands of ``airflow avala``, for every Airflow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from airflow_provider_avala.cli.definition import COMMANDS, HELP, Command
from airflow_provider_avala.cli.run import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    :param arguments: the command line, by default that of this process.
    """
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_avala", description=HELP)
    _add(parser, COMMANDS)
    parsed = parser.parse_args(arguments)
    return run(parsed.function, parsed)


def _add(parser: argparse.ArgumentParser, commands: Iterable[Command]) -> None:
    group = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        sub = group.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            argument.add_to_parser(sub)
        if command.subcommands:
            _add(sub, command.subcommands)
        else:
            sub.set_defaults(function=command.function)


if __name__ == "__main__":
    sys.exit(main())
