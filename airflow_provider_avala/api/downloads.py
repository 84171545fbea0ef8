"""Downloading an export: resumed after a cut, verified, and only then given its name.

The address comes from the export and is often signed: it runs out, so a fresh one is asked for when it is
refused, and it appears in no message. The API key is no concern of this module: who opens the address knows
where it may go.
"""

from __future__ import annotations

import http.client
import logging
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urljoin, urlsplit

from airflow_provider_avala.api import archives, checksums, policy, unpacking
from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.errors import AvalaConnectionError, AvalaDownloadError
from airflow_provider_avala.api.partfile import PartFile
from airflow_provider_avala.api.ranges import Action, Judgement, is_zip_name, judge
from airflow_provider_avala.api.secrets import without_signed_urls

if TYPE_CHECKING:
    from requests import Response

OpenUrl: TypeAlias = "Callable[[str, Mapping[str, str]], AbstractContextManager[Response]]"

#: As many redirects are followed from the address of an export to the file.
MAX_REDIRECTS = 5

_CHUNK = 1024 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DownloadSummary:
    """A finished download.

    :param path: the file, or the folder that it was unpacked to.
    :param bytes: length of the file, packed; 0 for a folder that was there already.
    :param resumed: how many times the transfer was taken up again where it had broken off.
    :param skipped: whether it was there already, so that nothing was downloaded.
    :param files: how many files were unpacked.
    """

    path: str
    bytes: int
    resumed: int
    skipped: bool = False
    files: int = 0


def download(
    open_url: OpenUrl,
    get_url: Callable[[], str],
    target: Path,
    *,
    export_id: str = "",
    unpack: bool = False,
    deliver: Callable[[Path], None] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    max_retry_seconds: float = 120.0,
    clock: Clock = SYSTEM_CLOCK,
    chance: Callable[[], float] = random.random,
) -> DownloadSummary:
    """Download the file of an export.

    What arrives is kept in a ``.part`` file beside the target until it is complete and verified; if the
    download fails, or its task is killed, the next one goes on from there.

    :param open_url: begins a streaming GET with the given headers; judges no status, follows no redirect.
    :param get_url: asks Avala for the address of the file, a fresh one each time.
    :param target: where to put the file; folders above it are created, a file of that name is replaced.
    :param export_id: the export's id, so that different exports to one target do not share a ``.part`` file.
    :param unpack: whether the file is a zip, and the target a folder for what is in it. It gets its name when all is in
        it; if there is such a folder, files of the same names are replaced and others stay. The zip is not kept.
    :param deliver: takes the whole, verified file elsewhere, instead of giving it the target's name. If it raises, the
        ``.part`` file is kept.
    :param progress: is told, time and again, how many bytes have arrived, and of how many if that is known.
    :param max_retry_seconds: seconds without any progress after which no further attempt is made.
    :param clock: the time to live by.
    :param chance: gives a random number between 0 and 1, for jitter.
    :raises AvalaConfigurationError: if the target is a folder; with ``unpack``, if it is a file.
    :raises AvalaDownloadError: if the file could not be had whole, unpacked or written.
    """
    with PartFile(target, export_id, to_folder=unpack) as part:
        transfer = _Transfer(open_url, get_url, part, max_retry_seconds, clock, chance, progress)
        transfer.run()
        size, files = part.size, 0
        with _discarding(part):
            checksums.check(part.path, part.checksums)
            if unpack:
                files = _unpack(part)
            else:
                archives.check(part.path, zip_announced=transfer.zip_announced)
        if deliver:
            deliver(part.path)
        if deliver or unpack:
            part.discard()
        else:
            part.publish()
    return DownloadSummary(str(target), size, transfer.resumed, files=files)


@contextmanager
def _discarding(part: PartFile) -> Iterator[None]:
    """Delete a file that is not what it should be, and say so."""
    try:
        yield
    except _UnwritableError as error:
        raise part.unwritable(error.reason) from error.reason
    except AvalaDownloadError as error:
        size = part.size
        part.discard()
        advice = (
            "" if error.fatal else "; run the task again, and if it fails the same way, create a new export"
        )
        raise AvalaDownloadError(
            f"{part.target.name}: {error}. The {size} bytes that arrived were deleted{advice}.",
            fatal=error.fatal,
        ) from error


class _UnwritableError(Exception):
    """The disk does not take what is unpacked."""

    def __init__(self, reason: OSError) -> None:
        self.reason = reason


