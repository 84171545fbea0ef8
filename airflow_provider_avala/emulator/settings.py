"""How an emulator behaves from its start."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from airflow_provider_avala.emulator import seeds
from airflow_provider_avala.emulator.envelopes import DIALECTS
from airflow_provider_avala.emulator.limits import INFERENCE_LIMITS, STANDARD_LIMITS
from airflow_provider_avala.emulator.manual_uploads import UploadOptions
from airflow_provider_avala.emulator.seedfiles import Seed

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
    :param auto_label_seconds: from an auto-label job's creation to its end.
    :param max_exports: exports that may run at the same time.
    :param max_uploads: uploads that may be under way at the same time.
    :param max_body_bytes: larger request bodies get 413.
    :param page_limit: default and greatest page size.
    :param url_seconds: lifetime of a download URL.
    :param download: ``storage`` (signed URL on the other origin), ``api`` (an API path that needs the key) or
        ``api-redirect`` (such a path that answers 302 to storage).
    :param strict_slash: redirect paths whose trailing slash is not the dialect's own.
    :param strict: refuse what the reference says is invalid and the service may tolerate: filters and orderings that do
        not exist, and export bodies that lack a field of the reference.
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
    auto_label_seconds: float = 3.0
    max_exports: int = 5
    max_uploads: int = 10
    max_body_bytes: int = 100 * 1024 * 1024
    page_limit: int = 100
    url_seconds: float = 3600.0
    download: str = "storage"
    strict_slash: bool = False
    strict: bool = False
    strict_exports: bool = False
    honour_idempotency_key: bool = True
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
