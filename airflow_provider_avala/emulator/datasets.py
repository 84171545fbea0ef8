"""Datasets that get ready after a while, and their items."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.resources_data import DATASETS, ITEMS
from airflow_provider_avala.emulator.schema import Record
from airflow_provider_avala.emulator.seeds import SEED_OWNER
from airflow_provider_avala.emulator.store import Store

SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*")
IMPORTED_ITEMS = 3  # what a made-up cloud import finds in its bucket
KEPT = ("create_metadata", "organization_id", "organization_uid")  # sent, and of no effect here
EVENT_FIELDS = ("uid", "name", "slug", "data_type", "item_count", "created_at", "updated_at")


class Datasets:
    """What datasets do by themselves.

    :param preparation: seconds from ``creating`` to ``created``, read at each creation.
    """

    def __init__(self, store: Store, preparation: Callable[[], float]) -> None:
        self.store = store
        self._preparation = preparation

    def prepare(self, fields: Record) -> Record:
        """Return what to store for a checked body; the configuration of a cloud import is not among it.

        :raises ApiError: 400 for a bad slug, 409 for one that exists.
        """
        kept = {name: value for name, value in fields.items() if name not in KEPT}
        imported = bool(kept.pop("provider_config", None))
        kept["owner_name"] = kept.get("owner_name") or SEED_OWNER
        self._check_slug(kept["slug"], kept["owner_name"])
        ready_at = self.store.now() + self._preparation()
        return {**kept, "_imported": imported, "_ready_at": ready_at}

    def amend(self, record: Record, changes: Record) -> Record:
        """Return what to change for a checked body; an owner changes by transfer only."""
        dropped = (*KEPT, "provider_config", "owner_name", "data_type")
        kept = {name: value for name, value in changes.items() if name not in dropped}
        if kept.get("slug", record["slug"]) != record["slug"]:
            self._check_slug(kept["slug"], record["owner_name"])
        return kept

    def _check_slug(self, slug: str, owner: str) -> None:
        if not SLUG.fullmatch(slug):
            raise ApiError.invalid(slug="Enter a valid slug of lower-case letters, digits, '.', '_' and '-'.")
        if self.store.first(DATASETS, slug=slug, owner_name=owner):
            raise ApiError(409, "A dataset with this slug already exists.")

    def index(self, fields: Record, keys: list[str]) -> Record:
        """Create a dataset whose items are files that are there already.

        :param fields: the dataset's fields.
        :param keys: the key of each item.
        """
        ready_at = self.store.now() + self._preparation()
        return self.store.insert(
            DATASETS, {**fields, "_imported": True, "_keys": keys, "_ready_at": ready_at}
        )

    def view(self, record: Record) -> Json:
        """Show a dataset; its status and item count change together."""
        with self.store.lock:
            self._settle(record)
            ready = self.store.now() >= record["_ready_at"]
            status = record.get("_pinned") or ("created" if ready else "creating")
            rows = self.store.rows.get(record["uid"], ())
            return {**DATASETS.show(record), "status": status, "item_count": len(rows)}

    def event(self, record: Record) -> Json:
        """Show a dataset as webhooks do: ``owner`` instead of ``owner_name``, a few fields only."""
        shown = self.view(record)
        return {**{name: shown[name] for name in EVENT_FIELDS}, "owner": shown["owner_name"]}

    def _settle(self, record: Record) -> None:
        if record["_imported"] and self.store.now() >= record["_ready_at"]:
            record["_imported"] = False
            made_up = [f"imported/{number:04}.bin" for number in range(IMPORTED_ITEMS)]
            rows = [json.dumps({"key": key}).encode() for key in record.get("_keys", made_up)]
            self.store.append_rows(record["uid"], rows)

    def items(self, record: Record) -> Listing:
        """Show the items of a dataset without building them all."""
        uid = record["uid"]
        self.view(record)
        with self.store.lock:
            count = len(self.store.rows.get(uid, ()))

        def render(index: int) -> Json:
            with self.store.lock:
                return item_view(record, index, json.loads(self.store.rows[uid][index]))

        return Listing(range(count), render)


def item_uid(dataset: Record, index: int) -> str:
    """Return the uid of a dataset's item; it follows from its place."""
    return str(uuid.uuid5(uuid.UUID(int=0), f"{dataset['uid']}/{index}"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def item_view(dataset: Record, index: int, row: Mapping[str, Any]) -> Json:
    """Show one item: the keys of the reference, filled from the uploaded row, and that row as ``data``."""
    uid = item_uid(dataset, index)
    url = _text(row.get("url")) or _text(row.get("data_url"))
    metadata = row.get("metadata")
    return ITEMS.show(
        {
            "uid": uid,
            "id": index + 1,
            "key": _text(row.get("key")) or uid,
            "dataset": dataset["uid"],
            "dataset_slug": dataset["slug"],
            "dataset_owner_name": dataset["owner_name"],
            "url": url,
            "data_url": url,
            "metadata": metadata if isinstance(metadata, dict) else {},
            "data": dict(row),
            "created_at": dataset["created_at"],
            "updated_at": dataset["updated_at"],
        }
    )
