"""What commands there are: told once, for Airflow's command line and for our own.

Airflow reads this at each of its commands, so nothing is imported here that a command needs to do its work.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any, NamedTuple

NAME = "avala"
HELP = "Look at Avala: connection, limits, exports; run a local one"


class Argument(NamedTuple):
    """One argument of a command.

    :param flags: its name, or the ways to write it.
    :param options: what argparse is told about it.
    """

    flags: tuple[str, ...]
    options: dict[str, Any]

    def add_to_parser(self, parser: ArgumentParser) -> None:
        """Tell argparse; Airflow calls this, too.

        :param parser: of the command.
        """
        parser.add_argument(*self.flags, **self.options)


class EmulatorOptions(NamedTuple):
    """The options of the emulator, which describes them itself and is loaded only if it is asked for."""

    flags: tuple[str, ...] = ("options",)

    def add_to_parser(self, parser: ArgumentParser) -> None:
        """Tell argparse, if the emulator may be what is called.

        :param parser: of the command.
        """
        import sys

        if "emulator" in sys.argv:
            from airflow_provider_avala.emulator.__main__ import add_arguments

            add_arguments(parser)


class Command(NamedTuple):
    """A command, or a group of such.

    :param name: its name.
    :param help: what it does, in a line.
    :param function: the path of what does it: takes the parsed arguments, returns the exit code.
    :param arguments: its arguments.
    :param subcommands: the commands of a group.
    """

    name: str
    help: str
    function: str = ""
    arguments: tuple[Argument | EmulatorOptions, ...] = ()
    subcommands: tuple[Command, ...] = ()


def _number(low: float, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not low <= number < float("inf"):
            raise ArgumentTypeError(f"{text!r} is not a number from {low:g}")
        return number

    return parse


_CONNECTION = Argument(
    ("-c", "--conn-id"), {"default": "avala_default", "help": "the Airflow connection (%(default)s)"}
)
_NEWEST = Argument(
    ("-n", "--newest"),
    {"type": _number(1, int), "default": 20, "metavar": "COUNT", "help": "how many exports (%(default)s)"},
)
_PACKAGE = "airflow_provider_avala.cli"

COMMANDS = (
    Command(
        "check",
        "Try a connection: who am I, and what is left of the limits",
        f"{_PACKAGE}.connections.check",
        (_CONNECTION,),
    ),
    Command(
        "pools",
        "Print the two pools for Avala's limits as JSON, or create them",
        f"{_PACKAGE}.pools.pools",
        (Argument(("--create",), {"action": "store_true", "help": "create or update them in this Airflow"}),),
    ),
    Command(
        "exports",
        "List, watch and download exports",
        subcommands=(
            Command(
                "list",
                "List the newest exports",
                f"{_PACKAGE}.exports.list_exports",
                (
                    _CONNECTION,
                    _NEWEST,
                    Argument(
                        ("-o", "--output"),
                        {"choices": ("table", "json"), "default": "table", "help": "how to print them"},
                    ),
                ),
            ),
            Command(
                "watch",
                "Watch exports until all have finished; fails if one of them does",
                f"{_PACKAGE}.exports.watch",
                (
                    _CONNECTION,
                    _NEWEST,
                    Argument(
                        ("export_ids",),
                        {
                            "nargs": "*",
                            "metavar": "EXPORT_ID",
                            "help": "which (the running ones of the newest)",
                        },
                    ),
                    Argument(
                        ("-i", "--interval"),
                        {
                            "type": _number(0.1, float),
                            "default": 5.0,
                            "help": "seconds between looks (%(default)s)",
                        },
                    ),
                    Argument(
                        ("-t", "--timeout"),
                        {
                            "type": _number(0, float),
                            "default": 3600.0,
                            "help": "give up after seconds (%(default)s)",
                        },
                    ),
                ),
            ),
            Command(
                "download",
                "Download the file of a finished export",
                f"{_PACKAGE}.exports.download",
                (
                    _CONNECTION,
                    Argument(("export_id",), {"metavar": "EXPORT_ID", "help": "which one"}),
                    Argument(
                        ("path",),
                        {
                            "nargs": "?",
                            "default": "./",
                            "help": "a file; a folder ends with a slash (%(default)s)",
                        },
                    ),
                ),
            ),
        ),
    ),
    Command(
        "emulator", "Run a local Avala until Ctrl-C", f"{_PACKAGE}.emulator.emulator", (EmulatorOptions(),)
    ),
)
