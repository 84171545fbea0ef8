"""Resources as frozen dataclasses, read from either generation of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self

from airflow_provider_avala.api.envelopes import describe
from airflow_provider_avala.api.errors import AvalaProtocolError
from airflow_provider_avala.api.secrets import without_secrets, without_signed_urls
from airflow_provider_avala.api.storable import storable

_LONGEST_ID = 255
#: What lies outside these years is not when something was created; and at the ends of time, no date can be moved.
_YEARS = range(1970, 9999)
_FAILURE = frozenset({"failed", "error", "canceled", "cancelled", "expired"})


class State(StrEnum):
    """What a status means, whatever the API's word for it."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Resource:
    """Anything that the API identifies.

    :param id: its id: ``uid`` in the current API, ``id`` in the legacy one.
    :param name: its name, or empty.
    :param status: its status, or empty.
    :param created_at: when it was created, if known.
    :param raw: the resource as it was sent; may hold signed URLs, so it appears in no ``repr``.
    """

    id: str
    name: str = ""
    status: str = ""
    created_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    #: The statuses that mean success.
    _SUCCESS: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def read(cls, payload: Any) -> Self:
        """Read a resource from decoded JSON.

        :param payload: what the API sent.
        :raises AvalaProtocolError: if it is not an object with an id.
        """
        identity = payload.get("uid") or payload.get("id") if isinstance(payload, Mapping) else None
        if isinstance(identity, bool) or not isinstance(identity, str | int) or not _is_id(str(identity)):
            kind = cls.__name__.lower()
            raise AvalaProtocolError(f"expected {kind} with 'uid' or 'id', got {describe(payload)}")
        return cls(id=str(identity), **cls._fields(payload), raw=dict(payload))

    @classmethod
    def _fields(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": _text(payload, "name"),
            "status": _text(payload, "status"),
            "created_at": _moment(payload.get("created_at")),
        }

    @property
    def state(self) -> State:
        """Whether it runs, succeeded or failed; a status that nobody knows still runs."""
        status = self.status.strip().lower()
        if status in self._SUCCESS:
            return State.SUCCEEDED
        return State.FAILED if status in _FAILURE else State.RUNNING

    @property
    def progress(self) -> str:
        """How far it is, for people."""
        return self.status or "without status"

    def as_dict(self) -> dict[str, Any]:
        """The resource as the API sent it, with ``id``, without any URL: fit for an XCom."""
        kept = without_secrets(storable(self.raw))
        return {**kept, "id": self.id, "status": storable(self.status)}


@dataclass(frozen=True)
class Export(Resource):
    """An export job.

    :param format: the API's name of the format.
    :param download_url: where the file is, once there is one; signed, so it must never be logged or stored.
    :param done_tasks: how many tasks are exported so far, if known.
    :param total_tasks: how many tasks there are to export, if known.
    :param error: why it failed, if the API says so.
    """

    format: str = ""
    download_url: str | None = field(default=None, repr=False, compare=False)
    done_tasks: int | None = None
    total_tasks: int | None = None
    error: str = ""

    _SUCCESS = frozenset({"exported", "completed"})

    @classmethod
    def _fields(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        return super()._fields(payload) | {
            "format": _text(payload, "format"),
            "download_url": _text(payload, "download_url") or None,
            "done_tasks": _count(payload.get("exported_task_count")),
            "total_tasks": _count(payload.get("total_task_count")),
            "error": without_signed_urls(_text(payload, "error") or _text(payload, "error_message")),
        }

    @property
    def progress(self) -> str:
        """Status and count of tasks, for people: ``processing, 40 of 100 tasks``."""
        counts = f", {self.done_tasks} of {self.total_tasks} tasks" if self.total_tasks else ""
        return f"{super().progress}{counts if self.done_tasks is not None else ''}"


@dataclass(frozen=True)
class Dataset(Resource):
    """A dataset.

    :param slug: its name in URLs.
    :param owner_name: slug of the organization or handle of the user that owns it.
    :param data_type: ``image``, ``video``, ``lidar``, ``mcap``, ``splat``, ...
    :param item_count: how many items it holds.
    """

    slug: str = ""
    owner_name: str = ""
    data_type: str = ""
    item_count: int | None = None

    _SUCCESS = frozenset({"created"})

    @classmethod
    def _fields(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        return super()._fields(payload) | {
            "slug": _text(payload, "slug"),
            "owner_name": _text(payload, "owner_name"),
            "data_type": _text(payload, "data_type"),
            "item_count": _count(payload.get("item_count")),
        }


@dataclass(frozen=True)
class Project(Resource):
    """A project; its fields are those of every resource."""


def _is_id(text: str) -> bool:
    # It goes into paths, names, logs and databases: no line break, no half of a character, no book.
    return 0 < len(text) <= _LONGEST_ID and text.isprintable()


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.year not in _YEARS:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
