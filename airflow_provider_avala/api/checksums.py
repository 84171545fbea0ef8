"""The checksums that a server announces with a file, and whether the file has them.

An ETag is none of them: it tells contents apart, but says nothing of what is in them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from airflow_provider_avala.api.errors import AvalaDownloadError

_SIZES = {"crc32": 4, "md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
#: Headers whose value is the digest of the body of a whole answer.
_BARE = {
    "md5": "Content-MD5",
    "crc32": "x-amz-checksum-crc32",
    "sha1": "x-amz-checksum-sha1",
    "sha256": "x-amz-checksum-sha256",
}
#: Headers that hold a list of ``algorithm=digest``.
_LISTS = ("Digest", "Content-Digest", "Repr-Digest")
_CHUNK = 1024 * 1024


def announced(status: int, headers: Mapping[str, str]) -> dict[str, str]:
    """The digests of the whole file that an answer announces, in hexadecimal digits by algorithm.

    Of answers that hold the whole file it understands ``Content-MD5``, ``x-amz-checksum-*`` (CRC-32, SHA-1, SHA-256),
    ``Digest`` (RFC 3230), ``Content-Digest`` and ``Repr-Digest`` (RFC 9530), and ``x-goog-hash`` of any; what cannot
    be understood is passed over.

    :param status: HTTP status of the answer.
    :param headers: its headers, whose names may be asked for in any case.
    """
    named = list(_listed(headers.get("x-goog-hash", "")))
    if status == 200:
        named += [(algorithm, headers.get(name, "")) for algorithm, name in _BARE.items()]
        named += [pair for name in _LISTS for pair in _listed(headers.get(name, ""))]
    found = {algorithm: _decoded(text) for algorithm, text in named}
    return {name: digest.hex() for name, digest in found.items() if len(digest) == _SIZES.get(name)}


def is_digest(algorithm: str, digest: str) -> bool:
    """Whether this is what :func:`announced` can have found.

    :param algorithm: its name.
    :param digest: in hexadecimal digits.
    """
    return len(bytes.fromhex(digest)) == _SIZES.get(algorithm)


def _listed(value: str) -> Iterator[tuple[str, str]]:
    for pair in value.split(","):
        algorithm, _, digest = pair.strip().partition("=")
        # RFC 9530 writes bytes between colons; x-goog-hash and Digest write them bare
        yield algorithm.strip().lower().replace("sha-", "sha"), digest.partition(";")[0].strip().strip(":")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def check(path: Path, checksums: Mapping[str, str]) -> None:
    """Compare a complete file with what was announced.

    :param path: the file.
    :param checksums: see :func:`announced`.
    :raises AvalaDownloadError: naming the checksum that differs.
    """
    for algorithm, expected in checksums.items():
        if _digest(path, algorithm) != expected:
            raise AvalaDownloadError(
                f"the {algorithm} checksum of the file is not the one the server announced"
            )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        if algorithm != "crc32":
            return hashlib.file_digest(
                file, partial(hashlib.new, algorithm, usedforsecurity=False)
            ).hexdigest()
        value = 0
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
        return value.to_bytes(4, "big").hex()
