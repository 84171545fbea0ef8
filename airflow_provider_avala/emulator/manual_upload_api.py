"""The endpoints of managed uploads, and of the health report that shows what became of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_avala.emulator.emulator import Emulator
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.health import health_of
from airflow_provider_avala.emulator.manual_uploads import ALLOWED_MIMES, content_type_of, target
from airflow_provider_avala.emulator.store import DATASETS

PATH = "/datasets/manual-upload"
Handler = Callable[[Request], Awaitable[Response]]


class ManualUploadApi:
    """The handlers of one emulator.

    :param emulator: whose uploads they are.
    :param read_json: decodes a request's body.
    :param storage_address: the address of the storage origin, as the sender of a request reaches it.
    """

    def __init__(
        self,
        emulator: Emulator,
        read_json: Callable[[Request], Awaitable[Any]],
        storage_address: Callable[[Request], str],
    ) -> None:
        self.emulator = emulator
        self.uploads = emulator.manual_uploads
        self._read_json = read_json
        self._storage_address = storage_address

    def endpoints(self) -> list[tuple[str, str, str | None, Handler]]:
        """List method, path, scope and handler of each."""
        return [
            ("POST", f"{PATH}/file-upload-url", "datasets.write", self.presign),
            ("POST", f"{PATH}/uploads/{{upload}}/parts", "datasets.write", self.parts),
            ("POST", f"{PATH}/uploads/{{upload}}/complete", "datasets.write", self.complete),
            ("POST", PATH, "datasets.write", self.finalize),
            ("GET", f"{PATH}/quota", "datasets.read", self.quota),
            ("GET", f"{PATH}/allowed-mimes", None, self.allowed_mimes),
            ("GET", "/datasets/{owner}/{slug}/health", "datasets.read", self.health),
        ]

    async def presign(self, request: Request) -> Response:
        """POST .../file-upload-url/: where to send one file."""
        key, size, session = self.uploads.begin(await self._read_json(request))
        if session is None:
            return JSONResponse(self._form(request, key, size))
        return JSONResponse(target(session, self._sign(request, f"/uploads/{session.uid}")))

    def _form(self, request: Request, key: str, size: int | None) -> Json:
        kind = content_type_of(key)
        conditions = {"key": key, "Content-Type": kind, "most": size}
        policy = base64.urlsafe_b64encode(json.dumps(conditions).encode()).decode()
        signature = self._signed(policy).partition("?")[2]
        fields = {"key": key, "Content-Type": kind, "policy": policy, "x-amz-signature": signature}
        return {"method": "POST", "url": f"{self._storage_address(request)}/uploads", "fields": fields}

    def _sign(self, request: Request, path: str) -> str:
        return self._storage_address(request) + self._signed(path)

    def _signed(self, path: str) -> str:
        return self.emulator.signer.sign(path, self.emulator.storage_options.url_seconds)

    async def parts(self, request: Request) -> Response:
        """POST .../uploads/{upload}/parts/: where to send parts of one file."""
        session = self.uploads.session(request.path_params["upload"])
        numbers = self.uploads.part_numbers(session, await self._read_json(request))
        signed = {n: self._sign(request, f"/uploads/{session.uid}/parts/{n}") for n in numbers}
        return JSONResponse(
            {"parts": [{"part_number": n, "url": url, "headers": {}} for n, url in signed.items()]}
        )

    async def complete(self, request: Request) -> Response:
        """POST .../uploads/{upload}/complete/: everything was sent."""
        session = self.uploads.complete(request.path_params["upload"])
        return JSONResponse({"upload_uid": session.uid, "complete": True})

    async def finalize(self, request: Request) -> Response:
        """POST /datasets/manual-upload/: make a dataset of what arrived."""
        record = self.uploads.finalize(await self._read_json(request))
        shown = self.emulator.dataset_service.view(record)
        fresh = {**shown, "status": "creating", "item_count": 0}
        return JSONResponse(self.emulator.dialect.resource(fresh), 201)

    async def quota(self, request: Request) -> Response:
        """GET .../quota/: bytes used and allowed."""
        return JSONResponse(self.uploads.quota(request.query_params.get("organization_uid")))

    async def allowed_mimes(self, request: Request) -> Response:
        """GET .../allowed-mimes/: a hint only."""
        return JSONResponse(ALLOWED_MIMES)

    async def health(self, request: Request) -> Response:
        """GET /datasets/{owner}/{slug}/health/."""
        owner, slug = request.path_params["owner"], request.path_params["slug"]
        record = self.emulator.store.first(DATASETS, owner_name=owner, slug=slug)
        if record is None:
            raise ApiError.missing(DATASETS.label)
        return JSONResponse(health_of(record, self.emulator.dataset_service.view(record)))
