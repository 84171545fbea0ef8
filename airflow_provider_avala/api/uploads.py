"""Uploading items: JSONL in parts, several at a time, with an exact account of what became of each.

Follows the API's page on uploading items: ``POST /datasets/{id}/items``, multipart, one part named ``file``.
Nothing says that Avala recognises a row it has stored already. So everything is checked before anything is
sent, and a part whose outcome is unknown is reported by its lines instead of being sent again on the quiet.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.defaults import DEFAULT_PART_SIZE
from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaConnectionError,
    AvalaError,
    AvalaProtocolError,
    AvalaServerError,
    AvalaUploadError,
)
from airflow_provider_avala.api.jsonl import (
    MAX_PART_SIZE,
    Part,
    SourceChangedError,
    SpoolError,
    find_sources,
    split_source,
    spool_items,
)

if TYPE_CHECKING:
    from airflow_provider_avala.api.multipart import MultipartBody

__all__ = ["DEFAULT_PART_SIZE", "MAX_CONCURRENCY", "MAX_PART_SIZE", "UploadSummary", "upload_items"]

#: More parts at a time than this only wait for each other.
MAX_CONCURRENCY = 64
#: Seconds between two reports of progress.
PROGRESS_INTERVAL = 10.0

_RANGES_SHOWN = 5
_COUNT_KEYS = ("accepted", "created", "count", "items")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadSummary:
    """What an upload comes to.

    :param dataset_id: where the items went.
    :param items: how many.
    :param parts: in how many requests.
    :param bytes: of JSONL, without the frame around each part.
    """

    dataset_id: str
    items: int
    parts: int
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON can hold it: ``dataset_id``, ``items``, ``parts``, ``bytes``."""
        return {
            "dataset_id": self.dataset_id,
            "items": self.items,
            "parts": self.parts,
            "bytes": self.bytes,
        }


Send: TypeAlias = "Callable[[MultipartBody, Mapping[str, str]], Any]"
Progress: TypeAlias = Callable[[UploadSummary, UploadSummary], None]


def upload_items(
    send: Send,
    dataset_id: str,
    source: Any = None,
    items: Iterable[dict[str, Any]] | None = None,
    *,
    part_size: int = DEFAULT_PART_SIZE,
    concurrency: int = 4,
    progress: Progress | None = None,
    idempotency_scope: str = "",
    clock: Clock = SYSTEM_CLOCK,
) -> UploadSummary:
    """Upload items to a dataset, from JSONL files or from memory.

    The whole source is read and checked before the first part is sent. It is read twice in any case, because
    parts are never held in memory; and a bad last line must not leave a dataset filled with all the others,
    because the corrected file could not be sent again without storing those twice.

    :param send: posts one part with further headers and returns the decoded answer, or raises an
        ``AvalaError``.
    :param dataset_id: the dataset's id.
    :param source: a local path, an object with ``open("rb")`` such as ``ObjectStoragePath``, or a list of
        them; each file holds one JSON object a line. Blank lines are sent along but not counted.
    :param items: instead of ``source``, any iterable of dicts; written to a private temporary file first.
    :param part_size: the most bytes of JSONL in one request.
    :param concurrency: the most requests at a time.
    :param progress: called with what was accepted so far and with the total, at most every 10 seconds; by
        default they are logged.
    :param idempotency_scope: sets the upload apart from others of the same rows: their parts carry different
        ``Idempotency-Key`` headers.
    :param clock: the time to live by.
    :raises AvalaConfigurationError: if an argument or a line is wrong; nothing was sent.
    :raises AvalaUploadError: if the upload stopped after something may have been stored; it tells what.
    :raises AvalaError: as ``send`` raised it, if nothing was stored.
    """
    _check_arguments(dataset_id, source, items, part_size, concurrency)
    upload = _Upload(send, dataset_id, concurrency, progress, idempotency_scope, clock)
    if source is not None:
        return upload.run([part for one in find_sources(source) for part in split_source(one, part_size)])
    with tempfile.NamedTemporaryFile(prefix="avala-items-", suffix=".jsonl", buffering=0) as spool:
        try:
            parts = spool_items(items, spool, part_size)
        except SpoolError as error:
            raise AvalaUploadError(
                f"the items cannot be written to {spool.name}: {error}; nothing was sent. Free space there, or let"
                " the environment variable TMPDIR name a folder on a larger disk.",
                summary=_summary(dataset_id, []),
            ) from error
        return upload.run(parts)


