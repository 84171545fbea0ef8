"""Sending an answer, whole or spoilt. Faults below HTTP reach for the connection's transport."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_provider_avala.emulator.envelopes import ApiError, Dialect
from airflow_provider_avala.emulator.faults import Fault

TRANSPORT = "airflow_provider_avala.transport"  # scope key, set by the server's protocol
PIECE = 256 * 1024  # bytes per send
FLUSH = 0.05  # seconds for bytes to reach the client before the connection is torn down
GATEWAY_PAGE = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center></body>\r\n</html>\r\n"
)


@dataclass
class Answer:
    """A complete answer, not sent yet."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, response: Response) -> Answer:
        """Take over a starlette response that has its body in memory."""
        return cls(response.status_code, dict(response.headers), bytes(response.body))

    def with_headers(self, headers: Mapping[str, str | None]) -> Answer:
        """Add headers over those there are, whatever their case; None removes one."""
        replaced = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in replaced}
        added = {name: value for name, value in headers.items() if value is not None}
        return Answer(self.status, {**kept, **added}, self.body)


def render_fault(fault: Fault, dialect: Dialect, rate_headers: Mapping[str, str]) -> Answer | None:
    """Build the answer of the faults that are an answer; None for the others."""
    options = fault.options
    if fault.name == "html":
        page = GATEWAY_PAGE.format(f"{options['code']} {HTTPStatus(options['code']).phrase}").encode()
        return Answer(options["code"], {"content-type": "text/html"}, page)
    if fault.name == "redirect":
        return Answer(options["code"], {"location": options["location"]}, b"").with_headers(rate_headers)
    if fault.name != "status":
        return None
    code, content = options["code"], options["body"]
    headers = {"content-type": "application/json"}
    if isinstance(content, str | bytes):
        body = content.encode() if isinstance(content, str) else content
    elif content is None and code < 400:
        body = b"" if code in (204, 304) else b"{}"
    else:
        error = ApiError(code)
        if content is None and error.status == 429:
            error = ApiError.throttled(1)
            headers.update(error.headers)
        body = json.dumps(dialect.error(error)[1] if content is None else content).encode()
    return Answer(code, headers, body).with_headers(rate_headers).with_headers(options["headers"])


async def hang(fault: Fault, receive: Receive, stopping: asyncio.Event) -> None:
    """Wait the fault's time out, or until the emulator stops.

    :raises ClientDisconnect: when the client goes away first.
    """
    if await _pause(fault.options["seconds"], receive, stopping):
        raise ClientDisconnect


async def _pause(seconds: float, receive: Receive, stopping: asyncio.Event) -> bool:
    """Wait; the request body has been read, so the next message can only be the client's leaving."""
    waits = [asyncio.ensure_future(receive()), asyncio.ensure_future(stopping.wait())]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return waits[0].done()
    finally:
        for wait in waits:
            wait.cancel()


async def deliver(
    answer: Answer | None,
    fault: Fault | None,
    scope: Scope,
    receive: Receive,
    send: Send,
    stopping: asyncio.Event,
) -> None:
    """Send the answer, as the fault wants it sent; no answer is a reset."""
    if answer is None:
        _reset(scope)
        return
    size, pause = PIECE, 0.0
    match fault:
        case Fault(name="truncated" | "truncated_chunked" | "reset_mid_body"):
            await _cut(answer, fault, scope, receive, send, stopping)
            return
        case Fault(name="bad_json"):
            answer.body = fault.options["text"].encode()
        case Fault(name="empty_body"):
            answer.body = b""
        case Fault(name="slow_body"):
            size = -(-len(answer.body) // fault.options["pieces"]) or 1
            pause = fault.options["seconds"] / fault.options["pieces"]
    await _start(answer, send, len(answer.body))
    for start in range(0, len(answer.body), size):
        if pause and await _pause(pause, receive, stopping):
            return
        await send(
            {"type": "http.response.body", "body": answer.body[start : start + size], "more_body": True}
        )
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _start(answer: Answer, send: Send, length: int | None) -> None:
    headers = [
        (name.lower().encode(), value.encode("latin-1"))
        for name, value in answer.headers.items()
        if name.lower() != "content-length"
    ]
    if length is not None and answer.status not in (204, 304):
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


async def _cut(
    answer: Answer, fault: Fault, scope: Scope, receive: Receive, send: Send, stopping: asyncio.Event
) -> None:
    sent = fault.options["sent"]
    part = answer.body[: len(answer.body) // 2 if sent is None else sent]
    await _start(
        answer, send, None if fault.name == "truncated_chunked" else max(len(answer.body), len(part) + 1)
    )
    for start in range(0, len(part), PIECE):
        await send({"type": "http.response.body", "body": part[start : start + PIECE], "more_body": True})
    await _pause(FLUSH, receive, stopping)
    if fault.name == "reset_mid_body":
        _reset(scope)
    else:
        scope[TRANSPORT].close()
    await receive()  # the disconnect: nothing is left to send


def _reset(scope: Scope) -> None:
    transport: asyncio.Transport = scope[TRANSPORT]
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
