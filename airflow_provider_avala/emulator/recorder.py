"""The request log: what reached the emulator, in order of arrival."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

BODY_CAP = 64 * 1024  # bytes of each request body kept
RECORD_CAP = 10_000  # records kept; the oldest go first
KEY_HEADER = "x-avala-api-key"
CREDENTIAL = re.compile(
    rb'("(?:s3_access_key_id|s3_secret_access_key|gc_storage_auth_json_content|password|api_key)"\s*:\s*)'
    rb'"(?:[^"\\]|\\.)*(?:"|\Z)'
)


def without_credentials(body: bytes) -> bytes:
    """Blank out the credentials in a JSON body: the API takes them and shows them to nobody, and nor does the log."""
    return CREDENTIAL.sub(rb'\1"***"', body)


@dataclass(frozen=True)
class RequestRecord:
    """One request as it arrived.

    :param origin: ``api`` or ``storage``.
    :param path: as sent, without the base URL's ``/api/v1``; a trailing slash and percent-encoding are kept.
    :param query: the last value of each parameter.
    :param headers: names in lower case.
    :param body: at most the first 64 KiB.
    :param body_size: bytes that arrived in all.
    :param at: the emulator's clock (unix seconds) on arrival.
    :param key_present: whether an API key header came along, right or wrong.
    :param status: the status answered; None while it is being processed, or when no answer was sent.
    :param fault: name of the fault applied, or None.
    """

    origin: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    at: float
    key_present: bool
    body: bytes = b""
    body_size: int = 0
    status: int | None = None
    fault: str | None = None

    @property
    def json(self) -> Any:
        """The body decoded as JSON, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class RequestLog:
    """All records since the last clear. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[int, RequestRecord] = {}
        self._next = 0

    def begin(self, record: RequestRecord) -> int:
        """Note an arrival; the ticket is for :meth:`update`."""
        with self._lock:
            self._next += 1
            self._records[self._next] = record
            self._records.pop(self._next - RECORD_CAP, None)
            return self._next

    def update(self, ticket: int, **changes: Any) -> None:
        """Complete a record, unless the log was cleared meanwhile."""
        with self._lock:
            if ticket in self._records:
                self._records[ticket] = replace(self._records[ticket], **changes)

    def snapshot(self) -> list[RequestRecord]:
        """Return the records in order of arrival."""
        with self._lock:
            return list(self._records.values())

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._records.clear()
