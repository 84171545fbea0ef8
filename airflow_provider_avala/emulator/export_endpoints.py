"""The endpoints of exports: created in four ways, shown with fresh download URLs, downloaded."""

from __future__ import annotations

import asyncio

from starlette.responses import RedirectResponse, Response

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import Json
from airflow_provider_avala.emulator.exports import BODY, LEGACY_BODY, STRICT_BODY
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.resources_data import EXPORTS
from airflow_provider_avala.emulator.schema import Record, Shape
from airflow_provider_avala.emulator.storage import serve

SCOPE = "exports.create"
OF_PROJECT = Shape("project_export", {name: BODY.fields[name] for name in ("name", "format")})


class ExportEndpoints(Kind):
    """Exports, which nobody can change or delete."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and those of its own."""
        return [
            *super().endpoints(),
            Endpoint("POST", "/exports", self.start, "Start an export", SCOPE, takes=self._body, gives=EXPORTS,
                     status=201),
            Endpoint("POST", "/projects/{project}/exports", self.start_of_project, "Start an export of a project",
                     SCOPE, takes=OF_PROJECT, gives=EXPORTS, status=201),
            Endpoint("GET", "/exports/{uid}/download", self.download, "Download the archive", SCOPE,
                     form="free", file="application/zip"),
        ]  # fmt: skip

    def _body(self) -> Shape:
        if self.emulator.dialect.name == "legacy":
            return LEGACY_BODY
        return STRICT_BODY if self.emulator.export_service.options.strict else BODY

    def view(self, record: Record, call: Call | None = None, *, fresh: bool = False) -> Json:
        """Show an export in the words of the dialect."""
        shown = self.emulator.export_service.view(
            record, lambda uid: self._url(call, uid) if call else "", fresh=fresh
        )
        return {**shown, "status": self.emulator.dialect.export_words.get(shown["status"], shown["status"])}

    def _url(self, call: Call, uid: str) -> str:
        if self.emulator.settings.download == "storage":
            return self._signed(call, uid)
        return f"{call.origin}{self.emulator.prefix}/exports/{uid}/download"

    def _signed(self, call: Call, uid: str) -> str:
        path = self.emulator.signer.sign(f"/exports/{uid}.zip", self.emulator.storage_options.url_seconds)
        return self.emulator.storage_origin(call) + path

    def start(self, call: Call) -> Json:
        """Answer POST /exports/."""
        legacy = self.emulator.dialect.name == "legacy"
        record = self.emulator.export_service.create(call.body, legacy=legacy)
        self.emulator.announce_export(record)
        return self.view(record, call, fresh=True)

    def start_of_project(self, call: Call) -> Json:
        """Answer POST /projects/{uid}/exports/, the path of older examples."""
        targets = {"projects": [call.params["project"]], "datasets": [], "slices": []}
        record = self.emulator.export_service.create({**call.body, **targets}, legacy=False)
        self.emulator.announce_export(record)
        return self.view(record, call, fresh=True)

    async def download(self, call: Call) -> Response:
        """Answer GET /exports/{uid}/download: the archive, or a redirect to it."""
        uid = call.params["uid"]
        artifact = await asyncio.to_thread(self.emulator.export_service.artifact, uid)
        if self.emulator.settings.download == "api-redirect":
            return RedirectResponse(self._signed(call, uid), 302)
        return serve(artifact, call.request.headers, self.emulator.storage_options)
