"""The endpoints of managed uploads, and of the health report that shows what became of them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.health import HEALTH, health_of
from airflow_provider_avala.emulator.manual_uploads import (
    ALLOWED_MIMES,
    FINALIZE,
    TARGET,
    content_type_of,
    target,
)
from airflow_provider_avala.emulator.resources_data import DATASETS, SEQUENCES
from airflow_provider_avala.emulator.schema import Field, Shape

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

PATH = "/datasets/manual-upload"
READ, WRITE = "datasets.read", "datasets.write"
TARGET_SHOWN = Shape(
    "upload_target",
    {
        "method": Field(required=True, choices=("POST", "PUT", "MULTIPART")),
        "upload_uid": Field(),
        "url": Field(),
        "fields": Field(dict),
        "headers": Field(dict),
        "complete": Field(bool),
        "part_size": Field(int),
        "part_count": Field(int),
        "uploaded_parts": Field(list, of=dict),
    },
)
PARTS = Shape("upload_parts", {"part_numbers": Field(list, required=True, of=int)})
PARTS_SHOWN = Shape("upload_part_targets", {"parts": Field(list, required=True, of=dict)})
COMPLETED = Shape(
    "upload_completed", {"upload_uid": Field(required=True), "complete": Field(bool, required=True)}
)
QUOTA = Shape("upload_quota", {"used": Field(int, required=True), "limit": Field(int, required=True)})
MIMES = Shape(
    "allowed_mimes",
    {"mime_types": Field(list, required=True, of=str), "video_prefix": Field(required=True)},
)


class ManualUploadApi:
    """The handlers of one emulator.

    :param emulator: whose uploads they are.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.uploads = emulator.manual_uploads

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints."""
        session = f"{PATH}/uploads/{{upload}}"
        return [
            Endpoint("POST", f"{PATH}/file-upload-url", self.presign, "Ask where to send a file", WRITE,
                     takes=TARGET, gives=TARGET_SHOWN),
            Endpoint("POST", f"{session}/parts", self.parts, "Ask where to send parts of a file", WRITE,
                     takes=PARTS, gives=PARTS_SHOWN),
            Endpoint("POST", f"{session}/complete", self.complete, "Say that everything was sent", WRITE,
                     gives=COMPLETED),
            Endpoint("POST", PATH, self.finalize, "Make a dataset of what arrived", WRITE, takes=FINALIZE,
                     gives=DATASETS, status=201),
            Endpoint("GET", f"{PATH}/quota", self.quota, "Show the bytes used and allowed", READ, gives=QUOTA,
                     query={"organization_uid": Field()}),
            Endpoint("GET", f"{PATH}/allowed-mimes", self.allowed_mimes, "List media types, as a hint", gives=MIMES),
            Endpoint("GET", "/datasets/{owner}/{slug}/health", self.health, "Report on the dataset", READ,
                     gives=HEALTH),
        ]  # fmt: skip

    def presign(self, call: Call) -> Json:
        """Answer POST .../file-upload-url/: where to send one file."""
        key, size, session = self.uploads.begin(call.body)
        if session is None:
            return self._form(call, key, size)
        return target(session, self._sign(call, f"/uploads/{session.uid}"))

    def _form(self, call: Call, key: str, size: int | None) -> Json:
        kind = content_type_of(key)
        conditions = {"key": key, "Content-Type": kind, "most": size}
        policy = base64.urlsafe_b64encode(json.dumps(conditions).encode()).decode()
        signature = self._signed(policy).partition("?")[2]
        fields = {"key": key, "Content-Type": kind, "policy": policy, "x-amz-signature": signature}
        return {"method": "POST", "url": f"{self.emulator.storage_origin(call)}/uploads", "fields": fields}

    def _sign(self, call: Call, path: str) -> str:
        return self.emulator.storage_origin(call) + self._signed(path)

    def _signed(self, path: str) -> str:
        return self.emulator.signer.sign(path, self.emulator.storage_options.url_seconds)

    def parts(self, call: Call) -> Json:
        """Answer POST .../uploads/{upload}/parts/: where to send parts of one file."""
        session = self.uploads.session(call.params["upload"])
        numbers = self.uploads.part_numbers(session, call.body)
        signed = {n: self._sign(call, f"/uploads/{session.uid}/parts/{n}") for n in numbers}
        return {"parts": [{"part_number": n, "url": url, "headers": {}} for n, url in signed.items()]}

    def complete(self, call: Call) -> Json:
        """Answer POST .../uploads/{upload}/complete/: everything was sent."""
        session = self.uploads.complete(call.params["upload"])
        return {"upload_uid": session.uid, "complete": True}

    def finalize(self, call: Call) -> Json:
        """Answer POST /datasets/manual-upload/: make a dataset of what arrived."""
        record = self.uploads.finalize(call.body)
        self.emulator.announce_dataset(record)
        shown = self.emulator.dataset_service.view(record)
        return {**shown, "status": "creating", "item_count": 0}

    def quota(self, call: Call) -> Json:
        """Answer GET .../quota/: bytes used and allowed."""
        return self.uploads.quota(call.query.get("organization_uid"))

    def allowed_mimes(self, call: Call) -> Json:
        """Answer GET .../allowed-mimes/: a hint only."""
        return ALLOWED_MIMES

    def health(self, call: Call) -> Json:
        """Answer GET /datasets/{owner}/{slug}/health/."""
        store = self.emulator.store
        record = store.first(DATASETS, owner_name=call.params["owner"], slug=call.params["slug"])
        if record is None:
            raise ApiError.missing(DATASETS.label)
        sequences = store.among(SEQUENCES, _datasets=record["uid"])
        return health_of(record, self.emulator.dataset_service.view(record), sequences)
