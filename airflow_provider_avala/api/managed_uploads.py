"""Uploading files to Avala's storage: several at a time, streamed, each retried with a fresh target.

Follows the API's pages on managed uploads. Avala hands out a target for each file (:mod:`.presigned`); the bytes go
there without the API key. A session under version 2 of the protocol outlives us: asked again for the same batch and
path, Avala says what it has already.
"""

from __future__ import annotations

import logging
import mimetypes
import queue
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.api import policy
from airflow_provider_avala.api.clock import Clock
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaConnectionError,
    AvalaError,
    AvalaNotFoundError,
)
from airflow_provider_avala.api.ledger import Ledger
from airflow_provider_avala.api.managed_files import FileChangedError, SourceFile
from airflow_provider_avala.api.multipart import MultipartBody
from airflow_provider_avala.api.presigned import AvalaStorageError, Target, read_part
from airflow_provider_avala.api.secrets import redact, without_signed_urls

if TYPE_CHECKING:
    from airflow_provider_avala.api.client import AvalaClient
    from airflow_provider_avala.api.wire import Body

log = logging.getLogger(__name__)

PATH = "/datasets/manual-upload"
#: Attempts for one file, each with a fresh target.
ATTEMPTS = 8
#: Parts of one file that are sent at a time.
PARTS_IN_FLIGHT = 2
#: Seconds between two reports of progress, and between two notes of what is stored.
PROGRESS_INTERVAL, NOTE_INTERVAL = 10.0, 1.0
#: Seconds that uploads under way get to notice that another one has failed.
_PATIENCE = 5.0


@dataclass(frozen=True)
class UploadPlan:
    """What is to be uploaded, and whereto.

    :param dataset_name: the dataset that the files are for; its name is the folder in Avala's storage.
    :param batch: UUID of this upload, the same over its retries.
    :param organization_uid: the organization that is to own the dataset; None for the key's user.
    :param concurrency: files at a time.
    """

    dataset_name: str
    batch: str
    organization_uid: str | None
    concurrency: int

    def target_request(self, file: SourceFile) -> dict[str, Any]:
        """The body that asks for a target.

        :param file: the file.
        """
        body: dict[str, Any] = {
            "dataset_name": self.dataset_name,
            "file_path_in_dataset": file.destination,
            "content_length": file.size,
            "upload_protocol_version": 2,
            "dataset_upload_uid": self.batch,
        }
        return body if self.organization_uid is None else {**body, "organization_uid": self.organization_uid}


@dataclass(frozen=True)
class Region:
    """Some bytes of a file as a request body, read anew for every attempt.

    :param file: the file.
    :param offset: bytes before them.
    :param size: how many.
    :param stopped: whether to break off.
    """

    file: SourceFile
    offset: int
    size: int
    stopped: Callable[[], bool]
    content_type: str = ""

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.file.chunks(self.offset, self.size):
            if self.stopped():
                raise _StoppedError
            yield chunk


class _StoppedError(Exception):
    """Another file failed, or the task is being stopped; what is being sent breaks off."""


