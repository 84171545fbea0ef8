"""The emulator's state and the handle that tests hold."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_avala.emulator import seeds
from airflow_provider_avala.emulator.datasets import Datasets
from airflow_provider_avala.emulator.envelopes import DIALECTS, Json
from airflow_provider_avala.emulator.exports import ExportOptions, Exports, seal
from airflow_provider_avala.emulator.faults import Fault, FaultPlan
from airflow_provider_avala.emulator.limits import (
    INFERENCE_LIMITS,
    STANDARD_LIMITS,
    RateLimiter,
    parse_limits,
)
from airflow_provider_avala.emulator.manual_uploads import ManualUploads, StoredFile, UploadOptions
from airflow_provider_avala.emulator.recorder import RequestLog, RequestRecord
from airflow_provider_avala.emulator.seedfiles import Seed
from airflow_provider_avala.emulator.seeding import plant
from airflow_provider_avala.emulator.storage import Signer, StorageOptions
from airflow_provider_avala.emulator.store import (
    DATASETS,
    EXPORTS,
    ORGANIZATIONS,
    PROJECTS,
    SLICES,
    Store,
    encode_row,
    plain_view,
)

API_PREFIX = "/api/v1"
Limits = str | Iterable[tuple[int, float]] | None


@dataclass(frozen=True)
class Settings:
    """How an emulator behaves; what is not here can be turned while it runs.

    :param dialect: ``current`` or ``legacy``.
    :param api_key: the only key it accepts.
    :param rate_limits: standard limits; see :func:`~.limits.parse_limits`.
    :param inference_rate_limits: limits of ``/inference/invoke/``, counted apart.
    :param export_seconds: from an export's creation to its end.
    :param dataset_seconds: from a dataset's creation to its status ``created``.
    :param max_exports: exports that may run at the same time.
    :param max_uploads: uploads that may be under way at the same time.
    :param max_body_bytes: larger request bodies get 413.
    :param page_limit: default and greatest page size.
    :param url_seconds: lifetime of a download URL.
    :param download: ``storage`` (signed URL on the other origin), ``api`` (an API path that needs the key) or
        ``api-redirect`` (such a path that answers 302 to storage).
    :param strict_slash: redirect paths whose trailing slash is not the dialect's own.
    :param strict_exports: refuse an export body that is not the whole reference body.
    :param honour_idempotency_key: drop exact repeats of an upload sent with the same ``Idempotency-Key``.
    :param storage_url: address under which storage URLs are handed out, for a storage behind a proxy; empty: its own.
    :param upload_mode: how managed uploads are answered: ``put``, ``post``, ``multipart`` or ``complete``; see
        :class:`~.manual_uploads.UploadOptions`.
    :param upload_quota: bytes of managed uploads that one owner may store.
    :param clock: unix seconds, for life cycles, URL expiry and rate windows.
    :param seed: what it holds besides its own seeds; see :mod:`~.seeding`.
    """

    dialect: str = "current"
    api_key: str = seeds.SEED_API_KEY
    rate_limits: Limits = STANDARD_LIMITS
    inference_rate_limits: Limits = INFERENCE_LIMITS
    export_seconds: float = 3.0
    dataset_seconds: float = 1.0
    max_exports: int = 5
    max_uploads: int = 10
    max_body_bytes: int = 100 * 1024 * 1024
    page_limit: int = 100
    url_seconds: float = 3600.0
    download: str = "storage"
    strict_slash: bool = False
    strict_exports: bool = False
    honour_idempotency_key: bool = False
    storage_url: str = ""
    upload_mode: str = "put"
    upload_quota: int = 100 * 1024**3
    clock: Callable[[], float] | None = None
    seed: Seed | None = None

    def __post_init__(self) -> None:
        if self.dialect not in DIALECTS:
            raise ValueError(f"dialect={self.dialect!r}: say one of {', '.join(DIALECTS)}")
        UploadOptions(self.upload_mode, self.upload_quota)
        if self.download not in ("storage", "api", "api-redirect"):
            raise ValueError(f"download={self.download!r}: say 'storage', 'api' or 'api-redirect'")


class Emulator:
    """A local Avala: what it holds, what it was asked, what should go wrong. Safe to use from several threads.

    :param settings: how it behaves.
    :ivar plan: the organization's plan; ``FREE`` makes project approval fail with ``plan_insufficient``.
    :ivar scopes: the key's scopes; None means all. A missing one fails with ``scope_required``.
    :ivar upload_options: mode, quota and part size of managed uploads.
    :ivar storage_options: ETag kind, Range support and URL lifetime of the storage origin.
    """

    base_url = ""
    storage_url = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dialect = DIALECTS[settings.dialect]
        self.api_key = settings.api_key
        self.plan = "ENTERPRISE"
        self.scopes: set[str] | None = None
        self.dataset_seconds = settings.dataset_seconds
        self.limiter = RateLimiter(
            standard=parse_limits(settings.rate_limits),
            inference=parse_limits(settings.inference_rate_limits),
        )
        self.faults = FaultPlan()
        self.log = RequestLog()
        self.store = Store(self.now)
        self.dataset_service = Datasets(self.store, lambda: self.dataset_seconds)
        self.export_service = Exports(
            self.store, ExportOptions(settings.export_seconds, settings.max_exports, settings.strict_exports)
        )
        self.upload_options = UploadOptions(settings.upload_mode, settings.upload_quota)
        self.manual_uploads = ManualUploads(self.store, self.dataset_service, self.upload_options)
        self.storage_options = StorageOptions(settings.url_seconds)
        self.signer = Signer(self.now)
        self.uploads: dict[str, Json] = {}
        self._clock_lock = threading.Lock()
        self._ahead = 0.0
        self._started = time.time() - time.monotonic()
        self._plant()

    # -- time

    def now(self) -> float:
        """Return the emulator's clock, unix seconds."""
        clock = self.settings.clock
        return (clock() if clock else self._started + time.monotonic()) + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the clock: life cycles, URL expiry and rate windows follow, hanging requests do not."""
        with self._clock_lock:
            self._ahead += seconds

    @property
    def export_seconds(self) -> float:
        """Seconds that exports created from now on take."""
        return self.export_service.options.seconds

    @export_seconds.setter
    def export_seconds(self, seconds: float) -> None:
        self.export_service.options.seconds = seconds

    # -- what it was asked

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests since the last clear, in order of arrival."""
        return self.log.snapshot()

    def requests_to(
        self, method: str | None = None, path_prefix: str = "", origin: str = "api"
    ) -> list[RequestRecord]:
        """Return the requests with this method (None: any) whose relative path starts so."""
        return [
            record
            for record in self.requests
            if record.origin == origin
            and method in (None, record.method)
            and record.path.startswith(path_prefix)
        ]

    def clear_requests(self) -> None:
        """Empty the request log."""
        self.log.clear()

    # -- what should go wrong

    def inject(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str | re.Pattern[str] | None = None,
        times: int | None = 1,
        origin: str = "api",
        skip: int = 0,
        every: int = 1,
    ) -> None:
        """Order a fault from :mod:`~.faults` for requests still to come.

        :param method: only requests with this method.
        :param path: only paths that start with this text, or in which this compiled pattern is found; API
            paths are relative to the base URL (``/exports/``), as sent.
        :param times: how many requests get it; None: all, until :meth:`clear_faults`.
        :param origin: ``api`` or ``storage``.
        :param skip: let that many matching requests pass first.
        :param every: then give it to the first of each ``every`` matching requests.
        """
        self.faults.add(fault, method=method, path=path, times=times, origin=origin, skip=skip, every=every)

    def clear_faults(self) -> None:
        """Forget the faults that have not happened yet."""
        self.faults.clear()

    # -- what it holds

    @property
    def datasets(self) -> list[Json]:
        """The datasets, oldest first."""
        return self._snapshot("datasets", self.dataset_service.view)

    @property
    def projects(self) -> list[Json]:
        """The projects, oldest first."""
        return self._snapshot("projects", plain_view)

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
        return str(record["uid"])

    def set_artifact(self, export_id: str, artifact: bytes) -> None:
        """Change what an export hands out; its ETag changes with it."""
        with self.store.lock:
            self.store.find(EXPORTS, export_id)["_artifact"] = seal(artifact)

    def finish_export(self, export_id: str) -> None:
        """End an export with success, now."""
        self.export_service.pin(export_id, "exported")

    def fail_export(self, export_id: str) -> None:
        """End an export with failure, now."""
        self.export_service.pin(export_id, "failed")

    def fail_next_export(self, count: int = 1) -> None:
        """Let the next exports to be created end in failure, each after its time."""
        with self.store.lock:
            self.export_service.fail_next += count

    def reset(self) -> None:
        """Go back to seeds, no faults, no log and full rate windows; the clock and the settings stay."""
        with self.store.lock:
            self.store.clear()
            self.uploads.clear()
            self.manual_uploads.clear()
            self.export_service.fail_next = 0
            self._plant()
        self.clear_faults()
        self.clear_requests()
        self.limiter.reset()

    def _plant(self) -> None:
        self.store.insert(
            ORGANIZATIONS, {"uid": seeds.SEED_ORGANIZATION_ID, "name": "Emulator", "slug": seeds.SEED_OWNER}
        )
        dataset = self.add_dataset("Seed dataset", uid=seeds.SEED_DATASET_ID, slug="seed-dataset")
        self.add_project("Seed project", uid=seeds.SEED_PROJECT_ID, datasets=[dataset])
        self.store.insert(
            SLICES,
            {
                "uid": seeds.SEED_SLICE_ID,
                "name": "Seed slice",
                "slug": "seed-slice",
                "status": "created",
                "datasets": [dataset],
            },
        )
        if self.settings.seed is not None:
            plant(self, self.settings.seed)


def _with_uid(fields: dict[str, Any]) -> dict[str, Any]:
    if "id" in fields:
        return {**{name: value for name, value in fields.items() if name != "id"}, "uid": fields["id"]}
    return fields
