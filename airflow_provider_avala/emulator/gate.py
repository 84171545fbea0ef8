"""What every request passes before and after its handler: log, faults, slash, key, rate limit."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_avala.emulator.delivery import Answer, deliver, hang, render_fault
from airflow_provider_avala.emulator.emulator import API_PREFIX, Emulator
from airflow_provider_avala.emulator.envelopes import ApiError
from airflow_provider_avala.emulator.faults import Fault
from airflow_provider_avala.emulator.limits import Verdict
from airflow_provider_avala.emulator.recorder import (
    BODY_CAP,
    KEY_HEADER,
    RequestRecord,
    without_credentials,
)

logger = logging.getLogger(__name__)


UNGUARDED = ("/__emulator__/", "/openapi.json", f"{API_PREFIX}/openapi.json")  # no key, no log, no limit


class Body:
    """The request body on its way to the handler: counted, kept up to a cap for the log, bounded."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._held: list[Message] = []
        self.kept = bytearray()
        self.size = 0
        self.complete = False

    async def receive(self) -> Message:
        """Pass on the next message.

        :raises ApiError: 413 when the body grows past the limit.
        """
        message = self._held.pop(0) if self._held else await self._next()
        if self.size > self._most:
            raise too_large(self._most)
        return message

    async def drain(self) -> None:
        """Read what the handler left, so that the answer is not lost in a reset."""
        while not self.complete:
            if (await self._next())["type"] == "http.disconnect":
                raise ClientDisconnect

    async def hold(self) -> None:
        """Read everything and keep it for the handler."""
        while not self.complete:
            self._held.append(await self._next())
            if self._held[-1]["type"] == "http.disconnect":
                raise ClientDisconnect

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            chunk = message.get("body", b"")
            self.size += len(chunk)
            self.kept += chunk[: max(0, BODY_CAP - len(self.kept))]
            self.complete = not message.get("more_body", False)
        return message


def too_large(most: int) -> ApiError:
    """Build the documented 413."""
    size = f"{most // 1024**2}MB" if most >= 1024**2 else f"{most} bytes"
    return ApiError(413, f"Request body too large. Maximum size is {size}.")


