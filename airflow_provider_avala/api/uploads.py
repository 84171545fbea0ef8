"""Uploading items: JSONL in parts, several at a time, with an exact account of what became of each.

Follows the API's page on uploading items: ``POST /datasets/{id}/items``, multipart, one part named ``file``.

Files are checked on the way: while some parts are being sent, the next one is read and checked, and the first bad line
stops the upload before its part is sent. To check all before the first part is sent would be kinder, for then nothing
is stored if a line is bad; but the check costs several times what sending does on a fast line (benchmarks/README.md),
and its time would be added instead of overlapping. Items from memory are checked, all of them, before anything is sent:
they are written to a temporary file anyway, because an iterable can be read once only.

Every part has an ``Idempotency-Key``, made of the upload's scope, the part's position and its content, the same
whenever it is sent. Nothing says that Avala heeds it, so a part of unknown outcome is reported even if it was sent
again.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.defaults import DEFAULT_PART_SIZE
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaUploadError
from airflow_provider_avala.api.jsonl import MAX_PART_SIZE, Part, cut_source, too_long
from airflow_provider_avala.api.part_outcomes import ON_UNKNOWN, OnUnknown, StoredTotal
from airflow_provider_avala.api.sources import Source, find_sources, fingerprint, holds_rows
from airflow_provider_avala.api.spool import SpoolError, spool_items
from airflow_provider_avala.api.upload_journal import Journal, JournalStore
from airflow_provider_avala.api.upload_report import UploadProgress, UploadSummary
from airflow_provider_avala.api.upload_run import Send, UploadRun

__all__ = [
    "DEFAULT_PART_SIZE",
    "MAX_CONCURRENCY",
    "MAX_PART_SIZE",
    "UploadProgress",
    "UploadSummary",
    "upload_items",
]

#: More parts at a time than this only wait for each other.
MAX_CONCURRENCY = 64

log = logging.getLogger(__name__)


def upload_items(
    send: Send,
    dataset_id: str,
    source: Any = None,
    items: Iterable[dict[str, Any]] | None = None,
    *,
    part_size: int = DEFAULT_PART_SIZE,
    concurrency: int = 4,
    validate: bool = True,
    on_unknown: OnUnknown = "retry",
    idempotency_scope: str = "",
    journal: JournalStore | None = None,
    progress: Callable[[UploadProgress], None] | None = None,
    total: Callable[[], int] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> UploadSummary:
    """Upload items to a dataset, from JSONL files or from memory.

    :param send: posts one part, see :class:`.Send`.
    :param dataset_id: the dataset's id.
    :param source: a local path, a glob, a directory (its files ``*.jsonl`` and ``*.ndjson``, also with ``.gz``), an
        object with ``open("rb")`` such as ``ObjectStoragePath``, or a list of those; each file holds one JSON object a
        line, and may be compressed with gzip. Blank lines are sent along but not counted. An iterable of dicts is taken
        for ``items``.
    :param items: instead of ``source``, any iterable of dicts; written to a private temporary file first.
    :param part_size: the most bytes of JSONL in one request.
    :param concurrency: the most requests at a time.
    :param validate: whether each line of a file is checked to be a JSON object in UTF-8 before it is sent.
    :param on_unknown: what to do about a part that was sent without an answer, so that it may or may not be stored:
        ``retry`` sends it again with the same ``Idempotency-Key``, ``fail`` stops and names its lines, ``verify`` asks
        how many items the dataset has: which tells only if nobody else writes to it, and takes one request at a time.
    :param idempotency_scope: what sets the upload apart from others of the same rows, and is the same when it is tried
        again; by default a random one.
    :param journal: where to note how far the upload came, so that the next attempt goes on there. An upload that did
        not finish is gone on with whatever the scope, and keeps its own; one that finished, with the same scope only.
    :param progress: told how far the upload has come, at most every 10 seconds; by default that is logged.
    :param total: asks how many items the dataset has, for ``verify``.
    :param clock: the time to live by.
    :raises AvalaConfigurationError: if an argument or a line is wrong, and nothing was stored.
    :raises AvalaUploadError: if the upload stopped after something may have been stored; it tells what.
    :raises AvalaError: as ``send`` raised it, if nothing was stored.
    """
    if items is None and holds_rows(source):
        source, items = None, source
    _check_arguments(dataset_id, source, items, part_size, concurrency)
    _check_options(validate, on_unknown, total)
    notes = Journal(journal, dataset_id, idempotency_scope or uuid4().hex, part_size)
    if notes.earlier.done:
        return _done_before(dataset_id, notes)
    stored = StoredTotal(total, notes, clock) if total and on_unknown == "verify" else None
    upload = partial(
        UploadRun,
        send,
        dataset_id,
        journal=notes,
        concurrency=1 if on_unknown == "verify" else concurrency,
        on_unknown=on_unknown,
        stored=stored,
        progress=progress or (lambda now: log.info("%s", now)),
        clock=clock,
    )
    cut = partial(_cut_all, part_size=part_size, scope=notes.scope)
    if source is not None:
        sources = find_sources(source)
        return upload(cut(sources, validate=validate), sources).run()
    with tempfile.NamedTemporaryFile(prefix="avala-items-", suffix=".jsonl", buffering=0) as spool:
        try:
            spool_items(items, spool, lambda size: too_long(part_size) if size > part_size else None)
        except SpoolError as error:
            raise AvalaUploadError(
                f"{error}; nothing was sent.", summary=UploadSummary(dataset_id)
            ) from error
        path = Path(spool.name)
        sources = [Source(path, "the given items", "item", fingerprint(path), is_settled=True)]
        return upload(cut(sources, validate=False), sources).run()


def _cut_all(sources: list[Source], *, part_size: int, validate: bool, scope: str) -> Iterator[Part]:
    number = 1
    for source in sources:
        for part in cut_source(source, part_size, validate=validate, scope=scope, number=number):
            yield part
            number = part.number + 1


def _done_before(dataset_id: str, notes: Journal) -> UploadSummary:
    log.info("dataset %s: an earlier attempt has brought in everything", dataset_id)
    done = notes.earlier
    return UploadSummary(dataset_id, done.items, done.parts, done.bytes, resumed_parts=done.parts)


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


def _check_options(validate: Any, on_unknown: Any, total: Any) -> None:
    if not isinstance(validate, bool):
        raise AvalaConfigurationError(f"validate: {validate!r} is not possible; use True or False")
    if on_unknown not in ON_UNKNOWN:
        raise AvalaConfigurationError(
            f"on_unknown: {on_unknown!r} is not possible; use one of {', '.join(map(repr, ON_UNKNOWN))}"
        )
    if on_unknown == "verify" and total is None:
        raise AvalaConfigurationError(
            "on_unknown: 'verify' needs a list of items that tells their total, which Avala has in the legacy dialect"
            " only (extra dialect of the connection); use 'retry' or 'fail'"
        )
