"""One attempt at an upload: threads that each cut and send the next part, and an account of them."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from airflow_provider_avala.api.clock import Clock
from airflow_provider_avala.api.errors import AvalaError, AvalaUploadError, is_fatal
from airflow_provider_avala.api.jsonl import Part
from airflow_provider_avala.api.part_outcomes import (
    AbortedError,
    CountError,
    OnUnknown,
    StoredTotal,
    check_content,
    check_count,
    outcome_unknown,
)
from airflow_provider_avala.api.upload_journal import Journal
from airflow_provider_avala.api.upload_report import LineRanges, UploadProgress, UploadSummary
from airflow_provider_avala.api.upload_resume import missing_parts

if TYPE_CHECKING:
    from airflow_provider_avala.api.file_slice import FileSlice
    from airflow_provider_avala.api.multipart import MultipartBody
    from airflow_provider_avala.api.sources import Source

#: Seconds between two reports of progress.
PROGRESS_INTERVAL = 10.0
#: How often a part is sent again on the word of the dataset's total.
_VERIFIED_ATTEMPTS = 5

log = logging.getLogger(__name__)


class Send(Protocol):
    """Posts one part and returns the decoded answer."""

    def __call__(
        self,
        body: MultipartBody,
        headers: Mapping[str, str],
        *,
        repeatable: bool,
        on_repeat: Callable[[AvalaError], None],
    ) -> Any:
        """Post a part.

        :param body: its bytes in their frame.
        :param headers: further headers.
        :param repeatable: whether it may be sent again although its outcome is unknown.
        :param on_repeat: told why, before each time that it is sent again.
        :raises AvalaError: if it was not answered with success.
        """


@dataclass(frozen=True)
class _Outcome:
    part: Part | None
    error: BaseException | None = None


class UploadRun:
    """One attempt at an upload.

    :param send: posts one part.
    :param dataset_id: where to.
    :param parts: gives the parts in order, each when it is asked for.
    :param sources: the files, for how much of them is done.
    :param journal: what sets the upload apart from others, how far an earlier attempt came, and this one.
    :param concurrency: the most requests at a time.
    :param on_unknown: what to do about a part of unknown outcome.
    :param stored: tells whether a part was stored, for ``verify``.
    :param progress: told how far the upload has come, at most every 10 seconds.
    :param clock: the time to live by.
    """

    def __init__(
        self,
        send: Send,
        dataset_id: str,
        parts: Iterator[Part],
        sources: Sequence[Source],
        *,
        journal: Journal,
        concurrency: int,
        on_unknown: OnUnknown,
        stored: StoredTotal | None,
        progress: Callable[[UploadProgress], None],
        clock: Clock,
    ) -> None:
        self._send, self._dataset_id = send, dataset_id
        self._journal, self._on_unknown, self._stored = journal, on_unknown, stored
        self._concurrency, self._progress, self._clock = concurrency, progress, clock
        sizes = [source.bytes for source in sources]
        self._whole = None if None in sizes else sum(size or 0 for size in sizes)
        self._parts = missing_parts(parts, journal.earlier, dataset_id, on_unknown, self._resume)
        self._resumed = self._summary = UploadSummary(dataset_id)
        self._accepted, self._repeated = LineRanges(), LineRanges()
        self._weight = 0
        self._failed: list[_Outcome] = []
        self._outcomes: queue.SimpleQueue[_Outcome | None] = queue.SimpleQueue()
        self._unknown = 0
        self._lock, self._repeat_lock = threading.Lock(), threading.Lock()
        self._stop, self._abort = threading.Event(), threading.Event()

    def run(self) -> UploadSummary:
        """Send what is missing, and return what the upload comes to.

        :raises AvalaError: see :func:`.uploads.upload_items`.
        """
        if self._stored:
            self._stored.prepare()
        # Daemons: a thread that waits for an answer must not keep a killed task alive.
        threads = [
            threading.Thread(target=self._work, name=f"avala-upload-{number}", daemon=True)
            for number in range(self._concurrency)
        ]
        try:
            for thread in threads:
                thread.start()
            self._keep_account(len(threads))
        except BaseException:
            self._stop.set()
            self._abort.set()
            self._take_account()
            log.warning(
                "the upload to dataset %s was interrupted: Avala has accepted %s; parts that were being"
                " sent may or may not have been stored, up to %d of them",
                self._dataset_id,
                self._accepted or "nothing",
                len(threads),
            )
            raise
        if self._repeated:
            log.warning(
                "dataset %s: no answer told what became of %s, so they were sent again with the same Idempotency-Key:"
                " if Avala does not heed it, they may be stored twice",
                self._dataset_id,
                self._repeated,
            )
        if self._failed:
            self._raise_failure()
        self._journal.close()
        return self._whole_summary

    @property
    def _whole_summary(self) -> UploadSummary:
        mine, before = self._summary, self._resumed
        return replace(
            mine,
            items=mine.items + before.items,
            parts=mine.parts + before.parts,
            bytes=mine.bytes + before.bytes,
            resumed_parts=before.parts,
            unknown_parts=self._unknown,
        )

    def _resume(self, part: Part) -> None:
        """Take note of a part that an earlier attempt has brought in."""
        self._resumed = self._resumed.with_part(part, resumed=True)
        self._accepted.add(part)
        self._weight += part.weight

    def _keep_account(self, running: int) -> None:
        begun = said = self._clock.monotonic()
        while running:
            outcome = self._outcomes.get()
            if outcome is None:
                running -= 1
                continue
            self._note(outcome)
            now = self._clock.monotonic()
            if now - said >= PROGRESS_INTERVAL:
                said = now
                share = min(1.0, self._weight / self._whole) if self._whole else None
                rate = self._summary.bytes / (now - begun)
                self._progress(UploadProgress(self._whole_summary, rate, share))

    def _take_account(self) -> None:
        """Note what has ended by now, and wait for nothing more."""
        while not self._outcomes.empty():
            if outcome := self._outcomes.get():
                self._note(outcome)

    def _note(self, outcome: _Outcome) -> None:
        if outcome.error is not None or outcome.part is None:
            self._failed.append(outcome)
            return
        self._summary = self._summary.with_part(outcome.part)
        self._accepted.add(outcome.part)
        self._weight += outcome.part.weight

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                part = None
                try:
                    with self._lock:
                        part = None if self._stop.is_set() else next(self._parts, None)
                    if part is None:
                        return
                    self._bring_in(part)
                except BaseException as error:  # the caller's thread decides what it means
                    self._stop.set()
                    self._outcomes.put(_Outcome(part, error))
                else:
                    self._outcomes.put(_Outcome(part))
                finally:
                    if part:
                        part.content.close()
        finally:
            self._outcomes.put(None)

    def _bring_in(self, part: Part) -> None:
        """Have a part stored, and note what became of it."""
        doubtful = part.number in self._journal.earlier.sending
        self._journal.begin(part)
        if self._stored:
            self._send_verified(part, self._stored, doubtful)
        else:
            self._send_part(part, doubtful)
        self._journal.accept(part)

    def _send_part(self, part: Part, doubtful: bool = False) -> None:
        # Only here: this module is read with the DAG files, and must not load an HTTP library then.
        from airflow_provider_avala.api.multipart import MultipartBody

        def chunks() -> Iterator[bytes | FileSlice]:
            for chunk in part.chunks():
                if self._abort.is_set():
                    raise AbortedError("the upload was stopped")
                yield chunk

        def on_repeat(error: AvalaError) -> None:
            nonlocal doubtful
            doubtful = doubtful or outcome_unknown(error)

        body = MultipartBody(chunks, part.size, f"{part.source.stem}-{part.number:05d}.jsonl")
        key = "\0".join((self._dataset_id, self._journal.scope, str(part.number), part.digest))
        headers = {"Idempotency-Key": hashlib.sha256(key.encode()).hexdigest()}
        try:
            answer = self._send(body, headers, repeatable=self._on_unknown == "retry", on_repeat=on_repeat)
        except BaseException as error:
            if not doubtful and not outcome_unknown(error) and not isinstance(error, AbortedError):
                self._journal.forget(part)
            raise
        finally:
            if doubtful and not self._stored:
                self._note_repeat(part)
        check_count(answer, part)
        check_content(part)

    def _note_repeat(self, part: Part) -> None:
        with self._repeat_lock:
            self._repeated.add(part)
            self._unknown += 1

    def _send_verified(self, part: Part, stored: StoredTotal, doubtful: bool) -> None:
        """Send a part, once more only if it is known not to be stored."""
        patient = True
        for attempt in range(1, _VERIFIED_ATTEMPTS + 1):
            if doubtful and stored.includes(part, patient=patient):
                return
            try:
                return self._send_part(part)
            except AvalaError as error:
                if (
                    isinstance(error, CountError)
                    or not outcome_unknown(error)
                    or attempt == _VERIFIED_ATTEMPTS
                ):
                    raise
                log.info("%s The dataset's total will tell whether it was stored.", error)
                doubtful, patient = True, getattr(error, "still_running", False)

    def _raise_failure(self) -> NoReturn:
        cause = self._failed[0].error
        if isinstance(cause, AvalaUploadError):
            raise cause
        errors = [(outcome.part, outcome.error) for outcome in self._failed if outcome.error]
        unknown = [part for part, error in errors if part and outcome_unknown(error)]
        whole = self._whole_summary
        if (
            not whole.parts
            and not unknown
            and not self._journal.earlier.sending
            and isinstance(cause, AvalaError)
        ):
            raise cause
        kept = self._journal.is_kept and not any(isinstance(error, CountError) for _, error in errors)
        settled = self._on_unknown != "fail" or not unknown
        resumable = kept and settled and not (cause and is_fatal(cause))
        refused = LineRanges(part for part, error in errors if part and part not in unknown)
        message = [f"the upload to dataset {self._dataset_id} stopped: {cause}".rstrip(".")]
        message.append(f"Avala accepted {whole.items} items: {self._accepted or 'no lines'}")
        if unknown:
            advice = "a retry settles it" if resumable else "look before you send them again"
            message.append(f"{LineRanges(unknown)} may or may not have been stored: {advice}")
        if refused:
            message.append(f"not stored: {refused}")
        message.append("what follows was not sent")
        if resumable:
            message.append("A retry of the task goes on with what is missing")
        elif kept and settled:
            message.append(
                "Once that is mended, clear the task: it goes on with what is missing, as long as the lines that were"
                " accepted are still there, and unchanged"
            )
        raise AvalaUploadError(
            ". ".join(message) + ".", summary=whole, unknown_parts=len(unknown), resumable=resumable
        ) from cause