class ManagedUpload:
    """Bring files into Avala's storage.

    :param plan: what goes where.
    :param client: the API.
    :param clock: the time to live by.
    :param chance: gives a random number between 0 and 1, for jitter.
    """

    def __init__(
        self,
        plan: UploadPlan,
        client: AvalaClient,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._plan, self._client, self._clock, self._chance = plan, client, clock, chance
        self._stop = threading.Event()
        self._outcomes: queue.SimpleQueue[tuple[int, BaseException | None]] = queue.SimpleQueue()

    def run(self, files: Sequence[SourceFile], ledger: Ledger) -> None:
        """Upload the files that the ledger does not know as stored, and note there what is.

        :param files: the files.
        :param ledger: which of them are stored.
        :raises AvalaError: if one could not be uploaded; the ledger says which ones are.
        """
        missing = [(number, file) for number, file in enumerate(files) if number not in ledger.done]
        if len(missing) < len(files):
            log.info("%d of %d files are stored already.", len(files) - len(missing), len(files))
        waiting, lock = iter(missing), threading.Lock()
        places = self._client.settings.max_concurrent_uploads  # more would only wait for each other
        # Daemons: a thread that waits for an answer must not keep a killed task alive.
        threads = [
            threading.Thread(
                target=self._work, args=(waiting, lock), name=f"avala-files-{number}", daemon=True
            )
            for number in range(min(self._plan.concurrency, places, len(missing)))
        ]
        try:
            for thread in threads:
                thread.start()
            self._keep_account(len(missing), files, ledger)
        finally:
            self._stop.set()
            ledger.save()
            for thread in threads:
                thread.join(_PATIENCE / len(threads))

    def _work(self, waiting: Iterator[tuple[int, SourceFile]], lock: threading.Lock) -> None:
        while not self._stop.is_set():
            with lock:
                number, file = next(waiting, (0, None))
            if file is None:
                return
            try:
                with self._client.upload_slot():
                    self._send(file)
            except BaseException as error:  # the caller's thread decides what it means
                self._outcomes.put((number, error))
                return
            self._outcomes.put((number, None))

    def _keep_account(self, missing: int, files: Sequence[SourceFile], ledger: Ledger) -> None:
        said = noted = self._clock.monotonic()
        for _ in range(missing):
            number, error = self._outcomes.get()
            if error is not None:
                raise self._explained(error, files[number], len(ledger.done), len(files))
            ledger.done.add(number)
            now = self._clock.monotonic()
            if now - noted >= NOTE_INTERVAL:
                noted = now
                ledger.save()
            if now - said >= PROGRESS_INTERVAL:
                said = now
                log.info("Uploaded %d of %d files.", len(ledger.done), len(files))

    def _explained(self, error: BaseException, file: SourceFile, done: int, total: int) -> BaseException:
        where = f"The upload stopped at {file.destination!r}; {done} of {total} files are stored."
        if isinstance(error, AvalaApiError):
            error.add_detail(where)
        elif isinstance(error, AvalaError):
            error.args = (f"{str(error).rstrip('.')}. {where}",)
        elif isinstance(error, FileChangedError):
            return AvalaStorageError(f"{error}. {where} A retry sends it as it is then.")
        return error

    # One file

    def _send(self, file: SourceFile) -> None:
        waited = 0.0
        for attempt in count(1):
            try:
                return self._attempt(file)
            except AvalaStorageError as error:
                failure = policy.Failure(
                    status=error.status_code, transient=error.transient, hint=error.retry_after
                )
                if error.status_code == 403 and attempt == 1:  # the signature may have expired on the way
                    failure = policy.Failure()
                verdict = policy.decide(
                    failure,
                    attempt=attempt,
                    elapsed=waited,
                    max_elapsed=self._client.settings.max_retry_seconds if attempt < ATTEMPTS else 0,
                    repeatable=True,
                    chance=self._chance(),
                )
                if verdict.wait is None or self._stop.is_set():
                    raise
                log.info("%s Next attempt in %.1f s.", error, verdict.wait)
            self._clock.sleep(verdict.wait)
            waited += verdict.wait
        raise AssertionError("unreachable")

    def _attempt(self, file: SourceFile) -> None:
        if self._stop.is_set():
            raise _StoppedError
        file.check_unchanged()
        wanted = self._plan.target_request(file)
        answer = self._client.run("POST", f"{PATH}/file-upload-url/", json=wanted, repeatable=True)
        target = Target.read(answer, file.size)
        if target.method == "POST":
            self._post_form(target, file)
            return
        session = f"{PATH}/uploads/{target.upload_uid}"
        if not target.complete:
            if target.method == "PUT":
                self._put(target.url, target.headers, self._region(file, 0, file.size), known=(412,))
            else:
                self._put_parts(target, file, session)
            file.check_unchanged()
        self._ask(session, "complete", {})

    def _ask(self, session: str, what: str, body: Mapping[str, Any]) -> Any:
        try:
            return self._client.run("POST", f"{session}/{what}/", json=body, repeatable=True)
        except (
            AvalaNotFoundError
        ) as error:  # sessions age out; asked for a target again, Avala begins another one
            raise AvalaStorageError(
                f"Avala does not know the session of the upload any more: {error}"
            ) from error

    def _region(self, file: SourceFile, offset: int, size: int) -> Region:
        return Region(file, offset, size, self._stop.is_set)

    def _put_parts(self, target: Target, file: SourceFile, session: str) -> None:
        missing = [number for number in range(1, target.part_count + 1) if number not in target.uploaded]

        def put_part(number: int) -> None:
            url, headers = read_part(self._ask(session, "parts", {"part_numbers": [number]}), number)
            offset = (number - 1) * target.part_size
            self._put(url, headers, self._region(file, offset, target.length_of(number, file.size)))

        with ThreadPoolExecutor(PARTS_IN_FLIGHT) as pool:
            for start in range(0, len(missing), PARTS_IN_FLIGHT):
                list(pool.map(put_part, missing[start : start + PARTS_IN_FLIGHT]))

    def _post_form(self, target: Target, file: SourceFile) -> None:
        kind = (
            target.fields.get("Content-Type")
            or mimetypes.guess_type(file.name)[0]
            or "application/octet-stream"
        )
        region = self._region(file, 0, file.size)
        body = MultipartBody(region.__iter__, file.size, file.name, content_type=kind, fields=target.fields)
        self._transfer("POST", target.url, {}, body)

    def _put(self, url: str, headers: Mapping[str, str], region: Region, known: tuple[int, ...] = ()) -> None:
        kept = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        kind = next((value for name, value in kept.items() if name.lower() == "content-type"), "")
        kept = {name: value for name, value in kept.items() if name.lower() != "content-type"}
        self._transfer("PUT", url, kept, replace(region, content_type=kind), known)

    def _transfer(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, known: tuple[int, ...] = ()
    ) -> None:
        try:
            response = self._client.store(method, url, headers, body)
        except AvalaConnectionError as error:
            raise AvalaStorageError(str(error), transient=error.transient) from None
        status = response.status_code
        if status < 300 or status in known:
            return
        if status < 400:
            words = "redirects the upload, which is not followed"
        else:
            text = " ".join(response.content[:2000].decode("utf-8", "replace").split())
            words = f"answered with {status}: {redact(without_signed_urls(text), self._client.settings.api_key)[:500]}"
        hint = policy.server_hint(status, response.headers, self._clock.time())
        raise AvalaStorageError(f"the storage {words}", status_code=status, retry_after=hint)
