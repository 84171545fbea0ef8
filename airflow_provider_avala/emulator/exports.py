"""Exports: created, running on the clock, ending in a zip or in failure."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_avala.emulator.envelopes import ApiError, Json
from airflow_provider_avala.emulator.resources_data import DATASETS, EXPORTS, SLICES
from airflow_provider_avala.emulator.resources_work import PROJECTS
from airflow_provider_avala.emulator.schema import Field, Record, Shape
from airflow_provider_avala.emulator.store import Store

FINAL = ("exported", "failed")
REQUESTED_SHARE = 0.2  # of the whole duration
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
TARGETS = {"projects": PROJECTS, "datasets": DATASETS, "slices": SLICES}

UIDS = Field(list, of=str)
BODY = Shape(
    "export_request",
    {
        "name": Field(max_length=255),
        "format": Field(default="json", max_length=255),
        **dict.fromkeys(TARGETS, UIDS),
        "project": Field(),
        "dataset": Field(),
        "filter_query_string": Field(),
    },
)
STRICT_BODY = Shape(
    "export_request",
    {
        "name": Field(required=True, max_length=255),
        "format": Field(required=True, max_length=255),
        **{name: Field(list, required=True, of=str) for name in TARGETS},
        "filter_query_string": Field(),
    },
)
LEGACY_BODY = Shape(
    "export_request", {"project_id": Field(required=True), "format": Field(default="json", max_length=255)}
)


@dataclass(frozen=True)
class Artifact:
    """What a finished export hands out.

    :param etag: a strong ETag, quotes included.
    """

    data: bytes
    etag: str


@dataclass
class ExportOptions:
    """What a test may turn while the emulator runs.

    :param seconds: from creation to the end, read at each creation.
    :param max_running: exports that may run at the same time.
    :param strict: refuse a body that is not the whole reference body.
    """

    seconds: float = 3.0
    max_running: int = 5
    strict: bool = False


class Exports:
    """Create, run and show exports.

    :ivar fail_next: how many of the exports to come end in failure.
    """

    def __init__(self, store: Store, options: ExportOptions) -> None:
        self.store = store
        self.options = options
        self.fail_next = 0

    def create(self, body: Record, *, legacy: bool) -> Record:
        """Create an export from a checked request body.

        :raises ApiError: 400 for an unknown target, 429 while too many exports run.
        """
        fields = self._read_legacy(body) if legacy else self._read_current(body)
        targets: dict[str, list[str]] = {name: fields[name] for name in TARGETS}
        with self.store.lock:
            self._check_targets(targets, "project_id" if legacy else None)
            self._check_running()
            outcome = "exported"
            if self.fail_next:
                self.fail_next -= 1
                outcome = "failed"
            return self.add({**fields, "_outcome": outcome})

    def _read_current(self, body: Record) -> Record:
        fields = dict(body)
        for plural in TARGETS:
            single = fields.pop(plural.removesuffix("s"), None)
            found = [*(fields[plural] or []), *([] if single is None else [single])]
            fields[plural] = [uid for index, uid in enumerate(found) if uid not in found[:index]]
        return fields

    def _read_legacy(self, body: Record) -> Record:
        return {**body, "projects": [body["project_id"]], "datasets": [], "slices": []}

    def _check_targets(self, targets: dict[str, list[str]], field: str | None) -> None:
        if not any(targets.values()):
            raise ApiError.invalid(non_field_errors="Name at least one project, dataset or slice.")
        problems = {
            field or name: f'Invalid pk "{uid}" - object does not exist.'
            for name, uids in targets.items()
            for uid in uids
            if not self.store.known(TARGETS[name], uid)
        }
        if problems:
            raise ApiError.invalid(**problems)

    def _check_running(self) -> None:
        running = [r for r in self.store.tables["exports"].values() if self.status(r) not in FINAL]
        if len(running) >= self.options.max_running:
            ends = [r["created_at"] + r["_seconds"] for r in running if not r["_pinned"]]
            raise ApiError.throttled(min(ends, default=self.store.now()) - self.store.now())

    def add(self, fields: Record) -> Record:
        """Add an export to the store as it is, without any check."""
        with self.store.lock:
            record = {
                "name": None,
                "format": "json",
                **{name: [] for name in TARGETS},
                "organization": None,
                "_outcome": "exported",
                "_pinned": None,
                "_seconds": self.options.seconds,
                "_artifact": None,
                **fields,
            }
            record["_counts"] = {uid: len(self.store.rows.get(uid, ())) for uid in self._sources(record)}
            return self.store.insert(EXPORTS, record)

    def _sources(self, record: Record) -> list[str]:
        found = list(record["datasets"])
        for name, kind in (("projects", PROJECTS), ("slices", SLICES)):
            for uid in record[name]:
                if self.store.known(kind, uid):
                    found += self.store.find(kind, uid).get("datasets", [])
        return list(dict.fromkeys(found))

    def progress(self, record: Record) -> float:
        """Return how far an export is, from 0 to 1."""
        elapsed: float = self.store.now() - record["created_at"]
        seconds: float = record["_seconds"]
        return 1.0 if seconds <= 0 else min(1.0, max(0.0, elapsed / seconds))

    def status(self, record: Record) -> str:
        """Return the status in the words of the ``current`` dialect."""
        if record["_pinned"]:
            return str(record["_pinned"])
        progress = self.progress(record)
        if progress >= 1:
            return str(record["_outcome"])
        return "requested" if progress < REQUESTED_SHARE else "processing"

    def view(self, record: Record, download_url: Callable[[str], str], *, fresh: bool = False) -> Json:
        """Show an export.

        :param download_url: export uid -> a fresh URL; asked only when the export is finished.
        :param fresh: show it as it was on creation.
        """
        status = "requested" if fresh and not record["_pinned"] else self.status(record)
        total = sum(record["_counts"].values())
        share = {"exported": 1.0, "requested": 0.0}.get(status, min(self.progress(record), 0.99))
        return {
            **EXPORTS.show(record),
            "status": status,
            "total_task_count": total,
            "exported_task_count": int(total * share),
            "download_url": download_url(record["uid"]) if status == "exported" else None,
        }

    def pin(self, uid: str, status: str) -> None:
        """Set the status of an export for good."""
        with self.store.lock:
            self.store.find(EXPORTS, uid)["_pinned"] = status

    def artifact(self, uid: str) -> Artifact:
        """Return the zip of a finished export, the same bytes every time.

        :raises ApiError: 404 when there is none.
        """
        record = self.store.find(EXPORTS, uid)
        if self.status(record) != "exported":
            raise ApiError.missing(EXPORTS.label)
        artifact: Artifact | None = record["_artifact"]
        if artifact is None:
            # Outside the lock: two builds at once are a waste, not an error, since their bytes are the same.
            artifact = seal(self._build(record))
            with self.store.lock:
                artifact = record["_artifact"] = record["_artifact"] or artifact
        return artifact

    def _build(self, record: Record) -> bytes:
        rows = [row for uid, count in record["_counts"].items() for row in self.store.rows_of(uid, count)]
        items = b"".join(row + b"\n" for row in rows)
        manifest = {
            "export": record["uid"],
            "name": record["name"],
            "format": record["format"],
            "datasets": record["_counts"],
            "items": len(rows),
            "sha256": {"items.jsonl": hashlib.sha256(items).hexdigest()},
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry("items.jsonl"), items)
            archive.writestr(_entry("manifest.json"), json.dumps(manifest, indent=2))
        return buffer.getvalue()


def seal(data: bytes) -> Artifact:
    """Give bytes their ETag."""
    return Artifact(data, f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, ZIP_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
