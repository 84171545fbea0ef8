"""The storage origin's other half: taking the bytes of managed uploads at signed targets, as object stores do."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_avala.emulator.manual_uploads import ManualUploads, Session, StoredFile
from airflow_provider_avala.emulator.storage import REFUSED, Signer, denied


def upload_routes(uploads: ManualUploads, signer: Signer) -> list[Route]:
    """Build the routes that take bytes.

    :param uploads: where the bytes go.
    :param signer: who signed the targets.
    """

    def signed(
        handler: Callable[[Request, Session], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if not signer.admits(request.url.path, request.query_params):
                return denied(403, "AccessDenied", REFUSED)
            session = uploads.sessions.get(request.path_params["upload"])
            if session is None:
                return denied(404, "NoSuchUpload", "The specified upload does not exist.")
            return await handler(request, session)

        return endpoint

    async def put(request: Request, session: Session) -> Response:
        for name, value in (("Content-Type", session.content_type), ("If-None-Match", "*")):
            if request.headers.get(name) != value:
                return denied(403, "SignatureDoesNotMatch", f"The signed header {name} differs.")
        if session.stored:
            return denied(412, "PreconditionFailed", "The object exists already.")
        problem, content = await exactly(request, session.size)
        if problem is not None:
            return problem
        uploads.put(session, content)
        return Response(headers={"ETag": f'"{len(content):x}"'})

    async def put_part(request: Request, session: Session) -> Response:
        number = int(request.path_params["number"])
        problem, content = await exactly(request, session.length_of(number))
        if problem is not None:
            return problem
        with uploads.store.lock:
            if not session.stored:
                session.parts[number] = content
        return Response(headers={"ETag": f'"{number:x}-{len(content):x}"'})

    async def post_form(request: Request) -> Response:
        async with request.form(max_files=1) as form:
            fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
            policy = fields.get("policy", "")
            if not signer.admits(policy, dict(parse_qsl(fields.get("x-amz-signature", "")))):
                return denied(403, "AccessDenied", REFUSED)
            conditions = json.loads(base64.urlsafe_b64decode(policy))
            if any(fields.get(name) != conditions[name] for name in ("key", "Content-Type")):
                return denied(403, "AccessDenied", "Invalid according to Policy: a field differs.")
            last, file = form.multi_items()[-1]
            if last != "file" or not isinstance(file, UploadFile):
                return denied(400, "InvalidArgument", "POST requires exactly one file, as the last field.")
            content = await file.read()
        if conditions["most"] is not None and len(content) > conditions["most"]:
            return denied(400, "EntityTooLarge", "Your upload exceeds the maximum allowed size.")
        uploads.keep(conditions["key"], StoredFile(content, len(content), conditions["Content-Type"]))
        return Response(status_code=204)

    return [
        Route("/uploads", post_form, methods=["POST"]),
        Route("/uploads/{upload}", signed(put), methods=["PUT"]),
        Route("/uploads/{upload}/parts/{number:int}", signed(put_part), methods=["PUT"]),
    ]


async def exactly(request: Request, length: int) -> tuple[Response | None, bytes]:
    """Read a body that must have this length, and say so; refuse it otherwise."""
    if "content-length" not in request.headers:
        return denied(411, "MissingContentLength", "You must provide the Content-Length header."), b""
    if int(request.headers["content-length"]) != length:
        return denied(403, "SignatureDoesNotMatch", f"Signed for {length} bytes."), b""
    return None, await request.body()
