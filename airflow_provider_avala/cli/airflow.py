"""``airflow avala ...``, from Airflow 3.2 on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.cli.definition import COMMANDS, HELP, NAME, Command

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def get_cli_commands() -> list[CLICommand]:
    """What Airflow adds to its command line."""
    from airflow.cli.cli_config import GroupCommand

    return [GroupCommand(name=NAME, help=HELP, subcommands=tuple(map(_converted, COMMANDS)))]


def _converted(command: Command) -> Any:
    from airflow.cli.cli_config import ActionCommand, GroupCommand

    if command.subcommands:
        return GroupCommand(
            name=command.name, help=command.help, subcommands=tuple(map(_converted, command.subcommands))
        )
    arguments: Any = command.arguments  # all that Airflow asks of its own arguments: flags and add_to_parser
    return ActionCommand(
        name=command.name, help=command.help, func=_function(command.function), args=arguments
    )


def _function(path: str) -> Callable[[Any], None]:
    return partial(_end, path)


def _end(path: str, arguments: Any) -> None:
    from airflow_provider_avala.cli.run import run

    sys.exit(run(path, arguments))
