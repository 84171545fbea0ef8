"""Makes the button *Test Connection* work in Airflow 3.3.1 and 3.3.2, whose UI and server disagree about an empty port.

The UI sends an empty port as 0, the server takes that for another port than the stored one, and answers 400 before
it asks any hook (apache/airflow#73298, mended after 3.3.2). For connections of this provider, which has no port field,
the 0 is taken out on the way. Nothing else is touched; to be removed with the support of these versions.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class EmptyPortMiddleware:
    """ASGI middleware: an empty port in the test of an Avala connection is no port.

    :param app: what comes next.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on; see the ASGI specification."""
        if not _is_connection_test(scope):
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the browser has gone
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        body = without_empty_port(body)
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def read() -> Message:
            return unread.pop() if unread else await receive()

        await self.app({**scope, "headers": headers}, read, send)


def without_empty_port(body: bytes) -> bytes:
    """Take port 0 out of the JSON that describes an Avala connection; anything else comes back as it was.

    :param body: of a request to test a connection.
    """
    try:
        connection = json.loads(body)
    except ValueError:
        return body
    if (
        not isinstance(connection, dict)
        or connection.get("conn_type") != "avala"
        or connection.get("port") != 0
    ):
        return body
    return json.dumps({name: value for name, value in connection.items() if name != "port"}).encode()


def _is_connection_test(scope: Message) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] == "POST"
        and str(scope["path"]).endswith("/api/v2/connections/test")
    )


class AvalaTestConnectionPlugin(AirflowPlugin):
    """Adds the middleware to Airflow 3's API server; nowhere else does it do anything."""

    name = "avala_test_connection"
    fastapi_root_middlewares = [  # noqa: RUF012
        {
            "middleware": EmptyPortMiddleware,
            "args": [],
            "kwargs": {},
            "name": "Avala: an empty port is no port",
        }
    ]
