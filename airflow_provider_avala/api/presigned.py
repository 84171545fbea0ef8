"""Where the bytes of one file go: the answers to a request for a target, in each of their forms, checked.

Follows the API's pages on managed uploads: a form POST, or under version 2 of the protocol a session that takes one PUT
or several parts, or that has everything already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from airflow_provider_avala.api.envelopes import describe
from airflow_provider_avala.api.errors import AvalaError, AvalaProtocolError
from airflow_provider_avala.api.settings import is_loopback, origin

MIB = 1024 * 1024
PART_SIZES = (5 * MIB, 128 * MIB)
MOST_PARTS = 10_000


class AvalaStorageError(AvalaError):
    """The storage that Avala pointed to did not take a file.

    :param message: what happened, without the signed address.
    :param status_code: HTTP status of its answer, None if there was none.
    :param retry_after: seconds that it asked to wait.
    :param transient: whether trying again can help, where there is no status.
    """

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        retry_after: float | None = None,
        transient: bool = True,
    ) -> None:
        self.status_code, self.retry_after, self.transient = status_code, retry_after, transient
        super().__init__(message)


@dataclass(frozen=True)
class Target:
    """Where one file goes.

    :param method: ``POST``, ``PUT`` or ``MULTIPART``.
    :param upload_uid: id of the session; empty for a form, which has none.
    :param complete: whether the session has the file already.
    :param url: where to send it; signed, so it must never be logged or stored.
    :param fields: of the form.
    :param headers: of the PUT.
    :param part_size: bytes of each part but the last.
    :param part_count: how many parts there are.
    :param uploaded: the parts that need not be sent any more.
    """

    method: str
    upload_uid: str = ""
    complete: bool = False
    url: str = field(default="", repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    part_size: int = 0
    part_count: int = 0
    uploaded: frozenset[int] = frozenset()

    @classmethod
    def read(cls, answer: Any, size: int) -> Target:
        """Read the answer to a request for a target.

        :param answer: decoded JSON.
        :param size: length of the file in bytes.
        :raises AvalaProtocolError: if it is none of the documented forms.
        """
        if not isinstance(answer, Mapping):
            raise AvalaProtocolError(f"expected a target for an upload, got {describe(answer)}")
        method = answer.get("method") or "POST"
        if method == "POST":
            return cls("POST", url=_text(answer, "url"), fields=_texts(answer, "fields"))
        if method not in ("PUT", "MULTIPART"):
            raise AvalaProtocolError(f"Avala asks for an upload by {str(method)[:20]!r}, which is unknown")
        session = _session(answer)
        if answer.get("complete") is True:
            return cls(method, session, complete=True)
        if method == "PUT":
            return cls("PUT", session, url=_text(answer, "url"), headers=_texts(answer, "headers"))
        part_size, part_count = answer.get("part_size"), answer.get("part_count")
        if (
            type(part_size) is not int
            or type(part_count) is not int
            or not _fits(part_size, part_count, size)
        ):
            raise AvalaProtocolError(
                f"Avala wants {size} bytes in {_number(part_count)} parts of {_number(part_size)} bytes,"
                " which does not fit"
            )
        target = cls("MULTIPART", session, part_size=part_size, part_count=part_count)
        return cls(
            "MULTIPART",
            session,
            part_size=part_size,
            part_count=part_count,
            uploaded=frozenset(
                number
                for number, length in _parts(answer.get("uploaded_parts"))
                if 1 <= number <= part_count and length == target.length_of(number, size)
            ),
        )

    def length_of(self, number: int, size: int) -> int:
        """Bytes of one part.

        :param number: of the part, from 1.
        :param size: of the file.
        """
        return min(self.part_size, size - (number - 1) * self.part_size)


def read_part(answer: Any, number: int) -> tuple[str, dict[str, str]]:
    """Read where one part goes: URL and headers.

    :param answer: decoded JSON.
    :param number: of the part that was asked for.
    :raises AvalaProtocolError: if it says something else.
    """
    parts = answer.get("parts") if isinstance(answer, Mapping) else None
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], Mapping):
        raise AvalaProtocolError(f"expected the target of part {number}, got {describe(answer)}")
    if parts[0].get("part_number") != number:
        raise AvalaProtocolError(f"asked for part {number}, Avala answered about another one")
    return _text(parts[0], "url"), _texts(parts[0], "headers")


def check_storage_url(url: str, *, allow_insecure_http: bool) -> None:
    """Check that bytes may be sent to a URL: https, or plain HTTP to this machine; no credentials, no fragment.

    :param url: what the server handed out; it does not appear in the error, because it is signed.
    :param allow_insecure_http: whether plain HTTP to another machine is allowed.
    :raises AvalaProtocolError: if they may not.
    """
    try:
        scheme, host, _ = origin(url)
        parts = urlsplit(url)
    except ValueError:
        raise AvalaProtocolError(
            "the address that Avala gave for an upload is no http or https URL"
        ) from None
    problem = None
    if scheme == "http" and not (is_loopback(host) or allow_insecure_http):
        problem = "is plain HTTP, not https"
    elif "@" in parts.netloc:
        problem = "holds credentials"
    elif "#" in url:
        problem = "has a fragment"
    if problem:
        raise AvalaProtocolError(
            f"the address on {host} that Avala gave for an upload {problem}; nothing was sent"
        )


def _session(answer: Mapping[str, Any]) -> str:
    try:
        return str(UUID(str(answer.get("upload_uid"))))
    except ValueError:
        raise AvalaProtocolError("the target of an upload has no upload_uid that is a UUID") from None


def _number(value: Any) -> str:
    return str(value)[:20] if isinstance(value, int) else describe(value)


def _text(answer: Mapping[str, Any], key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise AvalaProtocolError(f"the target of an upload has no {key!r}")
    return value


def _texts(answer: Mapping[str, Any], key: str) -> dict[str, str]:
    values = answer.get(key)
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(each, str | int) for each in values.values()):
        raise AvalaProtocolError(f"the target of an upload has {key!r} that are no texts")
    return {str(name): str(value) for name, value in values.items()}


def _fits(part_size: int, part_count: int, size: int) -> bool:
    return (
        PART_SIZES[0] <= part_size <= PART_SIZES[1]
        and 1 <= part_count <= MOST_PARTS
        and part_count == -(-size // part_size)
    )


def _parts(value: Any) -> list[tuple[int, int]]:
    parts = [part for part in value or () if isinstance(part, Mapping)] if isinstance(value, list) else []
    pairs = [(part.get("part_number"), part.get("size")) for part in parts]
    return [(number, size) for number, size in pairs if type(number) is int and type(size) is int]
