"""How a kind of resource behaves: stored and shown as its row says. Subclasses add what is its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.emulator.endpoints import Call, Endpoint
from airflow_provider_avala.emulator.envelopes import ApiError, Json, Listing
from airflow_provider_avala.emulator.resources import RESOURCES
from airflow_provider_avala.emulator.schema import Link, Record, Resource

if TYPE_CHECKING:
    from airflow_provider_avala.emulator.emulator import Emulator

CONFLICT = "{article} {label} with this {field} already exists."


class Kind:
    """The endpoints of one row of the resource table.

    :param emulator: what it lives in.
    :param row: of the table.
    """

    def __init__(self, emulator: Emulator, row: Resource) -> None:
        self.emulator = emulator
        self.store = emulator.store
        self.row = row

    # -- what subclasses change

    def prepare(self, fields: Record, call: Call) -> Record:
        """Return what to store for a checked body of a creation; refuse what is out of order."""
        return fields

    def amend(self, record: Record, changes: Record) -> Record:
        """Return what to change for a checked body of an update; refuse what is out of order."""
        return changes

    def created(self, record: Record) -> None:
        """Do what follows a creation."""

    def changed(self, record: Record) -> None:
        """Do what follows an update."""

    def deleted(self, record: Record) -> None:
        """Do what follows a deletion."""

    def view(self, record: Record, call: Call | None = None) -> Json:
        """Show a record."""
        return self.row.show(record)

    # -- endpoints

    def endpoints(self) -> list[Endpoint]:
        """List the endpoints that the row asks for."""
        row, found = self.row, []
        plural = row.name.replace("_", " ")
        if "list" in row.methods and row.list_path:
            found.append(
                Endpoint(
                    "GET", row.list_path, self.browse, f"List {plural}", row.scope, gives=row, form=row.paging
                )
            )
        create_path = row.create_path or row.list_path
        if "create" in row.methods and create_path:
            found.append(
                Endpoint(
                    "POST", create_path, self.create, f"Create one of the {plural}", row.write_scope,
                    takes=row, gives=row, status=201,
                )
            )  # fmt: skip
        if row.item_path:
            found += self._item_endpoints(row.item_path, row.label.lower())
        return found

    def _item_endpoints(self, path: str, label: str) -> list[Endpoint]:
        row = self.row
        every = {
            "get": Endpoint("GET", path, self.get, f"Show the {label}", row.scope, gives=row),
            "patch": Endpoint(
                "PATCH",
                path,
                self.update,
                f"Change the {label}",
                row.write_scope,
                takes=row,
                partial=True,
                gives=row,
            ),
            "put": Endpoint(
                "PUT", path, self.update, f"Replace the {label}", row.write_scope, takes=row, gives=row
            ),
            "delete": Endpoint(
                "DELETE", path, self.delete, f"Delete the {label}", row.write_scope, form="nothing"
            ),
        }
        return [endpoint for method, endpoint in every.items() if method in row.methods]

    # -- handlers

    def browse(self, call: Call) -> Listing:
        """Answer GET on the collection."""
        owner = call.params.get("owner")
        scoped = {} if self.row.parents or owner is None else {"owner_name": owner}
        return self.listing(call, **scoped)

    def listing(self, call: Call, **fields: Any) -> Listing:
        """Show the records with these values, of the parents in the path, as the query asks."""
        if self.emulator.settings.strict:
            self.row.check_query(call.query)
        return self.store.listing(
            self.row,
            call.query,
            lambda record: self.view(record, call),
            **self.parents(call.params),
            **fields,
        )

    def get(self, call: Call) -> Json:
        """Answer GET on one."""
        return self.view(self.at(call.params), call)

    def create(self, call: Call) -> Json:
        """Answer POST on the collection."""
        with self.store.lock:
            parents = self.parents(call.params)
            fields = {**self.prepare(call.body, call), **parents}
            self._check_unique(fields, parents)
            record = self.store.insert(self.row, fields)
        self.created(record)
        shown = self.view(record, call)
        once = {name: record.get(name) for name, rule in self.row.fields.items() if rule.access == "once"}
        return {**shown, **once}

    def update(self, call: Call) -> Json:
        """Answer PATCH and PUT on one."""
        with self.store.lock:
            record = self.at(call.params)
            changes = self.amend(record, call.body)
            self._check_unique(changes, {name: record[name] for name in self.parents(call.params)}, record)
            record.update(changes, updated_at=self.store.now())
        self.changed(record)
        return self.view(record, call)

    def delete(self, call: Call) -> None:
        """Answer DELETE on one."""
        with self.store.lock:
            record = self.at(call.params)
            self.store.remove(self.row, record["uid"])
        self.deleted(record)

    # -- finding

    def parents(self, params: Mapping[str, str]) -> dict[str, str]:
        """Find the parents that a path names; what they are stored as.

        :raises ApiError: 404 when there is none of them.
        """
        found: dict[str, str] = {}
        for link in self.row.parents:
            within = {
                name: uid for name, uid in found.items() if name in _names(RESOURCES[link.table].parents)
            }
            wanted = {field: params[placeholder] for placeholder, field in link.by.items()}
            parent = self.lookup(RESOURCES[link.table], {**wanted, **within})
            found[f"_{link.table}"] = parent["uid"]
        return found

    def at(self, params: Mapping[str, str]) -> Record:
        """Find the record that a path names.

        :raises ApiError: 404 when there is none.
        """
        wanted = {
            field: params[placeholder] for placeholder, field in self.row.key.items() if placeholder in params
        }
        return self.lookup(self.row, {**wanted, **self.parents(params)})

    def lookup(self, row: Resource, wanted: Mapping[str, str]) -> Record:
        """Find a record of any kind by its fields.

        :raises ApiError: 404 when there is none.
        """
        if set(wanted) == {"uid"}:
            return self.store.find(row, wanted["uid"])
        record = self.store.first(row, **wanted)
        if record is None:
            raise ApiError.missing(row.label)
        return record

    def _check_unique(self, fields: Record, parents: Mapping[str, str], record: Record | None = None) -> None:
        for name in self.row.unique:
            if name not in fields:
                continue
            twin = self.store.first(self.row, **{name: fields[name]}, **parents)
            if twin is not None and twin is not record:
                label = self.row.label.lower()
                article = "An" if label[0] in "aeiou" else "A"
                raise ApiError(409, CONFLICT.format(article=article, label=label, field=name))


def _names(links: tuple[Link, ...]) -> set[str]:
    return {f"_{link.table}" for link in links}


def slugify(name: str, taken: Any) -> str:
    """Make a slug of a name that is not among those taken.

    :param taken: a predicate.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "unnamed"
    number, free = 1, slug
    while taken(free):
        number += 1
        free = f"{slug}-{number}"
    return free
