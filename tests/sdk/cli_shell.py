"""The SDK's command line, command by command, in one process of its own: to start it each time takes a second."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import click


@dataclass
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """A process that runs commands of ``avala`` one after the other.

    :param env: of the process.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sdk.cli_shell"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )

    def run(self, arguments: tuple[str, ...], typed: str = "") -> Outcome:
        """Run ``avala`` with these arguments.

        :param typed: what is typed when it asks.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "typed": typed}) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0
        self._process.stdout.close()


class Commands:
    """The shell in one test: notes the commands that were run.

    :ivar called: their names, such as ``exports create``.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.called: set[str] = set()

    def run(self, *arguments: str, typed: str = "") -> Outcome:
        """Run a command as it is."""
        words = [word for word in arguments if not word.startswith("-") and word != "json"]
        self.called |= {" ".join(words[:count]) for count in (1, 2, 3)}
        return self._shell.run(arguments, typed)

    def done(self, *arguments: str) -> Outcome:
        """Run a command that succeeds."""
        outcome = self.run(*arguments)
        assert outcome.code == 0, outcome
        return outcome

    def json(self, *arguments: str) -> Any:
        """Run a command that succeeds, and read what it prints."""
        return self.done("-o", "json", *arguments).json


def commands_of(command: click.Command, prefix: str = "") -> set[str]:
    """List the commands below one, by their full names."""
    if not isinstance(command, click.Group):
        return {prefix.strip()}
    return {
        found for name, below in command.commands.items() for found in commands_of(below, f"{prefix} {name}")
    }


def main() -> None:
    """Run the commands that come in, one JSON object a line."""
    from avala.cli import main as avala
    from click.testing import CliRunner

    runner = CliRunner()
    for line in sys.stdin:
        asked = json.loads(line)
        result = runner.invoke(avala, asked["arguments"], input=asked["typed"])
        print(json.dumps({"code": result.exit_code, "out": result.stdout, "err": result.stderr}), flush=True)


if __name__ == "__main__":
    main()
