"""A server that takes items, and a sender to it."""

from __future__ import annotations

import requests

from airflow_provider_avala.api.errors import AvalaConnectionError, error_from_response
from tests.api.test_multipart import parse

LINE = b'{"a":1}\n'


def sender(server):
    """Post one part for real, as the client does."""

    def send(body, headers, **how):
        headers = {**headers, "Content-Type": body.content_type}
        try:
            answer = requests.post(server.url + "/items", data=body, headers=headers, timeout=10)
        except requests.RequestException as error:
            raise AvalaConnectionError(f"the connection broke: {type(error).__name__}", sent=True) from None
        if answer.status_code >= 300:
            raise error_from_response(
                answer.status_code, answer.headers, answer.content, method="POST", path="/items"
            )
        return answer.json() if answer.content else None

    return send


def stored(server):
    """The lines of all parts that arrived, by file name."""
    files = [parse(seen.headers["Content-Type"], seen.body)[0] for seen in list(server.seen)]
    return {name.decode(): data for _, name, data in files}


def accept(exchange, seen, number):
    exchange.reply(201, b"{}")
