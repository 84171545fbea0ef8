"""The public resolver: what anybody may know of a dataset that is not private, as one immutable revision.

Objects are listed, and not handed out: the SDK takes them from the vendor's hosts only, and past every proxy.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.emulator.datasets import item_uid
from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.resources_data import DATASETS
from airflow_provider_avala.emulator.schema import Field, Record, Shape

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

NEWEST = "main"  # the selector that follows a dataset's changes
ORIGIN = "emulator"
ROLE = "item"
MOST = 100  # objects a page
SHA256 = Field(required=True, max_length=64)
REVISION = Shape(
    "revision",
    {
        "schema_version": Field(int, required=True),
        "requested_reference": Field(required=True),
        "display_reference": Field(required=True),
        "canonical_reference": Field(required=True),
        "dataset_uid": Field(required=True),
        "revision_uid": Field(required=True),
        "revision_sha256": SHA256,
        "state": Field(required=True),
        "manifest": Field(dict, required=True),
        "rights": Field(dict, required=True),
    },
)
OBJECTS = Shape(
    "revision_objects",
    {
        "schema_version": Field(int, required=True),
        "canonical_reference": Field(required=True),
        "revision_sha256": SHA256,
        "manifest_sha256": SHA256,
        "next_cursor": Field(),
        "previous_cursor": Field(),
        "results": Field(list, required=True, of=dict),
    },
)


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


RIGHTS = {
    "status": "declared", "access": "open_download", "name": "CC0-1.0",
    "url": "https://creativecommons.org/publicdomain/zero/1.0/",
    "document_sha256": digest("CC0-1.0"), "attestation_sha256": digest("emulator"),
}  # fmt: skip


class Resolver:
    """The handlers of one emulator.

    :param emulator: whose datasets they are.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.store = emulator.store

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints."""
        exact = "/resolve/uid/{uid}/{sha256}"
        query = {
            "role": Field(),
            "limit": Field(int),
            "cursor": Field(),
            "ordinal": Field(int),
            "ordinals": Field(int),
        }
        return [
            Endpoint("GET", "/resolve/{owner}/{reference}", self.by_name, "Resolve a name and a selector",
                     gives=REVISION, form="free", anonymous=True),
            Endpoint("GET", exact, self.by_digest, "Show a revision", gives=REVISION, form="free", anonymous=True),
            Endpoint("GET", f"{exact}/objects", self.objects, "List the objects of a revision", gives=OBJECTS,
                     form="free", query=query, anonymous=True),
        ]  # fmt: skip

    def by_name(self, call: Call) -> Json:
        """Answer GET /resolve/{owner}/{dataset}[@{selector}]/."""
        owner = call.params["owner"]
        slug, _, selector = call.params["reference"].partition("@")
        selector = selector or NEWEST
        return self._view(self._public(owner_name=owner, slug=slug), selector, f"{owner}/{slug}@{selector}")

    def by_digest(self, call: Call) -> Json:
        """Answer GET /resolve/uid/{uid}/{sha256}/."""
        uid, sha256 = call.params["uid"], call.params["sha256"]
        return self._view(self._public(uid=uid), sha256, f"avala://datasets/{uid}@{sha256}")

    def objects(self, call: Call) -> Json:
        """Answer GET /resolve/uid/{uid}/{sha256}/objects/: a page, or those with the ordinals asked for."""
        revision = self.by_digest(call)
        found = self._objects(self._public(uid=call.params["uid"]))
        for one in found:
            one["access_path"] = f"{revision['manifest']['objects_path']}{one['object_uid']}/access/"
        if call.query.get("role", ROLE) != ROLE:
            found = []
        parameters = call.request.query_params
        wanted = parameters.getlist("ordinal") + parameters.getlist("ordinals")
        begins, ends = _number(call, "cursor", 0), len(found)
        if wanted:
            found = [one for one in found if str(one["ordinal"]) in wanted]
        else:
            ends = begins + max(1, min(MOST, _number(call, "limit", MOST)))
        return {
            "schema_version": 1,
            "canonical_reference": revision["canonical_reference"],
            "revision_sha256": revision["revision_sha256"],
            "manifest_sha256": revision["manifest"]["sha256"],
            "next_cursor": str(ends) if ends < len(found) else None,
            "previous_cursor": str(max(0, begins - MOST)) if begins else None,
            "results": found[begins:ends],
        }

    def _public(self, **fields: str) -> Record:
        found = self.store.first(DATASETS, **fields)
        if found is None or found["visibility"] == "private":
            raise ApiError.missing(DATASETS.label)
        return found

    def _objects(self, record: Record) -> list[Json]:
        self.emulator.dataset_service.view(record)  # which lets an import come to its end
        return [
            {
                "object_uid": item_uid(record, index), "logical_path": f"items/{index:08}.json", "role": ROLE,
                "ordinal": index, "episode_ordinal": None, "content_type": "application/json", "origin": ORIGIN,
                "size_bytes": len(row), "sha256": hashlib.sha256(row).hexdigest(),
            }
            for index, row in enumerate(self.store.rows_of(record["uid"]))
        ]  # fmt: skip

    def _view(self, record: Record, selector: str, requested: str) -> Json:
        uid, objects = record["uid"], self._objects(record)
        manifest = digest(objects)
        sha256 = digest([uid, manifest])
        if selector not in (NEWEST, sha256):
            raise ApiError.missing("Revision")
        origin = {"name": ORIGIN, "kind": "upload", "canonical_ref": uid, "external_revision": manifest}
        return {
            "schema_version": 1,
            "requested_reference": requested,
            "display_reference": f"{record['owner_name']}/{record['slug']}@{sha256}",
            "canonical_reference": f"avala://datasets/{uid}@{sha256}",
            "dataset_uid": uid,
            "revision_uid": str(uuid.uuid5(uuid.UUID(int=0), sha256)),
            "revision_sha256": sha256,
            "state": "published",
            "manifest": {
                "schema_version": 1, "sha256": manifest, "object_count": len(objects),
                "total_size_bytes": sum(one["size_bytes"] for one in objects), "origins": [origin],
                "objects_path": f"/resolve/uid/{uid}/{sha256}/objects/",
            },
            "rights": RIGHTS,
        }  # fmt: skip


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise ApiError.invalid(**{name: "A valid integer is required."})
    return int(text[:9])
