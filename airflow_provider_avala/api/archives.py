"""Is a downloaded file what was announced: its checksums, and if it is a zip every member in it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from airflow_provider_avala.api import envelopes
from airflow_provider_avala.api.errors import AvalaDownloadError
from airflow_provider_avala.api.secrets import without_signed_urls

log = logging.getLogger(__name__)

#: Nothing, HTML or XML, JSON.
_PAGE_STARTS = (b"", b"<", b"{", b"[")
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


def announced_checksums(status: int, headers: Mapping[str, str]) -> dict[str, bytes]:
    """The digests of the whole file that an answer announces, by algorithm.

    Understands ``Content-MD5`` (where the answer holds the whole file), ``x-goog-hash`` and
    ``x-amz-checksum-sha256``; anything else that stands there is passed over.

    :param status: HTTP status of the answer.
    :param headers: its headers, whose names may be asked for in any case.
    """
    named = [("sha256", headers.get("x-amz-checksum-sha256", ""))]
    named += [("md5", headers.get("Content-MD5", ""))] if status == 200 else []
    for value in headers.get("x-goog-hash", "").split(","):
        algorithm, _, digest = value.strip().partition("=")
        named += [(algorithm, digest)] if algorithm == "md5" else []
    found = {algorithm: _decoded(text) for algorithm, text in named}
    sizes = {"md5": 16, "sha256": 32}
    return {algorithm: digest for algorithm, digest in found.items() if len(digest) == sizes[algorithm]}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return b""


def check_file(path: Path, *, checksums: Mapping[str, bytes], zip_announced: bool) -> None:
    """Check a complete file.

    :param path: the file.
    :param checksums: for each hash algorithm, the expected digest.
    :param zip_announced: whether the server calls it a zip, so that a page of text is wrong.
    :raises AvalaDownloadError: if it is not what was announced, or damaged.
    """
    for algorithm, expected in checksums.items():
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False))
        if actual.digest() != expected:
            raise AvalaDownloadError(
                f"the {algorithm} checksum of the file is not the one the server announced"
            )
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
            damaged = archive.testzip()
    except (NotImplementedError, RuntimeError) as error:
        # Encrypted, or packed in a way this Python cannot read: not our business to unpack it.
        log.warning("The members of the zip cannot be checked: %s", error)
        return
    except Exception as error:  # zipfile lets through whatever the decompressors raise on damaged data
        raise AvalaDownloadError(f"the zip is damaged: {error or type(error).__name__}") from error
    if damaged is not None:
        raise AvalaDownloadError(f"the zip is damaged: the checksum of its member {damaged!r} is wrong")
