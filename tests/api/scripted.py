"""A server that answers from a list, for what the emulator is too well-behaved to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from tests.api.loopback import Exchange, Seen, Server

Step = Callable[[Exchange, Seen], None]


class AnyMethod(Exchange):
    disable_nagle_algorithm = True  # an answer in two writes would take 40 ms otherwise
    do_PUT = do_PATCH = do_DELETE = do_HEAD = Exchange.do_GET


class Scripted(Server):
    """Answers the n-th request with the n-th step, and whatever comes after the last one with 599.

    :param steps: callables of (exchange, seen); :func:`says` makes the usual ones.
    """

    def __init__(self, *steps: Step) -> None:
        super().__init__(self._play)
        self.steps = list(steps)
        self.RequestHandlerClass = AnyMethod

    def _play(self, exchange: Exchange, seen: Seen, number: int) -> None:
        if number > len(self.steps):
            exchange.reply(599, b'{"detail": "one request too many"}')
        else:
            self.steps[number - 1](exchange, seen)

    @property
    def calls(self) -> list[str]:
        """Method and target of every request, as they arrived."""
        return [f"{seen.method} {seen.path}" for seen in self.seen]


class ScriptedV6(Scripted):
    """The same on IPv6's loopback address."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.server_address = ("::1", 0)
        super().server_bind()

    def __init__(self, *steps: Step) -> None:
        super().__init__(*steps)
        self.url = f"http://[::1]:{self.server_address[1]}"


def says(status: int, payload: Any = None, **headers: str) -> Step:
    """Answer with JSON, or with bytes as they are."""
    body = payload if isinstance(payload, bytes) else b"" if payload is None else json.dumps(payload).encode()
    kind = {} if isinstance(payload, bytes) or payload is None else {"Content_Type": "application/json"}
    return lambda exchange, seen: exchange.reply(status, body, **{**kind, **headers})


def resets(exchange: Exchange, seen: Seen) -> None:
    """Reset the connection instead of answering."""
    exchange.reset()