class Gate:
    """One origin's front door.

    :param origin: ``api`` or ``storage``.
    :param inner: the application behind it.
    :param stopping: set when the emulator stops; releases everything that hangs.
    :param control: the application of the control surface, API origin only.
    """

    def __init__(
        self,
        emulator: Emulator,
        origin: str,
        inner: ASGIApp,
        stopping: asyncio.Event,
        control: ASGIApp | None = None,
    ) -> None:
        self.emulator = emulator
        self.origin = origin
        self.inner = inner
        self.stopping = stopping
        self.control = control
        paths = [endpoint.path for endpoint in emulator.endpoints if endpoint.anonymous]
        self.anonymous = re.compile("|".join(re.sub(r"{\w+}", "[^/]+", path) for path in paths))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if self.control is not None and scope["path"].startswith(UNGUARDED):
            await self.control(scope, receive, send)
            return
        scope = _with_path_as_sent(scope)
        most = self.emulator.settings.max_body_bytes if self.origin == "api" else sys.maxsize
        body = Body(receive, most)
        self.emulator.timeline.run()
        log, record = self.emulator.log, self._record(scope)
        fault = self.emulator.faults.take(self.origin, record.method, record.path)
        ticket = log.begin(record if fault is None else replace(record, fault=fault.name))
        try:
            answer = await self._decide(scope, receive, body, record, fault)
            arrived = {"body": _logged(record, body), "body_size": body.size}
            if fault is not None and fault.name == "hang_after_commit":
                log.update(ticket, **arrived)
                await hang(fault, receive, self.stopping)
            log.update(ticket, **arrived, status=answer.status if answer else None)
            await deliver(answer, fault, scope, receive, send, self.stopping)
        except ClientDisconnect:
            log.update(ticket, body=_logged(record, body), body_size=body.size)

    async def _decide(
        self, scope: Scope, receive: Receive, body: Body, record: RequestRecord, fault: Fault | None
    ) -> Answer | None:
        """Return what to answer, None when the fault is to answer nothing; the whole body has arrived then."""
        if fault is not None and fault.name == "hang_before_commit":
            await body.hold()
            await hang(fault, receive, self.stopping)
        answer = None
        if fault is None or fault.after_commit or fault.name == "hang_before_commit":
            answer = await self._answer(scope, body, record)
        await body.drain()
        if fault is None:
            return answer
        if fault.name in ("reset_before_commit", "reset_after_commit"):
            return None
        return render_fault(fault, self.emulator.dialect, self._peek(record).headers()) or answer

    def _record(self, scope: Scope) -> RequestRecord:
        path: str = scope["path"]
        if self.origin == "api" and (path + "/").startswith(API_PREFIX + "/"):
            path = path[len(API_PREFIX) :]
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        return RequestRecord(
            origin=self.origin,
            method=scope["method"],
            path=path,
            query=query,
            headers=headers,
            at=self.emulator.now(),
            key_present=KEY_HEADER in headers,
        )

    async def _answer(self, scope: Scope, body: Body, record: RequestRecord) -> Answer:
        if self.origin == "storage":
            return await self._collect(scope, body)
        try:
            redirect = self._strict_redirect(scope)
            if redirect is not None:
                return Answer.of(redirect)
            verdict = self._admit(record)
        except ApiError as error:
            return self._refusal(error, self._peek(record).headers())
        try:
            if not verdict.allowed:
                raise ApiError.throttled(verdict.retry_after)
            if int(record.headers.get("content-length", 0)) > self.emulator.settings.max_body_bytes:
                raise too_large(self.emulator.settings.max_body_bytes)
            answer = await self._collect(_without_slash(scope), body)
        except ApiError as error:
            return self._refusal(error, verdict.headers())
        return answer.with_headers(verdict.headers())

    def _refusal(self, error: ApiError, headers: Mapping[str, str]) -> Answer:
        status, content = self.emulator.dialect.error(error)
        return Answer.of(JSONResponse(content, status, headers=error.headers)).with_headers(headers)

    def _strict_redirect(self, scope: Scope) -> Response | None:
        path: str = scope["path"]
        if not self.emulator.settings.strict_slash or path.endswith("/download"):
            return None
        wanted = path.rstrip("/") + ("/" if self.emulator.dialect.trailing_slash else "")
        if path == wanted:
            return None
        query = scope["query_string"].decode("latin-1")
        return Response(status_code=301, headers={"Location": wanted + (f"?{query}" if query else "")})

    def _admit(self, record: RequestRecord) -> Verdict:
        key = record.headers.get(KEY_HEADER, "")
        if not self.anonymous.fullmatch(record.path.rstrip("/")):
            if key != self.emulator.api_key and key not in self.emulator.accounts:
                raise ApiError(401)
        else:
            key = "anonymous"
        return self.emulator.limiter.admit(key, _kind(record), self.emulator.now())

    def _peek(self, record: RequestRecord) -> Verdict:
        key = record.headers.get(KEY_HEADER, "")
        return self.emulator.limiter.peek(key, _kind(record), self.emulator.now())

    async def _collect(self, scope: Scope, body: Body) -> Answer:
        answer = Answer(500, {}, b"")
        pieces: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {
                    name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]
                }
            elif message.get("body"):
                pieces.append(message["body"])

        try:
            await self.inner(scope, body.receive, keep)
        except ClientDisconnect:
            raise
        except Exception:
            logger.exception("The emulator itself failed on %s %s", scope["method"], scope["path"])
        answer.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return answer


def _logged(record: RequestRecord, body: Body) -> bytes:
    kept = bytes(body.kept)
    return without_credentials(kept) if "json" in record.headers.get("content-type", "") else kept


def _kind(record: RequestRecord) -> str:
    return "inference" if record.path.startswith("/inference/invoke") else "standard"


def _with_path_as_sent(scope: Scope) -> Scope:
    """Route on the path before percent-decoding, so that an id with %2F in it stays one segment."""
    raw: bytes = scope["raw_path"]
    return {**scope, "path": raw.decode("latin-1").partition("?")[0]}


def _without_slash(scope: Scope) -> dict[str, Any]:
    return {**scope, "path": scope["path"].rstrip("/") or "/"}
