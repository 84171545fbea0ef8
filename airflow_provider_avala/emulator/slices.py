"""Slices: selections of items from datasets and from other slices."""

from __future__ import annotations

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.kinds import Kind, slugify
from airflow_provider_avala.emulator.resources_data import DATASETS, ITEMS, SLICES
from airflow_provider_avala.emulator.schema import Record

READ = "datasets.read"
SOURCES = ("dataset_uid", "dataset", "uid")  # names under which a sub-slice may say its dataset


class Slices(Kind):
    """Slices with the items of their datasets."""

    def endpoints(self) -> list[Endpoint]:
        """List the table's endpoints and the items."""
        items = "/slices/{owner}/{slug}/items"
        return [
            *super().endpoints(),
            Endpoint(
                "GET", f"{items}/list", self.list_items, "List the items", READ, gives=ITEMS, form="numbered"
            ),
            Endpoint("GET", f"{items}/{{item}}", self.get_item, "Show one item", READ, gives=ITEMS),
        ]

    def browse(self, call: Call) -> Listing:
        """Answer an owner's slices; the owner must be one there is."""
        self.emulator.check_owner(call.params["owner"])
        return self.listing(call, owner_name=call.params["owner"])

    def prepare(self, fields: Record, call: Call) -> Record:
        """Find the datasets that the sub-slices name."""
        owner = fields["organization"] or self.emulator.username
        self.emulator.check_owner(owner, "organization")
        datasets = []
        for part in fields["sub_slices"]:
            found = [part[name] for name in SOURCES if self.store.known(DATASETS, part.get(name))]
            if not found:
                raise ApiError.invalid(
                    sub_slices="Name a dataset that there is in each of them: dataset_uid."
                )
            datasets.append(found[0])
        taken = lambda slug: self.store.first(SLICES, slug=slug, owner_name=owner) is not None  # noqa: E731
        return {
            **{name: fields[name] for name in ("name", "visibility", "sub_slices")},
            "organization": fields["organization"],
            "owner_name": owner,
            "slug": slugify(fields["name"], taken),
            "status": "created",
            "datasets": list(dict.fromkeys(datasets)),
            "_most": fields["random_selection_count"],
        }

    def _items(self, record: Record) -> list[Json]:
        shown: list[Json] = []
        for uid in record.get("datasets", ()):
            if self.store.known(DATASETS, uid):
                listing = self.emulator.dataset_service.items(self.store.find(DATASETS, uid))
                shown += [listing.render(index) for index in range(len(listing.positions))]
        return shown[: record.get("_most")]

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show a slice with the number of its items."""
        shown = self.row.show(record)
        owner = shown["organization"]
        shown["organization"] = {"slug": owner} if isinstance(owner, str) else owner
        return {**shown, "source_data": record.get("datasets", []), "item_count": len(self._items(record))}

    def list_items(self, call: Call) -> Listing:
        """Answer GET .../items/list/."""
        items = self._items(self.at(call.params))
        return Listing(range(len(items)), items.__getitem__)

    def get_item(self, call: Call) -> Json:
        """Answer GET .../items/{uid}/."""
        for item in self._items(self.at(call.params)):
            if item["uid"] == call.params["item"]:
                return item
        raise ApiError.missing(ITEMS.label)
