"""The endpoints of datasets and their items, beyond those of the table."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_avala.emulator.datasets import item_uid
from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.kinds import Kind
from airflow_provider_avala.emulator.resources_accounts import ORGANIZATIONS
from airflow_provider_avala.emulator.resources_data import DATASETS, ITEMS, SEQUENCES
from airflow_provider_avala.emulator.schema import Field, Record, Shape
from airflow_provider_avala.emulator.uploads import UploadForm

BY_SLUG = "/datasets/{owner}/{slug}"
READ, WRITE = "datasets.read", "datasets.write"
TRANSFER = Shape("transfer", {"organization_uid": Field(), "owner_username": Field()})
UPLOADED = Shape("uploaded", {"accepted": Field(int, required=True), "item_count": Field(int, required=True)})


class DatasetEndpoints(Kind):
    """Datasets: by uid and by owner and slug, their transfer, their items and the upload of JSONL rows."""

    uploading = 0

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and those of its own."""
        items, by_uid = f"{BY_SLUG}/items", "/datasets/{uid}/items"
        return [
            *super().endpoints(),
            Endpoint("GET", "/datasets/{owner}/list", self.browse, "List an owner's datasets", READ, gives=DATASETS,
                     form="numbered"),
            Endpoint("GET", BY_SLUG, self.get, "Show the dataset with this owner and slug", READ, gives=DATASETS),
            Endpoint("POST", f"{BY_SLUG}/transfer", self.transfer, "Move a dataset to another owner", WRITE,
                     takes=TRANSFER, gives=DATASETS),
            Endpoint("GET", items, self.list_items, "List the items", READ, gives=ITEMS, form="cursor"),
            Endpoint("GET", f"{items}/{{item}}", self.get_item, "Show one item", READ, gives=ITEMS),
            Endpoint("GET", by_uid, self.list_items, "List the items (older path)", READ, gives=ITEMS, form="cursor"),
            Endpoint("POST", by_uid, self.upload, "Upload JSONL rows as a form (older path)", WRITE,
                     gives=UPLOADED, status=201, raw=True),
        ]  # fmt: skip

    def at(self, params: Any) -> Record:
        """Find a dataset by its uid, or by its owner and slug."""
        if "slug" in params:
            return self.lookup(DATASETS, {"owner_name": params["owner"], "slug": params["slug"]})
        return self.store.find(DATASETS, params["uid"])

    def browse(self, call: Call) -> Listing:
        """Answer a list; an owner in the path must be one there is."""
        owner = call.params.get("owner")
        if owner is None:
            return self.listing(call)
        self.emulator.check_owner(owner)
        return self.listing(call, owner_name=owner)

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show a dataset as it is by now."""
        return self.emulator.dataset_service.view(record)

    def prepare(self, fields: Record, call: Call) -> Record:
        """Check owner and slug; the secrets of a cloud import go no further."""
        organization = fields.get("organization_uid")
        if organization is not None:
            fields["owner_name"] = self._organization(organization)["slug"]
        elif fields["owner_name"]:
            self.emulator.check_owner(fields["owner_name"], "owner_name")
        return self.emulator.dataset_service.prepare(fields)

    def amend(self, record: Record, changes: Record) -> Record:
        """Check what an update changes."""
        return self.emulator.dataset_service.amend(record, changes)

    def created(self, record: Record) -> None:
        """Announce the dataset once it is ready."""
        self.emulator.announce_dataset(record)

    def changed(self, record: Record) -> None:
        """Announce the update."""
        self.emulator.events.emit("dataset.updated", self._event(record))

    def deleted(self, record: Record) -> None:
        """Forget the items and announce the deletion."""
        payload = self._event(record)
        with self.store.lock:
            self.store.rows.pop(record["uid"], None)
        self.emulator.events.emit("dataset.deleted", payload)

    def _event(self, record: Record) -> Json:
        return self.emulator.dataset_service.event(record)

    def _organization(self, uid: str) -> Record:
        if not self.store.known(ORGANIZATIONS, uid):
            raise ApiError.invalid(organization_uid=f'Invalid pk "{uid}" - object does not exist.')
        return self.store.find(ORGANIZATIONS, uid)

    def transfer(self, call: Call) -> Json:
        """Answer POST .../transfer/: exactly one new owner, an organization or oneself."""
        organization, user = call.body["organization_uid"], call.body["owner_username"]
        if (organization is None) == (user is None):
            raise ApiError.invalid(
                non_field_errors="Give exactly one of organization_uid and owner_username."
            )
        with self.store.lock:
            record = self.at(call.params)
            if user is not None and user != self.emulator.username:
                raise ApiError(403, "A dataset can be transferred to yourself only, not to another user.")
            owner = user if organization is None else self._organization(organization)["slug"]
            twin = self.store.first(DATASETS, owner_name=owner, slug=record["slug"])
            if twin is not None and twin is not record:
                raise ApiError(409, "A dataset with this slug already exists.")
            record.update(owner_name=owner, updated_at=self.store.now())
        self.changed(record)
        return self.view(record)

    def list_items(self, call: Call) -> Listing:
        """Answer GET .../items/."""
        if self.emulator.settings.strict:
            ITEMS.check_query(call.query)
        listing = self.emulator.dataset_service.items(self.at(call.params))
        if call.query.get("ordering") != "created_at":
            return listing
        last = len(listing.positions) - 1
        return Listing(range(last + 1), lambda index: listing.render(last - index))

    def get_item(self, call: Call) -> Json:
        """Answer GET .../items/{uid}/."""
        record, wanted = self.at(call.params), call.params["item"]
        listing = self.emulator.dataset_service.items(record)
        for index in range(len(listing.positions)):
            if item_uid(record, index) == wanted:
                return listing.render(index)
        raise ApiError.missing(ITEMS.label)

    async def upload(self, call: Call) -> Response:
        """Answer POST .../items/: one multipart part ``file`` of JSONL; all rows or none."""
        emulator, request = self.emulator, call.request
        uid = self.store.find(DATASETS, call.params["uid"])["uid"]
        if self.uploading >= emulator.settings.max_uploads:
            raise ApiError.throttled(1)
        self.uploading += 1
        try:
            form = await UploadForm(request.headers.get("content-type", "")).read(request.stream())
        finally:
            self.uploading -= 1
        mark = f"{uid} {request.headers.get('idempotency-key', '')} {form.digest.hexdigest()}"
        repeatable = emulator.settings.honour_idempotency_key and "idempotency-key" in request.headers
        with self.store.lock:
            if not repeatable or mark not in emulator.uploads:
                total = self.store.append_rows(uid, form.rows)
                answer = {
                    f"dataset_{emulator.dialect.id_key}": uid,
                    "accepted": len(form.rows),
                    "item_count": total,
                }
                if repeatable:
                    emulator.uploads[mark] = answer
            else:
                answer = emulator.uploads[mark]
        return JSONResponse(answer, 201)


class SequenceEndpoints(Kind):
    """Sequences: a list leaves the frames out, one shows them all."""

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show a sequence; in a list, without what only the details have."""
        shown = SEQUENCES.show(record)
        shown["number_of_frames"] = len(shown["frames"])
        if call is not None and "uid" not in call.params:
            del shown["frames"], shown["camera_calibration"]
        return shown
