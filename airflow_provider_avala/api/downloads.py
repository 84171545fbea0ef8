"""Downloading an export: resumed after a cut, verified, and only then given its name.

The address comes from the export and is often signed: it runs out, so a fresh one is asked for when it is
refused, and it appears in no message. The API key is no concern of this module: who opens the address knows
where it may go.
"""

from __future__ import annotations

import http.client
import logging
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit

from airflow_provider_avala.api import archives, policy
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

_CHUNK = 256 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PACKED = frozenset({".gz", ".bz2", ".xz", ".zst"})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DownloadSummary:
    """A finished download.

    :param path: the file.
    :param bytes: its length.
    :param resumed: how many times the transfer was taken up again where it had broken off.
    """

    path: str
    bytes: int
    resumed: int


def target_in(path: str | os.PathLike[str], export_id: str, url: str) -> Path:
    """Where a download goes: the path itself, or a file named after the export if the path is a folder.

    :param path: a file, or a folder: one that exists, or any path that ends with a slash.
    :param export_id: the export's id; what a file name cannot hold becomes ``_``.
    :param url: address of the file; its suffix is kept.
    """
    if not os.fspath(path).endswith("/") and not Path(path).is_dir():
        return Path(path)
    suffixes = PurePosixPath(unquote(urlsplit(url).path)).suffixes
    kept = suffixes[-2:] if suffixes[-1:] and suffixes[-1].lower() in _PACKED else suffixes[-1:]
    suffix = "".join(kept) if all(re.fullmatch(r"\.[A-Za-z0-9]{1,8}", one) for one in kept) else ""
    return Path(path) / (re.sub(r"[^A-Za-z0-9._-]", "_", export_id).lstrip(".") + suffix)


def download(
    open_url: OpenUrl,
    get_url: Callable[[], str],
    target: Path,
    *,
    export_id: str = "",
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
    :param max_retry_seconds: seconds without any progress after which no further attempt is made.
    :param clock: the time to live by.
    :param chance: gives a random number between 0 and 1, for jitter.
    :raises AvalaConfigurationError: if the target is a folder.
    :raises AvalaDownloadError: if the file could not be had whole, or could not be written.
    """
    with PartFile(target, export_id) as part:
        transfer = _Transfer(open_url, get_url, part, max_retry_seconds, clock, chance)
        transfer.run()
        size = part.size
        try:
            archives.check_file(part.path, checksums=transfer.checksums, zip_announced=transfer.zip_announced)
        except AvalaDownloadError as error:
            part.discard()
            raise AvalaDownloadError(
                f"{target.name}: {error}. The {size} bytes that arrived were deleted; run the task again, and if"
                " it fails the same way, create a new export."
            ) from error
        part.publish()
    return DownloadSummary(str(target), size, transfer.resumed)


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
    ) -> None:
        self._open_url, self._get_url, self._part = open_url, get_url, part
        self._patience, self._clock, self._chance = patience, clock, chance
        self._url = get_url()
        self._most, self._progress_at = part.size, clock.monotonic()
        self._attempts, self._refreshed = 0, False
        self.checksums: dict[str, bytes] = {}
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
        checksums = archives.announced_checksums(response.status_code, response.headers)
        if found.action is Action.APPEND:
            self.resumed += 1
            self.checksums |= checksums
        else:
            part.restart(found.etag, found.total)
            self.checksums = checksums
        size = part.size
        for chunk in _chunks(response):
            part.append(chunk)
            size += len(chunk)
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
    target = urljoin(url, location.strip())
    scheme = urlsplit(target).scheme
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
