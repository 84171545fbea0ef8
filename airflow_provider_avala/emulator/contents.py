"""What an emulator holds, and how a test adds to it without a request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_provider_avala.emulator import seeds
from airflow_provider_avala.emulator.datasets import Datasets, item_uid
from airflow_provider_avala.emulator.envelopes import DIALECTS, ApiError, Json
from airflow_provider_avala.emulator.events import Events
from airflow_provider_avala.emulator.exports import FINAL, ExportOptions, Exports, seal
from airflow_provider_avala.emulator.kinds import slugify
from airflow_provider_avala.emulator.manual_uploads import ManualUploads, StoredFile, UploadOptions
from airflow_provider_avala.emulator.organizations import person
from airflow_provider_avala.emulator.resources_accounts import MEMBERS, ORGANIZATIONS
from airflow_provider_avala.emulator.resources_data import DATASETS, EXPORTS, SEQUENCES, SLICES
from airflow_provider_avala.emulator.resources_work import PROJECTS, TASKS
from airflow_provider_avala.emulator.schema import Record, Resource, timestamp
from airflow_provider_avala.emulator.seeding import plant
from airflow_provider_avala.emulator.settings import API_PREFIX, Settings
from airflow_provider_avala.emulator.store import Store, encode_row
from airflow_provider_avala.emulator.timeline import Timeline


class Contents:
    """The tables, what keeps them alive, and how tests fill them.

    :ivar plan: the organization's plan; ``FREE`` makes project approval fail with ``plan_insufficient``.
    :ivar staff: whether the key may list all projects.
    :ivar metrics: what quality targets are held against, by metric; see :meth:`metric`.
    :ivar unreachable_buckets: names of buckets whose storage configuration does not pass its test.
    :ivar accounts: the users that signed up, by key.
    """

    username = seeds.SEED_OWNER
    prefix = API_PREFIX
    base_url = ""

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self.settings = settings
        self.dialect = DIALECTS[settings.dialect]
        self.plan = "ENTERPRISE"
        self.staff = False
        self.metrics: dict[str, float] = {}
        self.unreachable_buckets: set[str] = set()
        self.accounts: dict[str, Record] = {}
        self.dataset_seconds = settings.dataset_seconds
        self.auto_label_seconds = settings.auto_label_seconds
        self.store = Store(now)
        self.timeline = Timeline(now)
        self.events = Events(self.store, self.timeline)
        self.dataset_service = Datasets(self.store, lambda: self.dataset_seconds)
        strict = settings.strict or settings.strict_exports
        options = ExportOptions(settings.export_seconds, settings.max_exports, strict)
        self.export_service = Exports(self.store, options)
        self.upload_options = UploadOptions(settings.upload_mode, settings.upload_quota)
        self.manual_uploads = ManualUploads(self.store, self.dataset_service, self.upload_options)
        self.uploads: dict[str, Json] = {}
        self._plant()

    # -- who there is

    @property
    def person(self) -> Record:
        """The owner of the key, as lists of people show him."""
        return person(self.username, user_uid=seeds.SEED_USER_ID, email="emulator@example.com")

    def check_owner(self, owner: str, field: str | None = None) -> None:
        """Check that there is such an owner: the user or an organization.

        :raises ApiError: 404, or 400 naming the field that held it.
        """
        if owner == self.username or self.store.first(ORGANIZATIONS, slug=owner):
            return
        if field is None:
            raise ApiError.missing("Owner")
        raise ApiError.invalid(**{field: f'Owner "{owner}" does not exist.'})

    # -- what follows from the contents

    def item_uids(self, datasets: Iterable[str]) -> list[str]:
        """Return the uids of all items of these datasets."""
        found = [self.store.find(DATASETS, uid) for uid in datasets if self.store.known(DATASETS, uid)]
        counts = [(dataset, self.dataset_service.view(dataset)["item_count"]) for dataset in found]
        return [item_uid(dataset, index) for dataset, count in counts for index in range(count)]

    def metric(self, project: str, name: str) -> float:
        """Return a project's number: the one that a test set, its share of completed tasks, or 1."""
        if name in self.metrics:
            return self.metrics[name]
        tasks = self.store.among(TASKS, project=project)
        done = [task for task in tasks if task["status"] == "completed"]
        return len(done) / len(tasks) if name == "acceptance_rate" and tasks else 1.0

    def announce_dataset(self, record: Record) -> None:
        """Emit ``dataset.created`` once the dataset is ready."""

        def ready() -> None:
            if self.store.known(DATASETS, record["uid"]):
                self.events.emit("dataset.created", self.dataset_service.event(record))

        self.timeline.at(record["_ready_at"], ready)

    def announce_export(self, record: Record) -> None:
        """Emit ``export.completed`` or ``export.failed`` once the export has ended."""

        def ended() -> None:
            status = self.export_service.status(record)
            if (
                record.get("_announced")
                or status not in FINAL
                or not self.store.known(EXPORTS, record["uid"])
            ):
                return
            record["_announced"] = True
            good = status == "exported"
            url = f"{self.base_url}/exports/{record['uid']}/download" if good else None
            shown = {"uid": record["uid"], "status": "completed" if good else "failed", "download_url": url}
            moment = timestamp(record["created_at"])
            self.events.emit(
                f"export.{shown['status']}", {**shown, "format": record["format"], "created_at": moment}
            )

        self.timeline.at(record["created_at"] + record["_seconds"], ended)
        if record["_pinned"]:
            self.timeline.at(0.0, ended)

    # -- what it holds

    @property
    def datasets(self) -> list[Json]:
        """The datasets, oldest first."""
        return self._snapshot("datasets", self.dataset_service.view)

    @property
    def projects(self) -> list[Json]:
        """The projects, oldest first."""
        return self._snapshot("projects", PROJECTS.show)

    @property
    def exports(self) -> list[Json]:
        """The exports, oldest first, in the words of the dialect and without download URLs."""
        return self._snapshot("exports", self.show_export)

    def _snapshot(self, table: str, view: Callable[[dict[str, Any]], Json]) -> list[Json]:
        with self.store.lock:
            shown = [view(record) for record in self.store.tables[table].values()]
        return [{**resource, "id": resource["uid"]} for resource in shown]

    def show_export(self, record: dict[str, Any]) -> Json:
        """Show an export in the words of the dialect, without a download URL."""
        shown = self.export_service.view(record, lambda uid: "")
        del shown["download_url"]
        return {**shown, "status": self.dialect.export_words.get(shown["status"], shown["status"])}

    def items(self, dataset_id: str) -> list[Any]:
        """Return the rows of a dataset as uploaded, oldest first."""
        return [json.loads(row) for row in self.store.rows_of(dataset_id)]

    @property
    def files(self) -> dict[str, StoredFile]:
        """What managed uploads have stored, by key: owner prefix, dataset name, path in the dataset."""
        with self.store.lock:
            return dict(self.manual_uploads.files)

    def add_health_issue(self, dataset_id: str, issue: str) -> None:
        """Let a dataset's health report name an issue; it is not ``ingest_ok`` then."""
        with self.store.lock:
            self.store.find(DATASETS, dataset_id).setdefault("_issues", []).append(issue)

    def add_dataset(
        self, name: str = "Dataset", *, rows: Iterable[Mapping[str, Any]] = (), **fields: Any
    ) -> str:
        """Add a dataset that is ready (or pinned to ``status=``) and return its id."""
        status = fields.pop("status", None)
        uid = self.store.insert(
            DATASETS,
            {
                "name": name,
                "slug": f"{re.sub('[^a-z0-9]+', '-', name.lower())}-{len(self.store.tables['datasets']) + 1}",
                "data_type": "image",
                "visibility": "private",
                "is_sequence": False,
                "metadata": {},
                "owner_name": seeds.SEED_OWNER,
                "_imported": False,
                "_ready_at": 0.0,
                "_pinned": status,
                **_with_uid(fields),
            },
        )["uid"]
        self.add_items(uid, rows)
        return str(uid)

    def add_project(
        self, name: str = "Project", *, datasets: Iterable[str] = (), status: str = "active", **fields: Any
    ) -> str:
        """Add a project linked to datasets and return its id."""
        linked = {"name": name, "status": status, "datasets": list(datasets), "task_type": "image-annotation"}
        return str(
            self.store.insert(PROJECTS, {**linked, "owner_name": seeds.SEED_OWNER, **_with_uid(fields)})[
                "uid"
            ]
        )

    def add_items(self, dataset_id: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add rows to a dataset and return how many it has now."""
        self.store.find(DATASETS, dataset_id)
        return self.store.append_rows(dataset_id, [encode_row(row) for row in rows])

    def add_export(
        self,
        *,
        status: str | None = None,
        artifact: bytes | None = None,
        seconds: float | None = None,
        **fields: Any,
    ) -> str:
        """Add an export and return its id.

        :param status: pin it to this status, any word; ``exported`` and ``completed`` mean the same. None
            lets it run from now on.
        :param artifact: hand out these bytes instead of the zip.
        :param seconds: how long it takes, instead of ``export_seconds``.
        :param fields: ``name``, ``format``, ``projects``, ``datasets``, ``slices``.
        """
        record = self.export_service.add(_with_uid(fields))
        with self.store.lock:
            record["_pinned"] = "exported" if status == "completed" else status
            record["_artifact"] = None if artifact is None else seal(artifact)
            record["_seconds"] = record["_seconds"] if seconds is None else seconds
        self.announce_export(record)
        return str(record["uid"])

    def set_artifact(self, export_id: str, artifact: bytes) -> None:
        """Change what an export hands out; its ETag changes with it."""
        with self.store.lock:
            self.store.find(EXPORTS, export_id)["_artifact"] = seal(artifact)

    def finish_export(self, export_id: str) -> None:
        """End an export with success, now."""
        self._pin_export(export_id, "exported")

    def fail_export(self, export_id: str) -> None:
        """End an export with failure, now."""
        self._pin_export(export_id, "failed")

    def _pin_export(self, uid: str, status: str) -> None:
        self.export_service.pin(uid, status)
        self.announce_export(self.store.find(EXPORTS, uid))
        self.timeline.run()

    def fail_next_export(self, count: int = 1) -> None:
        """Let the next exports to be created end in failure, each after its time."""
        with self.store.lock:
            self.export_service.fail_next += count

    def add(self, row: Resource, **fields: Any) -> str:
        """Add a record of any kind, as it is, and return its uid; what is not given has its default.

        :param row: of the resource table.
        :param fields: a parent is named by its kind, such as ``project="<uid>"`` for a quality target.
        """
        given = {**{name: rule.blank() for name, rule in row.fields.items()}, **_with_uid(fields)}
        for link in row.parents:
            name = link.table.removesuffix("s")
            parent = given.get(name) if name in row.fields else given.pop(name, None)
            given.setdefault(f"_{link.table}", parent)
        if "slug" in row.fields and not given["slug"]:
            taken = {record.get("slug") for record in self.store.among(row)}
            given["slug"] = slugify(str(given["name"]), taken.__contains__)
        if "owner_name" in row.fields:
            given["owner_name"] = given["owner_name"] or self.username
        return str(self.store.insert(row, given)["uid"])

    def add_task(self, project: str, name: str = "box", *, status: str = "pending", **fields: Any) -> str:
        """Add a task of a project and return its id."""
        given = {"project": project, "name": name, "status": status, "type": "image-annotation", **fields}
        return self.add(TASKS, **given)

    def add_sequence(
        self, dataset_id: str, key: str = "sequence", *, frames: Iterable[Json] = (), **fields: Any
    ) -> str:
        """Add a sequence with its frames to a dataset and return its id."""
        dataset = self.store.find(DATASETS, dataset_id)
        known = {
            "dataset": dataset_id,
            "dataset_uid": dataset_id,
            "dataset_data_type": dataset["data_type"],
        }
        return self.add(SEQUENCES, key=key, frames=list(frames), **known, **fields)

    def add_member(self, organization_id: str, username: str, *, role: str = "member", **fields: Any) -> str:
        """Add a user to an organization and return the user's id."""
        described = person(username, **fields)
        self.add(MEMBERS, organization=organization_id, role=role, **described)
        return str(described["user_uid"])

    def _plant(self) -> None:
        owner, home = seeds.SEED_OWNER, seeds.SEED_ORGANIZATION_ID
        self.add(ORGANIZATIONS, uid=home, name="Emulator", slug=owner)
        self.add(MEMBERS, organization=home, **{**self.person, "role": "owner"})
        dataset = self.add_dataset("Seed dataset", uid=seeds.SEED_DATASET_ID, slug="seed-dataset")
        self.add_project("Seed project", uid=seeds.SEED_PROJECT_ID, datasets=[dataset])
        self.add(SLICES, uid=seeds.SEED_SLICE_ID, name="Seed slice", datasets=[dataset])
        if self.settings.seed is not None:
            plant(self, self.settings.seed)


def _with_uid(fields: dict[str, Any]) -> dict[str, Any]:
    if "id" in fields:
        return {**{name: value for name, value in fields.items() if name != "id"}, "uid": fields["id"]}
    return fields
