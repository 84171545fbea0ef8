"""The API's routes. Shapes come from the dialect, refusals are :class:`ApiError`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from airflow_provider_avala.emulator import seeds
from airflow_provider_avala.emulator.emulator import API_PREFIX, Emulator
from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing, PageRequest
from airflow_provider_avala.emulator.storage import serve
from airflow_provider_avala.emulator.store import (
    DATASETS,
    EXPORTS,
    ORGANIZATIONS,
    PROJECTS,
    SLICES,
    Record,
    Resource,
    View,
    plain_view,
)
from airflow_provider_avala.emulator.uploads import UploadForm

Handler = Callable[[Request], Awaitable[Response]]
SCOPE_TEXT = "API key requires '{}' scope."


class Api:
    """The handlers of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.store = emulator.store
        self.dialect = emulator.dialect
        self._uploading = 0

    def routes(self) -> list[Route]:
        """List the paths, fixed words before placeholders; the trailing slash is dealt with before."""
        datasets, projects = emulator_views(self.emulator)
        table: list[tuple[str, Mapping[str, tuple[str | None, Handler]]]] = [
            ("/users/me", {"GET": (None, self.me)}),
            ("/users/me/projects", {"GET": ("projects.read", partial(self.list, PROJECTS, projects))}),
            ("/users/me/projects/{uid}", {"GET": ("projects.read", partial(self.get, PROJECTS, projects))}),
            ("/projects/{uid}/approve", {"POST": ("projects.write", self.approve)}),
            (
                "/datasets",
                {
                    "GET": ("datasets.read", partial(self.list, DATASETS, datasets)),
                    "POST": ("datasets.write", self.create_dataset),
                },
            ),
            (
                "/datasets/{owner}/list",
                {"GET": ("datasets.read", partial(self.list_owned, DATASETS, datasets))},
            ),
            ("/datasets/{uid}", {"GET": ("datasets.read", partial(self.get, DATASETS, datasets))}),
            (
                "/datasets/{uid}/items",
                {"GET": ("datasets.read", self.list_items), "POST": ("datasets.write", self.upload)},
            ),
            ("/datasets/{owner}/{slug}", {"GET": ("datasets.read", self.get_dataset_by_slug)}),
            (
                "/slices/{owner}/list",
                {"GET": ("datasets.read", partial(self.list_owned, SLICES, plain_view))},
            ),
            (
                "/exports",
                {
                    "GET": ("exports.create", self.list_exports),
                    "POST": ("exports.create", self.create_export),
                },
            ),
            ("/exports/{uid}", {"GET": ("exports.create", self.get_export)}),
            ("/exports/{uid}/download", {"GET": ("exports.create", self.download)}),
            ("/organizations", {"GET": (None, partial(self.list_owned, ORGANIZATIONS, plain_view))}),
            ("/inference/invoke", {"POST": (None, self.infer)}),
        ]
        return [
            Route(API_PREFIX + path, self._by_method(handlers), methods=list(handlers))
            for path, handlers in table
        ]

    def _by_method(self, handlers: Mapping[str, tuple[str | None, Handler]]) -> Handler:
        async def endpoint(request: Request) -> Response:
            scope, handler = handlers["GET" if request.method == "HEAD" else request.method]
            granted = self.emulator.scopes
            if scope is not None and granted is not None and scope not in granted:
                raise ApiError(403, SCOPE_TEXT.format(scope), code="scope_required")
            return await handler(request)

        return endpoint

    # -- generic

    async def list(self, kind: Resource, view: View, request: Request) -> Response:
        """Answer a cursor list."""
        listing = self.store.listing(kind, request.query_params, view)
        return self._page(listing, request, self.dialect.cursor_page)

    async def list_owned(self, kind: Resource, view: View, request: Request) -> Response:
        """Answer a page-number list; an owner in the path must be the one there is."""
        if request.path_params.get("owner", seeds.SEED_OWNER) != seeds.SEED_OWNER:
            raise ApiError.missing("Owner")
        listing = self.store.listing(kind, request.query_params, view)
        return self._page(listing, request, self.dialect.numbered_page, default=20)

    async def get(self, kind: Resource, view: View, request: Request) -> Response:
        """Answer one resource."""
        return self._shown(view(self.store.find(kind, request.path_params["uid"])))

    def _page(
        self,
        listing: Listing,
        request: Request,
        paging: Callable[[Listing, PageRequest], Json],
        default: int | None = None,
    ) -> Response:
        most = self.emulator.settings.page_limit
        asked = request.query_params.get("limit", "")
        limit = int(asked) if asked.isdigit() and int(asked) > 0 else default or most
        path = request.url.path.rstrip("/") + ("/" if self.dialect.trailing_slash else "")
        url = f"{request.url.scheme}://{request.url.netloc}{path}"
        shown = Listing(listing.positions, lambda index: self.dialect.resource(listing.render(index)))
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
        return self._page(self.emulator.dataset_service.items(record), request, self.dialect.cursor_page)

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
        port = self.emulator.storage_url.rpartition(":")[2]
        host = request.url.hostname or "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"

    async def list_exports(self, request: Request) -> Response:
        """GET /exports/."""
        return await self.list(EXPORTS, self._export_view(request), request)

    async def create_export(self, request: Request) -> Response:
        """POST /exports/."""
        body = await read_json(request)
        record = self.emulator.export_service.create(body, legacy=self.dialect.name == "legacy")
        return self._shown(self._export_view(request, fresh=True)(record), 201)

    async def get_export(self, request: Request) -> Response:
        """GET /exports/{uid}/."""
        return await self.get(EXPORTS, self._export_view(request), request)

    async def download(self, request: Request) -> Response:
        """GET /exports/{uid}/download: the archive, or a redirect to it."""
        uid = request.path_params["uid"]
        artifact = self.emulator.export_service.artifact(uid)
        if self.emulator.settings.download == "api-redirect":
            return RedirectResponse(self._signed(request, uid), 302)
        return serve(artifact, request.headers, self.emulator.storage_options)

    # -- inference

    async def infer(self, request: Request) -> Response:
        """POST /inference/invoke/: echo the input with a made-up prediction."""
        body = await read_json(request)
        return JSONResponse({"predictions": [{"label": "emulated", "score": 1.0}], "input": body})


def emulator_views(emulator: Emulator) -> tuple[View, View]:
    """Return how datasets and projects are shown."""
    return emulator.dataset_service.view, plain_view


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
