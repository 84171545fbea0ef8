"""The API's routes. Shapes come from the dialect, refusals are :class:`ApiError`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from airflow_provider_avala.emulator import seeds
from airflow_provider_avala.emulator.emulator import API_PREFIX, Emulator
from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing, PageRequest
from airflow_provider_avala.emulator.manual_upload_api import ManualUploadApi
from airflow_provider_avala.emulator.storage import serve
from airflow_provider_avala.emulator.store import (
    DATASETS,
    PROJECTS,
    RESOURCES,
    Record,
    Resource,
    View,
    plain_view,
)
from airflow_provider_avala.emulator.uploads import UploadForm

Handler = Callable[[Request], Awaitable[Response]]
Endpoint = tuple[str | None, Handler]  # the scope a key needs, and what answers
NUMBERED_PAGE = 20  # default size of the pages that have numbers
SCOPE_TEXT = "API key requires '{}' scope."


class Api:
    """The handlers of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.store = emulator.store
        self.dialect = emulator.dialect
        self._uploading = 0

    def routes(self) -> list[Route]:
        """List the paths, without trailing slash; of two that match, fixed words go before placeholders."""
        table: dict[str, dict[str, Endpoint]] = {}
        for kind in RESOURCES.values():
            if kind.list_path:
                table[kind.list_path] = {"GET": (kind.scope, partial(self.list, kind))}
            if kind.item_path:
                table[kind.item_path] = {"GET": (kind.scope, partial(self.get, kind))}
        for method, path, scope, handler in self.own_endpoints():
            table.setdefault(path, {})[method] = (scope, handler)
        return [
            Route(API_PREFIX + path, self._by_method(endpoints), methods=list(endpoints))
            for path, endpoints in sorted(table.items(), key=lambda entry: placeholders(entry[0]))
        ]

    def own_endpoints(self) -> list[tuple[str, str, str | None, Handler]]:
        """List what has behaviour of its own: method, path, scope, handler."""
        return [
            ("GET", "/users/me", None, self.me),
            ("POST", "/projects/{uid}/approve", "projects.write", self.approve),
            ("POST", "/datasets", "datasets.write", self.create_dataset),
            (
                "GET",
                "/datasets/{owner}/list",
                "datasets.read",
                partial(self.list, replace(DATASETS, numbered=True)),
            ),
            ("GET", "/datasets/{owner}/{slug}", "datasets.read", self.get_dataset_by_slug),
            ("GET", "/datasets/{uid}/items", "datasets.read", self.list_items),
            ("POST", "/datasets/{uid}/items", "datasets.write", self.upload),
            ("POST", "/exports", "exports.create", self.create_export),
            ("GET", "/exports/{uid}/download", "exports.create", self.download),
            ("POST", "/inference/invoke", None, self.infer),
            *ManualUploadApi(self.emulator, read_json, self._storage_address).endpoints(),
        ]

    def _by_method(self, endpoints: Mapping[str, Endpoint]) -> Handler:
        async def endpoint(request: Request) -> Response:
            scope, handler = endpoints["GET" if request.method == "HEAD" else request.method]
            granted = self.emulator.scopes
            if scope is not None and granted is not None and scope not in granted:
                raise ApiError(403, SCOPE_TEXT.format(scope), code="scope_required")
            request.scope["path_params"] = {name: unquote(text) for name, text in request.path_params.items()}
            return await handler(request)

        return endpoint

    def _view(self, kind: Resource, request: Request) -> View:
        views: dict[str, View] = {
            "datasets": self.emulator.dataset_service.view,
            "exports": self._export_view(request),
        }
        return views.get(kind.name, plain_view)

    # -- generic

    async def list(self, kind: Resource, request: Request) -> Response:
        """Answer a list; an owner in the path must be the one there is."""
        if request.path_params.get("owner", seeds.SEED_OWNER) != seeds.SEED_OWNER:
            raise ApiError.missing("Owner")
        listing = self.store.listing(kind, request.query_params, self._view(kind, request))
        return self._page(listing, request, numbered=kind.numbered)

    async def get(self, kind: Resource, request: Request) -> Response:
        """Answer one resource."""
        record = self.store.find(kind, request.path_params["uid"])
        return self._shown(self._view(kind, request)(record))

    def _page(self, listing: Listing, request: Request, *, numbered: bool = False) -> Response:
        most = self.emulator.settings.page_limit
        asked = request.query_params.get("limit", "")
        limit = int(asked) if asked.isdigit() and int(asked) > 0 else NUMBERED_PAGE if numbered else most
        path = request.url.path.rstrip("/") + ("/" if self.dialect.trailing_slash else "")
        url = f"{request.url.scheme}://{request.url.netloc}{path}"
        shown = Listing(listing.positions, lambda index: self.dialect.resource(listing.render(index)))
        paging = self.dialect.numbered_page if numbered else self.dialect.cursor_page
        return JSONResponse(paging(shown, PageRequest(url, dict(request.query_params), min(limit, most))))

    def _shown(self, resource: Json, status: int = 200) -> Response:
        return JSONResponse(self.dialect.resource(resource), status)

    # -- account and projects

    async def me(self, request: Request) -> Response:
        """GET /users/me/: the owner of the key."""
        user = {
            "uid": seeds.SEED_USER_ID,
            "username": seeds.SEED_OWNER,
            "email": "emulator@example.com",
            "organization": {
                "uid": seeds.SEED_ORGANIZATION_ID,
                "slug": seeds.SEED_OWNER,
                "plan": self.emulator.plan,
            },
        }
        return self._shown(user)

    async def approve(self, request: Request) -> Response:
        """POST /projects/{uid}/approve/: pending-approval becomes active."""
        with self.store.lock:
            project = self.store.find(PROJECTS, request.path_params["uid"])
            if self.emulator.plan not in ("PRO", "ENTERPRISE"):
                raise ApiError(
                    403, "Project approval requires a PRO or ENTERPRISE plan.", code="plan_insufficient"
                )
            if project["status"] != "pending-approval":
                raise ApiError(400, f"Cannot approve a project in state '{project['status']}'.")
            project.update(status="active", updated_at=self.store.now())
            return self._shown(plain_view(project))

    # -- datasets and items

    async def create_dataset(self, request: Request) -> Response:
        """POST /datasets/."""
        service = self.emulator.dataset_service
        record = service.create(await read_json(request))
        return self._shown(service.view(record), 201)

    async def get_dataset_by_slug(self, request: Request) -> Response:
        """GET /datasets/{owner}/{slug}/."""
        owner, slug = request.path_params["owner"], request.path_params["slug"]
        record = self.store.first(DATASETS, owner_name=owner, slug=slug)
        if record is None:
            raise ApiError.missing(DATASETS.label)
        return self._shown(self.emulator.dataset_service.view(record))

    async def list_items(self, request: Request) -> Response:
        """GET /datasets/{uid}/items/."""
        record = self.store.find(DATASETS, request.path_params["uid"])
        return self._page(self.emulator.dataset_service.items(record), request)

    async def upload(self, request: Request) -> Response:
        """POST /datasets/{uid}/items/: one multipart part ``file`` of JSONL; all rows or none."""
        uid = self.store.find(DATASETS, request.path_params["uid"])["uid"]
        if self._uploading >= self.emulator.settings.max_uploads:
            raise ApiError.throttled(1)
        self._uploading += 1
        try:
            form = await UploadForm(request.headers.get("content-type", "")).read(request.stream())
        finally:
            self._uploading -= 1
        mark = f"{uid} {request.headers.get('idempotency-key', '')} {form.digest.hexdigest()}"
        repeatable = self.emulator.settings.honour_idempotency_key and "idempotency-key" in request.headers
        with self.store.lock:
            if not repeatable or mark not in self.emulator.uploads:
                total = self.store.append_rows(uid, form.rows)
                answer = {
                    f"dataset_{self.dialect.id_key}": uid,
                    "accepted": len(form.rows),
                    "item_count": total,
                }
                if repeatable:
                    self.emulator.uploads[mark] = answer
            else:
                answer = self.emulator.uploads[mark]
        return JSONResponse(answer, 201)

    # -- exports

    def _export_view(self, request: Request, *, fresh: bool = False) -> View:
        emulator = self.emulator

        def url(uid: str) -> str:
            if emulator.settings.download == "storage":
                return self._signed(request, uid)
            return f"{request.url.scheme}://{request.url.netloc}{API_PREFIX}/exports/{uid}/download"

        def view(record: Record) -> Json:
            shown = emulator.export_service.view(record, url, fresh=fresh)
            return {**shown, "status": self.dialect.export_words.get(shown["status"], shown["status"])}

        return view

    def _signed(self, request: Request, uid: str) -> str:
        path = self.emulator.signer.sign(f"/exports/{uid}.zip", self.emulator.storage_options.url_seconds)
        return self._storage_address(request) + path

    def _storage_address(self, request: Request) -> str:
        if self.emulator.settings.storage_url:
            return self.emulator.settings.storage_url.rstrip("/")
        port = self.emulator.storage_url.rpartition(":")[2]
        host = request.url.hostname or "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def create_export(self, request: Request) -> Response:
        """POST /exports/."""
        body = await read_json(request)
        record = self.emulator.export_service.create(body, legacy=self.dialect.name == "legacy")
        return self._shown(self._export_view(request, fresh=True)(record), 201)

    async def download(self, request: Request) -> Response:
        """GET /exports/{uid}/download: the archive, or a redirect to it."""
        uid = request.path_params["uid"]
        artifact = await asyncio.to_thread(self.emulator.export_service.artifact, uid)
        if self.emulator.settings.download == "api-redirect":
            return RedirectResponse(self._signed(request, uid), 302)
        return serve(artifact, request.headers, self.emulator.storage_options)

    # -- inference

    async def infer(self, request: Request) -> Response:
        """POST /inference/invoke/: echo the input with a made-up prediction."""
        body = await read_json(request)
        return JSONResponse({"predictions": [{"label": "emulated", "score": 1.0}], "input": body})


def placeholders(path: str) -> list[bool]:
    """Return which segments of a path are placeholders: sorted by it, fixed words go first."""
    return [segment.startswith("{") for segment in path.split("/")]


async def read_json(request: Request) -> Any:
    """Decode the body, {} when there is none.

    :raises ApiError: 400 when it is not JSON.
    """
    body = await request.body()
    if not body:
        return {}
    try:
        return await request.json()
    except ValueError as error:
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
    app = Starlette(routes=[*Api(emulator).routes()], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app
