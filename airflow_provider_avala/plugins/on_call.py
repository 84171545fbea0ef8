"""A page in Airflow's UI, under *Browse*: exports, budgets and uploads of every connection to Avala, at a glance.

Every component of Airflow imports this module; the API server imports what serves the page with the first request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]
PREFIX = "/avala"


async def application(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Serve a request, as an ASGI application.

    :param scope: what is asked for.
    :param receive: gives the request's body.
    :param send: takes the answer.
    """
    await _server()(scope, receive, send)


@cache
def _server() -> Any:
    from airflow_provider_avala.plugins.server import make_server

    return make_server()


class AvalaOnCallPlugin(AirflowPlugin):
    """Adds the page to the UI of Airflow 3.1 and later; Airflow 2 has no place for it."""

    name = "avala_on_call"
    fastapi_apps = [{"app": application, "url_prefix": PREFIX, "name": "Avala"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Avala",
            "href": f"{PREFIX.removeprefix('/')}/",  # relative, as Airflow may be served below a path
            "destination": "nav",
            "category": "browse",
            "url_route": "avala",
        }
    ]
