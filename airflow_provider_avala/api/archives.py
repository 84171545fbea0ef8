"""Is a downloaded file the zip that was announced, and is every member of it whole."""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_avala.api import envelopes
from airflow_provider_avala.api.errors import AvalaDownloadError
from airflow_provider_avala.api.secrets import without_signed_urls

log = logging.getLogger(__name__)

#: Nothing, HTML or XML, JSON.
_PAGE_STARTS = (b"", b"<", b"{", b"[")
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_CHUNK = 1024 * 1024
#: Python unpacks other methods than these without a bound on what comes out of one read.
BOUNDED_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_UNBOUNDED_CHUNK = 4096


@dataclass(frozen=True)
class Limits:
    """How large a zip may be when it is unpacked.

    :param files: members, folders included.
    :param bytes: of all members together.
    :param ratio: unpacked bytes for each byte of the archive, once there are more than ``small`` of them. Annotations
        as JSON have 5 to 30; what is made to fill a disk has 1,000.
    :param small: unpacked bytes that need no ratio.
    """

    files: int = 1_000_000
    bytes: int = 1024**4
    ratio: int = 200
    small: int = 1024**2

    def excess(self, archive: zipfile.ZipFile, archive_bytes: int) -> str:
        """Say in words which limit a zip passes; nothing if it passes none.

        :param archive: the zip, open.
        :param archive_bytes: its length.
        """
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if len(members) > self.files:
            return f"it has {len(members)} members, and at most {self.files} are unpacked"
        if sum(member.compress_size for member in members) > archive_bytes:
            return "its members overlap"
        if unpacked > self.bytes:
            return f"it unpacks to {unpacked} bytes, and at most {self.bytes} are unpacked"
        if unpacked > max(self.small, self.ratio * archive_bytes):
            return f"its {archive_bytes} bytes unpack to {unpacked}, and at most {self.ratio} times as much is unpacked"
        return ""


LIMITS = Limits()


def check(path: Path, *, zip_announced: bool) -> None:
    """Check a complete file: if it is a zip, every member must have its own checksum.

    :param path: the file.
    :param zip_announced: whether the server calls it a zip, so that a page of text is wrong.
    :raises AvalaDownloadError: if it is not what was announced, or damaged.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(_ZIP_STARTS):
        _check_zip(path)
    elif zip_announced and head.lstrip()[:1] in _PAGE_STARTS:
        says = without_signed_urls(envelopes.read_error(head).detail)
        raise AvalaDownloadError(f"a zip was announced, but the file is none; it begins: {says[:200]!r}")
    elif zip_announced:
        log.warning("The file was announced as a zip but is none, so what is in it cannot be checked.")


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            if excess := LIMITS.excess(archive, path.stat().st_size):
                log.warning("The members of the zip are not checked: %s.", excess)
                return
            for member in archive.infolist():
                _check_member(archive, member)
    except AvalaDownloadError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        # Encrypted, or packed in a way this Python cannot read: not our business to unpack it.
        log.warning("The members of the zip cannot be checked: %s", error)
    except Exception as error:  # zipfile lets through whatever the decompressors raise on damaged data
        raise AvalaDownloadError(f"the zip is damaged: {error or type(error).__name__}") from error


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    chunk = _CHUNK if member.compress_type in BOUNDED_METHODS else _UNBOUNDED_CHUNK
    with archive.open(member) as content:
        try:
            while content.read(chunk):
                pass
        except zipfile.BadZipFile as error:
            raise AvalaDownloadError(
                f"the zip is damaged: the checksum of its member {member.filename!r} is wrong"
            ) from error
