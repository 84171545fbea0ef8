"""Handing out export archives: signed, expiring URLs on an origin of their own, Range and ETag."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_avala.emulator.envelopes import ApiError
from airflow_provider_avala.emulator.exports import Artifact, Exports

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
REFUSED = "Request has expired or its signature does not match"


class Signer:
    """Signs paths for a while, as object stores do.

    :param now: the clock, unix seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._secret = secrets.token_bytes(32)
        self._nonce = itertools.count(1)

    def sign(self, path: str, lifetime: float) -> str:
        """Return the path with a query that opens it for ``lifetime`` seconds; no two are the same."""
        query = {"Expires": f"{self.now() + lifetime:.3f}", "Nonce": str(next(self._nonce))}
        return f"{path}?{urlencode({**query, 'Signature': self._digest(path, query)})}"

    def admits(self, path: str, query: Mapping[str, str]) -> bool:
        """Say whether the query opens this path now."""
        signed = {name: query.get(name, "") for name in ("Expires", "Nonce")}
        if not self._sealed(query.get("Signature", ""), path, signed):
            return False
        return self.now() < float(signed["Expires"])

    def presign(self, path: str, wanted: Mapping[str, str], lifetime: int) -> tuple[str, float]:
        """Return the path with a query of signature version 4, and the time at which it ends, unix seconds.

        The SDK holds that time against its own clock, so it is the machine's, wherever the emulator's has been moved.

        :param wanted: what the query says besides.
        """
        begins = int(time.time())
        moment = datetime.fromtimestamp(begins, UTC)
        query = {
            **wanted,
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"emulator/{moment:%Y%m%d}/auto/s3/aws4_request",
            "X-Amz-Date": f"{moment:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": str(lifetime),
            "X-Amz-SignedHeaders": "content-length;host",
        }
        sealed = {**query, "X-Amz-Signature": self._digest(path, query)}
        return f"{path}?{urlencode(sealed, quote_via=quote)}", begins + lifetime

    def admits_presigned(self, path: str, query: Mapping[str, str]) -> bool:
        """Say whether a query of signature version 4 opens this path now."""
        signed = {name: value for name, value in query.items() if name != "X-Amz-Signature"}
        if not self._sealed(query.get("X-Amz-Signature", ""), path, signed):
            return False
        begins = datetime.strptime(signed["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        return time.time() < begins + int(signed["X-Amz-Expires"])

    def _sealed(self, signature: str, path: str, query: Mapping[str, str]) -> bool:
        return hmac.compare_digest(signature.encode(), self._digest(path, query).encode())

    def _digest(self, path: str, query: Mapping[str, str]) -> str:
        return hmac.new(self._secret, f"{path}?{urlencode(query)}".encode(), hashlib.sha256).hexdigest()


@dataclass
class StorageOptions:
    """What a test may turn while the emulator runs.

    :param url_seconds: lifetime of a download URL.
    :param etag: ``strong``, ``weak`` or ``none``.
    :param ranges: whether Range is honoured.
    """

    url_seconds: float = 3600.0
    etag: str = "strong"
    ranges: bool = True


def serve(artifact: Artifact, headers: Mapping[str, str], options: StorageOptions) -> Response:
    """Answer a GET or HEAD for the archive: 200, 206 for one satisfiable range, or 416.

    Several ranges at once, malformed ones and a stale If-Range get the whole archive, as RFC 9110 allows.
    """
    size = len(artifact.data)
    answer = {"Content-Type": "application/zip"}
    etag = {"strong": artifact.etag, "weak": f"W/{artifact.etag}"}.get(options.etag)
    if etag:
        answer["ETag"] = etag
    if options.ranges:
        answer["Accept-Ranges"] = "bytes"
    asked = RANGE.fullmatch(headers.get("range", "").strip()) if options.ranges else None
    if (
        asked
        and "if-range" in headers
        and headers["if-range"] != (etag if options.etag == "strong" else None)
    ):
        asked = None
    if not asked or asked.groups() == ("", ""):
        return Response(artifact.data, headers=answer)
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if first and last and int(last) < start:
        return Response(artifact.data, headers=answer)
    if start >= size:
        return Response(status_code=416, headers={**answer, "Content-Range": f"bytes */{size}"})
    answer["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Response(artifact.data[start : end + 1], status_code=206, headers=answer)


def denied(status: int, code: str, message: str) -> Response:
    """Refuse in the way object stores do: XML."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    page = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Response(page, status_code=status, media_type="application/xml")


def build_storage(
    exports: Exports, signer: Signer, options: StorageOptions, more: Sequence[Route] = ()
) -> Starlette:
    """Build the storage origin's application.

    :param exports: whose archives it hands out.
    :param signer: who signed the paths.
    :param options: see :class:`StorageOptions`.
    :param more: routes beside those of the archives.
    """

    async def download(request: Request) -> Response:
        if not signer.admits(request.url.path, request.query_params):
            return denied(403, "AccessDenied", REFUSED)
        try:
            artifact = await asyncio.to_thread(exports.artifact, request.path_params["uid"])
        except ApiError:
            return denied(404, "NoSuchKey", "The specified key does not exist.")
        return serve(artifact, request.headers, options)

    async def unknown(request: Request, exc: Exception) -> Response:
        return denied(404, "NoSuchKey", "The specified key does not exist.")

    routes = [Route("/exports/{uid}.zip", download, methods=["GET"]), *more]
    return Starlette(routes=routes, exception_handlers={404: unknown})
