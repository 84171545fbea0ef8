"""The handle that tests hold: the emulator's clock, what it was asked, what should go wrong."""

from __future__ import annotations

import re
import threading
import time

from airflow_provider_avala.emulator.contents import Contents
from airflow_provider_avala.emulator.endpoints import Call
from airflow_provider_avala.emulator.faults import Fault, FaultPlan
from airflow_provider_avala.emulator.limits import RateLimiter, parse_limits
from airflow_provider_avala.emulator.recorder import RequestLog, RequestRecord
from airflow_provider_avala.emulator.registry import endpoints_of
from airflow_provider_avala.emulator.settings import API_PREFIX, Settings
from airflow_provider_avala.emulator.storage import Signer, StorageOptions

__all__ = ["API_PREFIX", "Emulator", "Settings"]


class Emulator(Contents):
    """A local Avala: what it holds, what it was asked, what should go wrong. Safe to use from several threads.

    :param settings: how it behaves.
    :ivar scopes: the key's scopes; None means all. A missing one fails with ``scope_required``.
    :ivar upload_options: mode, quota and part size of managed uploads.
    :ivar storage_options: ETag kind, Range support and URL lifetime of the storage origin.
    """

    storage_url = ""

    def __init__(self, settings: Settings) -> None:
        self._clock = settings.clock
        self._clock_lock = threading.Lock()
        self._ahead = 0.0
        self._started = time.time() - time.monotonic()
        super().__init__(settings, self.now)
        self.api_key = settings.api_key
        self.scopes: set[str] | None = None
        self.limiter = RateLimiter(
            standard=parse_limits(settings.rate_limits),
            inference=parse_limits(settings.inference_rate_limits),
        )
        self.faults = FaultPlan()
        self.log = RequestLog()
        self.storage_options = StorageOptions(settings.url_seconds)
        self.signer = Signer(self.now)
        self.endpoints = endpoints_of(self)

    def storage_origin(self, call: Call) -> str:
        """Return the address of the storage origin, as the sender of a request reaches it."""
        if self.settings.storage_url:
            return self.settings.storage_url.rstrip("/")
        port = self.storage_url.rpartition(":")[2]
        host = call.request.url.hostname or "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    # -- time

    def now(self) -> float:
        """Return the emulator's clock, unix seconds."""
        clock = self._clock
        return (clock() if clock else self._started + time.monotonic()) + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the clock: life cycles, URL expiry and rate windows follow, hanging requests do not."""
        with self._clock_lock:
            self._ahead += seconds
        self.timeline.run()

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

    def reset(self) -> None:
        """Go back to seeds, no faults, no log and full rate windows; the clock and the settings stay."""
        with self.store.lock:
            self.store.clear()
            self.uploads.clear()
            self.manual_uploads.clear()
            self.timeline.clear()
            self.accounts.clear()
            self.export_service.fail_next = 0
            self._plant()
        self.clear_faults()
        self.clear_requests()
        self.limiter.reset()
