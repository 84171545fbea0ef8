"""What an answer to a (resumed) download means: pure decisions, after RFC 9110 on range requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

# No file has more bytes than 18 digits can tell, and Python reads no number of more than 4,300.
_LENGTH = r"[0-9]{1,18}"
_CONTENT_RANGE = re.compile(rf"bytes ({_LENGTH})-({_LENGTH})/({_LENGTH}|\*)$")
_PAGES = (
    "text/html",
    "application/xhtml+xml",
    "application/json",
    "application/problem+json",
    "application/xml",
)


class Action(Enum):
    """What to do with an answer."""

    APPEND = "its body continues what we have"
    REWRITE = "its body is the whole file"
    RESTART = "what we have is of no use: ask for the whole file"
    REFRESH = "the address is not valid any more: get another one"
    RETRY = "ask again later"
    FAIL = "asking again does not help"


@dataclass(frozen=True)
class Judgement:
    """What an answer means.

    :param action: what to do.
    :param reason: why, for messages.
    :param total: bytes that the whole file must have, if announced.
    :param etag: strong ETag of the content, if it has one.
    """

    action: Action
    reason: str = ""
    total: int | None = None
    etag: str | None = None


def judge(
    status: int,
    headers: Mapping[str, str],
    *,
    have: int = 0,
    etag: str | None = None,
    total: int | None = None,
    zip_announced: bool = False,
) -> Judgement:
    """Decide what an answer means.

    :param status: HTTP status of the answer, not a redirect.
    :param headers: its headers, whose names may be asked for in any case.
    :param have: bytes we have; more than 0 only if the rest of them was asked for with ``If-Range``.
    :param etag: the ETag that was given there.
    :param total: what the whole file's length was said to be before.
    :param zip_announced: whether anything else than a zip is wrong.
    """
    if status in (200, 206):
        if problem := _unusable(headers, zip_announced):
            return Judgement(Action.FAIL, problem)
        if status == 200:
            return Judgement(Action.REWRITE, "", _length(headers), strong_etag(headers))
        return _judge_range(headers, have, etag, total)
    if status == 416 and have:
        return Judgement(Action.RESTART, "the server has no such range")
    if status in (408, 429) or status >= 500:
        return Judgement(Action.RETRY, f"the server answered {status}")
    if 400 <= status < 500:
        return Judgement(Action.REFRESH, f"the server answered {status}")
    return Judgement(Action.FAIL, f"the server answered {status}, which is no file")


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """The ETag that tells apart any two contents, byte by byte; None if there is none, or only a weak one.

    :param headers: an answer's headers.
    """
    return checked_etag(headers.get("ETag", "").strip())


def checked_etag(etag: str) -> str | None:
    """The ETag if it is a strong one that can be sent back in a header, else None.

    :param etag: the text.
    """
    is_strong = len(etag) > 2 and etag.startswith('"') and etag.endswith('"')
    return etag if is_strong and etag.isascii() and etag.isprintable() else None


def is_zip_name(name: str) -> bool:
    """Whether a file name or the path of a URL promises a zip.

    :param name: the name.
    """
    return name.lower().endswith(".zip")


def _judge_range(headers: Mapping[str, str], have: int, etag: str | None, total: int | None) -> Judgement:
    if not have:
        return Judgement(Action.FAIL, "the server sent a part of the file although all of it was asked for")
    found = _CONTENT_RANGE.match(headers.get("Content-Range", "").strip())
    if not found:
        return Judgement(Action.RESTART, "the server did not say which part of the file it sent")
    first, last = int(found[1]), int(found[2])
    size = total if found[3] == "*" else int(found[3])
    if first != have or last < first or (size is not None and last >= size):
        return Judgement(Action.RESTART, "the server sent another part of the file than was asked for")
    if headers.get("ETag", etag) != etag or (total is not None and size != total):
        return Judgement(Action.RESTART, "the file was changed on the server")
    return Judgement(Action.APPEND, "", size, etag)


def _unusable(headers: Mapping[str, str], zip_announced: bool) -> str | None:
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        return f"the server encoded the file ({encoding}) although that was not asked for"
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in _PAGES if zip_announced else kind in _PAGES[:2]:
        return f"the server sent a page ({kind}) instead of the file"
    return None


def _length(headers: Mapping[str, str]) -> int | None:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return None
    text = headers.get("Content-Length", "").strip()
    return int(text) if re.fullmatch(_LENGTH, text) else None
