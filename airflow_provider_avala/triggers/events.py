"""Event-driven scheduling: a DAG runs when an export has finished, whoever started it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Hashable
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.triggers import BaseEventTrigger
from airflow.triggers.base import TriggerEvent

from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.models import Export, State
from airflow_provider_avala.triggers.export_cursor import MOST_EVENTS, Cursor, advanced, first_cursor, targets
from airflow_provider_avala.triggers.export_readings import Reading, SharedReadings, readings

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer


class AvalaExportEventTrigger(BaseEventTrigger):
    """Fires each time an export has finished; for an ``AssetWatcher``, so for Airflow 3.

    All filters have to be met. The event's payload is the export as a dict, without any URL, and a
    ``deduplication_key`` that is the same wherever and however often the event is sent.

    It begins with its first look: what has finished before that is history. From Airflow 3.3 on it then keeps a cursor
    with the asset, and fires after a restart for what has finished meanwhile. The cursor moves on when Airflow has
    confirmed the events, a second or two later: a triggerer that ends just then sends them again, but never loses one.
    Airflow 3.0 to 3.2 has no place for a cursor; there, each restart is a new beginning. Other filters are, too.

    On Airflow 3.3 all triggers of a connection that have the same ``poll_interval`` share one poller.

    :param avala_conn_id: id of the Airflow connection.
    :param project_id: only exports of this project.
    :param dataset_id: only exports of this dataset.
    :param name_pattern: only exports of such a name, such as ``nightly-*``; upper and lower case differ.
    :param include_failed: whether to fire for exports that have failed, as well.
    :param poll_interval: seconds between two looks at the list of exports.
    :raises AvalaConfigurationError: naming the argument that cannot be used.
    """

    def __init__(
        self,
        avala_conn_id: str = "avala_default",
        project_id: str | None = None,
        dataset_id: str | None = None,
        name_pattern: str | None = None,
        include_failed: bool = False,
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__()
        self.avala_conn_id = _text(avala_conn_id, "avala_conn_id")
        self.project_id = None if project_id is None else _text(project_id, "project_id")
        self.dataset_id = None if dataset_id is None else _text(dataset_id, "dataset_id")
        self.name_pattern = None if name_pattern is None else _text(name_pattern, "name_pattern")
        self.include_failed = _flag(include_failed, "include_failed")
        self.poll_interval = _seconds(poll_interval, "poll_interval")
        self._cursor: Cursor | None = None
        self._stored: Cursor | None = None
        self._begun = False
        self._troubles: dict[str, str] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow needs to build this trigger again: neither a key nor a signed URL."""
        return (
            "airflow_provider_avala.triggers.avala.AvalaExportEventTrigger",
            {
                "avala_conn_id": self.avala_conn_id,
                **self._filters,
                "poll_interval": self.poll_interval,
            },
        )

    @property
    def _filters(self) -> dict[str, Any]:
        return {
            "project_id": self.project_id,
            "dataset_id": self.dataset_id,
            "name_pattern": self.name_pattern,
            "include_failed": self.include_failed,
        }

    # Where the readings come from

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire for ever, with a poller of its own: Airflow before 3.3."""
        stream = self.open_shared_stream(self.serialize()[1])
        async for event in self.filter_shared_stream(stream):
            yield event

    def shared_stream_key(self) -> Hashable | None:
        """What the triggers that share a poller have in common."""
        return type(self).__name__, self.avala_conn_id, self.poll_interval

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Reading]:
        """Look at the exports of a connection, for ever, for one trigger.

        :param kwargs: the arguments of the trigger.
        """
        async for reading in readings(kwargs["avala_conn_id"], kwargs["poll_interval"]):
            yield reading
            await reading.delivered()

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Look at the exports of a connection, for ever, for all triggers of a stream: Airflow 3.3.

        :param kwargs: the arguments of one of them; only what is in :meth:`shared_stream_key` is used.
        """
        return cast("SharedStreamProducer", SharedReadings(kwargs["avala_conn_id"], kwargs["poll_interval"]))

    # What becomes of them

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Fire for each export that has finished since the last reading, or since the one before a restart.

        :param shared_stream: readings.
        """
        async for reading in shared_stream:
            try:
                finished, cursor = await self._look(reading)
            except Exception as error:  # a watcher that ends is started again, within seconds and for ever
                self._tell("look", "This look at the exports failed, the next one makes up for it", error)
                continue
            self._troubles.pop("look", None)
            for export in finished:
                yield TriggerEvent(self._payload(export))
            self._cursor = cursor
            if cursor != self._stored:
                reading.when_delivered(partial(self._store, cursor))

    async def _look(self, reading: Reading) -> tuple[list[Export], Cursor]:
        if not self._begun:
            self._cursor = self._stored = await self._load()
            self._begun = True
        if self._cursor is None:
            return [], first_cursor(await reading.page(0), self._concerns)
        listed = await reading.listed(self._cursor)
        asked = await reading.asked(self._cursor.to_ask(listed))
        finished, cursor = advanced(self._cursor, listed, asked, self._concerns)
        wanted = [each for each in finished if self.include_failed or each.state is State.SUCCEEDED]
        if len(wanted) > MOST_EVENTS:
            reading.is_unfinished = True
            wanted = wanted[:MOST_EVENTS]
            cursor = self._cursor.after(wanted)
        return wanted, cursor

    def _concerns(self, export: Export) -> bool:
        if self.name_pattern and not fnmatchcase(export.name, self.name_pattern):
            return False
        for kind, wanted in (("project", self.project_id), ("dataset", self.dataset_id)):
            if not wanted:
                continue
            found = targets(export, kind)
            if found is None:
                self._tell(
                    kind, f"{kind}_id: Avala does not say of which {kind} an export is, so it is left out"
                )
            if wanted not in (found or ()):
                return False
        return True

    def _payload(self, export: Export) -> dict[str, Any]:
        key = f"{self.avala_conn_id}/{export.id}/{export.state.value}"
        return {**export.as_dict(), "state": export.state.value, "deduplication_key": key}

    def _tell(self, about: str, trouble: str, error: Exception | None = None) -> None:
        text = f"{trouble}: {type(error).__name__}: {error}" if error else trouble
        if self._troubles.get(about) != text:
            self.log.warning("%s", text)
        self._troubles[about] = text

    # Where the cursor is kept

    @property
    def _key(self) -> str:
        identity = json.dumps([self.avala_conn_id, self._filters], sort_keys=True)
        return f"avala_exports_{hashlib.sha256(identity.encode()).hexdigest()[:16]}"

    def _stores(self) -> list[Any]:
        """The state of each asset that is watched: usually one, but Airflow lets equal triggers share a row."""
        accessors = getattr(self, "asset_state_store", None)
        # They can be asked for by name, but not for their names.
        several = getattr(accessors, "_by_name", None)
        return list(several.values()) if several else [accessors] if accessors else []

    async def _load(self) -> Cursor | None:
        for store in self._stores():
            value = await store.aget(self._key)
            if cursor := Cursor.from_json(value):
                return cursor
            if value is not None:
                self.log.warning("The stored cursor cannot be read; starting from now: %r", value)
        return None

    async def _store(self, cursor: Cursor) -> None:
        try:
            for store in self._stores():
                await store.aset(self._key, cursor.as_json())
        except Exception as error:
            self._tell("store", "The cursor cannot be stored, the next look tries again", error)
        else:
            self._troubles.pop("store", None)
            self._stored = cursor


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise AvalaConfigurationError(
            f"{field}: {value!r} is not a text; give one, or leave the argument out"
        )
    return value


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise AvalaConfigurationError(f"{field}: {value!r} is neither True nor False")
    return value


def _seconds(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise AvalaConfigurationError(f"{field}: {value!r} is not a number of seconds above 0")
    return float(value)