def _unpack(part: PartFile) -> int:
    folder = part.path.with_suffix(".unpacked")  # nobody else's, as long as the part file is locked
    try:
        shutil.rmtree(folder, ignore_errors=True)
        files = unpacking.unpack(part.path, folder)
        unpacking.merge(folder, part.target)
    except OSError as error:
        raise _UnwritableError(error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return files


class _InterruptedError(Exception):
    """The file is not complete yet."""


class _Transfer:
    """The bytes of one file on their way into its part file, over as many answers as it takes."""

    def __init__(
        self,
        open_url: OpenUrl,
        get_url: Callable[[], str],
        part: PartFile,
        patience: float,
        clock: Clock,
        chance: Callable[[], float],
        progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        self._progress = progress
        self._open_url, self._get_url, self._part = open_url, get_url, part
        self._patience, self._clock, self._chance = patience, clock, chance
        self._url = get_url()
        self._most, self._progress_at = part.size, clock.monotonic()
        self._attempts, self._refreshed = 0, False
        self.resumed = 0

    @property
    def zip_announced(self) -> bool:
        """Whether the server calls the file a zip; what the target is called is the user's business."""
        return is_zip_name(urlsplit(self._url).path)

    def run(self) -> None:
        while True:
            try:
                if self._attempt():
                    return
            except AvalaConnectionError as error:
                self._wait(str(error), policy.Failure(sent=error.sent, transient=error.transient))
            except _InterruptedError as interruption:
                self._wait(str(interruption), policy.Failure())

    def _attempt(self) -> bool:
        """Ask for what is missing; whether that completed the file."""
        part = self._part
        have, etag = (part.size, part.etag) if part.resumable else (0, None)
        # Coded bytes can neither be resumed by offset nor be told from a cut.
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if etag:
            headers |= {"Range": f"bytes={have}-", "If-Range": etag}
        with self._open(headers) as response:
            found = judge(
                response.status_code,
                response.headers,
                have=have,
                etag=etag,
                total=part.total,
                zip_announced=self.zip_announced,
            )
            if found.action in (Action.APPEND, Action.REWRITE):
                self._receive(response, found)
                return True
            hint = policy.server_hint(response.status_code, response.headers, self._clock.time())
        self._react(found, policy.Failure(status=response.status_code, hint=hint))
        return False

    def _receive(self, response: Response, found: Judgement) -> None:
        part = self._part
        announced = checksums.announced(response.status_code, response.headers)
        if found.action is Action.APPEND:
            self.resumed += 1
            part.checksums |= announced
        else:
            part.restart(found.etag, found.total, announced)
        size = part.size
        for chunk in _chunks(response):
            part.append(chunk)
            size += len(chunk)
            if self._progress:
                self._progress(size, found.total)
            if size > self._most:
                self._most, self._progress_at = size, self._clock.monotonic()
                self._attempts, self._refreshed = 0, False
        if found.total is not None and size != found.total:
            raise _InterruptedError(f"{size} of {found.total} bytes have arrived")

    def _react(self, found: Judgement, failure: policy.Failure) -> None:
        if found.action is Action.FAIL or (found.action is Action.REFRESH and self._refreshed):
            raise self._gave_up(found.reason)
        if found.action is Action.REFRESH:
            log.info("Asking Avala for a fresh download address: %s.", found.reason)
            self._url, self._refreshed = self._get_url(), True
        elif found.action is Action.RESTART:
            self._part.restart()
            raise _InterruptedError(found.reason)
        else:
            self._wait(found.reason, failure)

    def _wait(self, reason: str, failure: policy.Failure) -> None:
        self._attempts += 1
        verdict = policy.decide(
            failure,
            attempt=self._attempts,
            elapsed=self._clock.monotonic() - self._progress_at,
            max_elapsed=self._patience,
            repeatable=True,
            chance=self._chance(),
        )
        if verdict.wait is None:
            raise self._gave_up(reason) from None
        log.info(
            "The download to %s was interrupted: %s. It goes on in %.1f s.",
            self._part.target,
            reason,
            verdict.wait,
        )
        self._clock.sleep(verdict.wait)

    def _gave_up(self, reason: str) -> AvalaDownloadError:
        part = self._part
        missing = f" of {part.total}" if part.total is not None else ""
        kept = "the next attempt goes on from there" if part.resumable else "they cannot be resumed"
        return AvalaDownloadError(
            f"{part.target.name} could not be downloaded: {reason}. {part.size}{missing} bytes are in {part.path};"
            f" {kept}."
        )

    @contextmanager
    def _open(self, headers: Mapping[str, str]) -> Iterator[Response]:
        url = self._url
        for _ in range(MAX_REDIRECTS + 1):
            with self._open_url(url, headers) as response:
                if response.status_code not in _REDIRECTS:
                    yield response
                    return
                location = response.headers.get("Location", "")
            url = next_hop(url, location)
        raise self._gave_up(f"more than {MAX_REDIRECTS} redirects")


def next_hop(url: str, location: str) -> str:
    """Where a redirect leads.

    :param url: the address that was asked.
    :param location: the answer's ``Location`` header.
    :raises AvalaDownloadError: if it leads nowhere, or from an encrypted address to one that is not.
    """
    try:
        target = urljoin(url, location.strip())
        scheme = urlsplit(target).scheme
    except ValueError:
        raise AvalaDownloadError(f"{without_signed_urls(url)} redirects to what is no URL") from None
    if not location.strip():
        raise AvalaDownloadError(f"{without_signed_urls(url)} redirects without saying where to")
    if scheme != "https" and not (scheme == "http" and urlsplit(url).scheme == "http"):
        raise AvalaDownloadError(
            f"{without_signed_urls(url)} redirects to {without_signed_urls(target)}, which is not https"
        )
    return target


def _chunks(response: Response) -> Iterator[bytes]:
    from urllib3.exceptions import HTTPError  # only here: operators import this module with the DAG files

    # read1, where urllib3 has it, hands over what has arrived; read would lose it in a cut.
    read = getattr(response.raw, "read1", response.raw.read)
    while True:
        try:
            chunk = read(_CHUNK)
        except (HTTPError, OSError, http.client.HTTPException) as error:
            reason = without_signed_urls(str(error)) or type(error).__name__
            raise _InterruptedError(f"the connection broke: {reason}") from None
        if not chunk:
            return
        yield chunk
