"""The API's application: every endpoint there is, in the shapes of the dialect. Refusals are :class:`ApiError`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_avala.emulator.emulator import API_PREFIX, Emulator
from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Listing, PageRequest

NUMBERED_PAGE = 20  # default size of the pages that have numbers
SCOPE_TEXT = "API key requires '{}' scope."


class Answerer:
    """Runs one endpoint: scope, body, handler, shape of the answer."""

    def __init__(self, emulator: Emulator, endpoint: Endpoint) -> None:
        self.emulator = emulator
        self.endpoint = endpoint

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        endpoint = self.endpoint
        granted = self.emulator.scopes
        if endpoint.scope is not None and granted is not None and endpoint.scope not in granted:
            raise ApiError(403, SCOPE_TEXT.format(endpoint.scope), code="scope_required")
        params = {name: unquote(text) for name, text in request.path_params.items()}
        call = Call(request, params, request.query_params)
        if not endpoint.raw and endpoint.method not in ("GET", "DELETE"):
            call.body = await read_json(request)
            if endpoint.body is not None:
                call.body = endpoint.body.validate(call.body, partial=endpoint.partial)
        result = endpoint.handler(call)
        if inspect.isawaitable(result):
            result = await result
        return result if isinstance(result, Response) else self._shape(result, request)

    def _shape(self, result: Any, request: Request) -> Response:
        endpoint, dialect = self.endpoint, self.emulator.dialect
        if endpoint.form == "nothing":
            return Response(status_code=204)
        if endpoint.form in ("cursor", "numbered"):
            return self._page(result, request, numbered=endpoint.form == "numbered")
        if endpoint.form == "array":
            rows = result
            if isinstance(result, Listing):
                rows = [result.render(index) for index in reversed(range(len(result.positions)))]
            return JSONResponse([dialect.resource(row) for row in rows], endpoint.status)
        if endpoint.form == "one":
            result = dialect.resource(result)
        return JSONResponse(result, endpoint.status)

    def _page(self, listing: Listing, request: Request, *, numbered: bool) -> Response:
        dialect, most = self.emulator.dialect, self.emulator.settings.page_limit
        asked = request.query_params.get("limit", "")
        limit = NUMBERED_PAGE if numbered else most
        if asked.isascii() and asked.isdigit() and int(asked[:9]) > 0:
            limit = int(asked[:9])
        path = request.url.path.rstrip("/") + ("/" if dialect.trailing_slash else "")
        url = f"{request.url.scheme}://{request.url.netloc}{path}"
        shown = Listing(listing.positions, lambda index: dialect.resource(listing.render(index)))
        paging = dialect.numbered_page if numbered else dialect.cursor_page
        return JSONResponse(paging(shown, PageRequest(url, dict(request.query_params), min(limit, most))))


def placeholders(path: str) -> list[bool]:
    """Return which segments of a path are placeholders: sorted by it, fixed words go first."""
    return [segment.startswith("{") for segment in path.split("/")]


def routes_of(emulator: Emulator) -> list[Route]:
    """List the routes; of two that match, fixed words go before placeholders."""
    table: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {}
    for endpoint in emulator.endpoints:
        table.setdefault(endpoint.path, {})[endpoint.method] = Answerer(emulator, endpoint)
    return [
        Route(API_PREFIX + path, _by_method(answerers), methods=list(answerers))
        for path, answerers in sorted(table.items(), key=lambda entry: placeholders(entry[0]))
    ]


def _by_method(
    answerers: Mapping[str, Callable[[Request], Awaitable[Response]]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await answerers["GET" if request.method == "HEAD" else request.method](request)

    return answer


async def read_json(request: Request) -> Any:
    """Decode the body, {} when there is none.

    :raises ApiError: 400 when it is not JSON.
    """
    body = await request.body()
    if not body:
        return {}
    try:
        return await request.json()
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"JSON parse error - {error}") from None


def build_api(emulator: Emulator) -> Starlette:
    """Build the API's application. Paths arrive without a trailing slash."""

    def answer(error: ApiError) -> Response:
        status, body = emulator.dialect.error(error)
        return JSONResponse(body, status, headers=error.headers)

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, ApiError):
            return answer(error)
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 405:
            allow = dict(getattr(error, "headers", None) or {})
            return answer(ApiError(405, f'Method "{request.method}" not allowed.', headers=allow))
        return answer(ApiError(status))

    handlers = {ApiError: refused, HTTPException: refused, Exception: refused}
    app = Starlette(routes=[*routes_of(emulator)], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app
