"""Where storage takes the bytes of recordings, at the targets that were signed for them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_avala.emulator.fleet_managed import BUCKET, KIND, sending
from airflow_provider_avala.emulator.fleet_uploads import etag_of
from airflow_provider_avala.emulator.manual_uploads import StoredFile
from airflow_provider_avala.emulator.storage import REFUSED, denied
from airflow_provider_avala.emulator.upload_storage import exactly

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator


def fleet_routes(emulator: Emulator) -> list[Route]:
    """Build the routes that take bytes of recordings."""

    async def put(request: Request) -> Response:
        if not emulator.signer.admits(request.url.path, request.query_params):
            return denied(403, "AccessDenied", REFUSED)
        content = await request.body()
        kind = request.headers.get("content-type", KIND)
        key = unquote(request.url.path).removeprefix("/")
        emulator.manual_uploads.keep(key, StoredFile(content, len(content), kind))
        return Response(headers={"ETag": f'"{etag_of(content)}"'})

    async def put_part(request: Request) -> Response:
        query = request.query_params
        if not emulator.signer.admits_presigned(request.url.path, query):
            return denied(403, "AccessDenied", REFUSED)
        file, number = sending(emulator.store, query["uploadId"]), int(query["partNumber"])
        if file is None:
            return denied(404, "NoSuchUpload", "The specified upload does not exist.")
        problem, content = await exactly(request, file.length_of(number))
        if problem is not None:
            return problem
        with emulator.store.lock:
            file.parts[number] = content
        return Response(headers={"ETag": f'"{etag_of(content)}"'})

    return [
        Route("/fleet/{key:path}", put, methods=["PUT"]),
        Route(f"/{BUCKET}/{{key:path}}", put_part, methods=["PUT"]),
    ]