def _check_arguments(dataset_id: Any, source: Any, items: Any, part_size: Any, concurrency: Any) -> None:
    if not isinstance(dataset_id, str) or not dataset_id.strip():
        raise AvalaConfigurationError(
            f"dataset_id: expected the id of a dataset, got {dataset_id!r}; copy it from Avala"
        )
    if (source is None) == (items is None):
        found = "neither" if source is None else "both"
        raise AvalaConfigurationError(
            f"source, items: got {found} of them; pass files as source= or rows as items="
        )
    for field, value, most in (
        ("part_size", part_size, MAX_PART_SIZE),
        ("concurrency", concurrency, MAX_CONCURRENCY),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise AvalaConfigurationError(
                f"{field}: {value!r} is not possible; use a whole number from 1 to {most}"
            )


@dataclass(frozen=True)
class _Outcome:
    part: Part
    error: BaseException | None = None


class _AbortedError(Exception):
    """The task is being stopped; what is being sent breaks off."""


class _Upload:
    """One upload: threads that each send the next part, and an account kept by the caller's thread."""

    def __init__(
        self,
        send: Send,
        dataset_id: str,
        concurrency: int,
        progress: Progress | None,
        scope: str,
        clock: Clock,
    ) -> None:
        self._send, self._dataset_id, self._scope = send, dataset_id, scope
        self._concurrency, self._clock = concurrency, clock
        self._progress = progress or _log_progress
        self._outcomes: queue.SimpleQueue[_Outcome | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stop, self._abort = threading.Event(), threading.Event()

    def run(self, parts: list[Part]) -> UploadSummary:
        accepted: list[Part] = []
        failed: list[_Outcome] = []
        waiting = iter(list(enumerate(parts, start=1)))
        # Daemons: a thread that waits for an answer must not keep a killed task alive.
        threads = [
            threading.Thread(target=self._work, args=(waiting,), name=f"avala-upload-{number}", daemon=True)
            for number in range(min(self._concurrency, len(parts)))
        ]
        try:
            for thread in threads:
                thread.start()
            self._keep_account(len(threads), accepted, failed, _summary(self._dataset_id, parts))
        except BaseException:
            self._stop.set()
            self._abort.set()
            log.warning(
                "the upload to dataset %s was interrupted: Avala has accepted %s; parts that were being"
                " sent may or may not have been stored, up to %d of them",
                self._dataset_id,
                _describe_ranges(accepted) or "nothing",
                len(threads),
            )
            raise
        if failed:
            _raise_failure(self._dataset_id, parts, accepted, failed)
        return _summary(self._dataset_id, accepted)

    def _keep_account(
        self, running: int, accepted: list[Part], failed: list[_Outcome], total: UploadSummary
    ) -> None:
        said = self._clock.monotonic()
        while running:
            outcome = self._outcomes.get()
            if outcome is None:
                running -= 1
                continue
            if outcome.error is not None:
                failed.append(outcome)
                continue
            accepted.append(outcome.part)
            if self._clock.monotonic() - said >= PROGRESS_INTERVAL:
                said = self._clock.monotonic()
                self._progress(_summary(self._dataset_id, accepted), total)

    def _work(self, waiting: Iterator[tuple[int, Part]]) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    number, part = next(waiting, (0, None))
                if part is None:
                    return
                try:
                    self._send_part(number, part)
                except BaseException as error:  # the caller's thread decides what it means
                    self._stop.set()
                    self._outcomes.put(_Outcome(part, error))
                else:
                    self._outcomes.put(_Outcome(part))
        finally:
            self._outcomes.put(None)

    def _send_part(self, number: int, part: Part) -> None:
        # Only here: this module is read with the DAG files, and must not load an HTTP library then.
        from airflow_provider_avala.api.multipart import MultipartBody

        def chunks() -> Iterator[bytes]:
            for chunk in part.chunks():
                if self._abort.is_set():
                    raise _AbortedError("the upload was stopped")
                yield chunk

        body = MultipartBody(chunks, part.size, f"{part.source.stem}-{number:05d}.jsonl")
        key = "\0".join((self._dataset_id, self._scope, str(number), part.sha256))
        headers = {"Idempotency-Key": hashlib.sha256(key.encode()).hexdigest()}
        _check_count(self._send(body, headers), part)


class _CountError(AvalaError):
    """Avala says that it took fewer items than it was sent."""


def _check_count(answer: Any, part: Part) -> None:
    # A larger number is no loss: some APIs answer with the new total of the collection.
    count = stated_count(answer)
    if count is not None and count < part.items:
        raise _CountError(f"Avala says that it accepted {count} of the {part.items} items it was sent")


def stated_count(answer: Any) -> int | None:
    """How many items an answer says were accepted, if it says so under a key we know.

    :param answer: decoded JSON.
    """
    if not isinstance(answer, Mapping):
        return None
    values = (answer.get(key) for key in _COUNT_KEYS)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def outcome_unknown(error: BaseException) -> bool:
    """Whether Avala may have stored rows of a part although sending it raised ``error``.

    :param error: what ``send`` raised; anything unexpected counts as unknown.
    """
    if isinstance(error, AvalaConnectionError):
        return error.sent
    if isinstance(error, AvalaServerError | AvalaProtocolError | _CountError):
        return True
    return not isinstance(error, AvalaError | SourceChangedError | _AbortedError)


def _raise_failure(dataset_id: str, parts: list[Part], accepted: list[Part], failed: list[_Outcome]) -> None:
    cause = failed[0].error
    unknown = [outcome for outcome in failed if outcome.error and outcome_unknown(outcome.error)]
    if not accepted and not unknown and isinstance(cause, AvalaError):
        raise cause
    refused = [outcome.part for outcome in failed if outcome not in unknown]
    touched = {id(part) for part in accepted} | {id(outcome.part) for outcome in failed}
    summary = _summary(dataset_id, accepted)
    message = [f"the upload to dataset {dataset_id} stopped: {cause}".rstrip(".")]
    message.append(f"Avala accepted {summary.items} items: {_describe_ranges(accepted) or 'no lines'}")
    if unknown:
        lines = _describe_ranges([outcome.part for outcome in unknown])
        message.append(f"{lines} may or may not have been stored: look before you send them again")
    if refused:
        message.append(f"not stored: {_describe_ranges(refused)}")
    if rest := [part for part in parts if id(part) not in touched]:
        message.append(f"not sent: {_describe_ranges(rest)}")
    raise AvalaUploadError(". ".join(message) + ".", summary=summary, unknown_parts=len(unknown)) from cause


def _describe_ranges(parts: Iterable[Part]) -> str:
    """Name the lines of parts, neighbours together: ``lines 1-2000 of a.jsonl, lines 5-9 of b.jsonl``."""
    ranges: list[tuple[Part, int]] = []
    for part in sorted(parts, key=lambda part: (part.source.label, part.first_line)):
        if ranges and ranges[-1][0].source == part.source and ranges[-1][1] + 1 == part.first_line:
            ranges[-1] = ranges[-1][0], part.last_line
        else:
            ranges.append((part, part.last_line))
    texts = [f"{part.source.unit}s {part.first_line}-{last} of {part.source.label}" for part, last in ranges]
    more = [f"{len(texts) - _RANGES_SHOWN} more ranges"] if len(texts) > _RANGES_SHOWN else []
    return ", ".join(texts[:_RANGES_SHOWN] + more)


def _summary(dataset_id: str, parts: list[Part]) -> UploadSummary:
    return UploadSummary(
        dataset_id, sum(part.items for part in parts), len(parts), sum(part.size for part in parts)
    )


def _log_progress(done: UploadSummary, total: UploadSummary) -> None:
    log.info(
        "dataset %s: Avala has accepted %d of %d items, %.1f of %.1f MB",
        done.dataset_id,
        done.items,
        total.items,
        done.bytes / 1e6,
        total.bytes / 1e6,
    )
