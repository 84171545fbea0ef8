"""Datasets that get ready after a while, and their items."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.seeds import SEED_OWNER
from airflow_provider_avala.emulator.store import DATASETS, Record, Store, plain_view, timestamp

SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*")
IMPORTED_ITEMS = 3  # what a made-up cloud import finds in its bucket


class Datasets:
    """Create and show datasets.

    :param preparation: seconds from ``creating`` to ``created``, read at each creation.
    """

    def __init__(self, store: Store, preparation: Callable[[], float]) -> None:
        self.store = store
        self._preparation = preparation

    def create(self, body: Any) -> Record:
        """Create a dataset from a request body.

        :raises ApiError: 400 for a bad body, 409 for a slug that exists.
        """
        fields = DATASETS.validate(body)
        if not SLUG.fullmatch(fields["slug"]):
            raise ApiError.invalid(slug="Enter a valid slug of lower-case letters, digits, '.', '_' and '-'.")
        imported = bool(fields.pop("provider_config"))
        owner = fields.pop("owner_name") or SEED_OWNER
        with self.store.lock:
            if self.store.first(DATASETS, slug=fields["slug"], owner_name=owner):
                raise ApiError(409, "A dataset with this slug already exists.")
            ready_at = self.store.now() + self._preparation()
            return self.store.insert(
                DATASETS, {**fields, "owner_name": owner, "_imported": imported, "_ready_at": ready_at}
            )

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
            count = len(self.store.rows.get(record["uid"], ()))
        return {
            **plain_view(record),
            "status": status,
            "item_count": count,
            "predefined_labels": [],
            "organization": None,
        }

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


def item_view(dataset: Record, index: int, row: Mapping[str, Any]) -> Json:
    """Show one item: the keys of the reference, filled from the uploaded row, and that row as ``data``."""
    uid = str(uuid.uuid5(uuid.UUID(int=0), f"{dataset['uid']}/{index}"))
    url = row.get("url") or row.get("data_url")
    metadata = row.get("metadata")
    return {
        "uid": uid,
        "key": row.get("key") or uid,
        "dataset": dataset["uid"],
        "dataset_slug": dataset["slug"],
        "dataset_owner_name": dataset["owner_name"],
        "is_hidden": False,
        "url": url,
        "data_url": url,
        "thumbnails": [],
        "metadata": metadata if isinstance(metadata, dict) else {},
        "annotations": {},
        "data": dict(row),
        "created_at": timestamp(dataset["created_at"]),
        "updated_at": timestamp(dataset["updated_at"]),
    }
