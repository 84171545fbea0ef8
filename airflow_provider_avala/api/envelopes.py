"""Reading what Avala sends: pages and errors, recognised by their shape.

Two generations of the API are documented and one backend serves both, so nothing here asks which one was configured.
A shape that is none of the documented ones is an error, never an empty list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

_MAX_WORDS = 500
_MAX_MESSAGES = 50
_MAX_ERROR_BODY = 10 * 1024 * 1024
#: The key under which messages about no particular field are kept, as the API itself does.
NO_FIELD = "non_field_errors"


class UnknownEnvelopeError(ValueError):
    """The payload has none of the documented shapes."""


@dataclass(frozen=True)
class Page:
    """One page of a list.

    :param items: the resources on it.
    :param next_url: where the next page is, if the API names it by address.
    :param cursor: how to ask for the next page, if the API names it by cursor.
    """

    items: list[dict[str, Any]] = field(repr=False)
    next_url: str | None = field(default=None, repr=False)
    cursor: str | None = None


@dataclass(frozen=True)
class ErrorWords:
    """What an error answer says, whatever its envelope.

    :param detail: its words for people.
    :param code: its word for programs.
    :param doc_url: its link to the documentation of ``code``.
    :param field_errors: its messages for each field of the request.
    :param is_avala: whether the envelope is one of Avala's, so that no gateway or foreign server said it.
    """

    detail: str = ""
    code: str | None = None
    doc_url: str | None = None
    field_errors: dict[str, list[str]] = field(default_factory=dict)
    is_avala: bool = False


def read_page(payload: Any) -> Page:
    """Recognise a page: ``results``/``next``, ``items``/``has_more``/``cursor``, or a bare list.

    :param payload: decoded JSON.
    :raises UnknownEnvelopeError: if it is none of them, or contradicts itself.
    """
    if isinstance(payload, list):
        return Page(_resources(payload))
    lists = (
        [payload[key] for key in ("results", "items") if isinstance(payload.get(key), list)]
        if (isinstance(payload, Mapping))
        else []
    )
    if not lists:
        raise UnknownEnvelopeError(f"expected a list with 'results' or 'items', got {describe(payload)}")
    items = _resources(lists[0])
    if next_url := _next_url(payload):
        return Page(items, next_url=next_url)
    return Page(items, cursor=_next_cursor(payload, len(items)))


def _next_url(payload: Mapping[str, Any]) -> str | None:
    value = payload.get("next")
    if value is not None and not isinstance(value, str):
        raise UnknownEnvelopeError(f"'next' is {describe(value)}, expected text or null")
    return value or None


def _next_cursor(payload: Mapping[str, Any], size: int) -> str | None:
    cursor = payload.get("cursor")
    if cursor is not None and (isinstance(cursor, bool) or not isinstance(cursor, str | int)):
        raise UnknownEnvelopeError(f"'cursor' is {describe(cursor)}, expected text or null")
    has_more = payload.get("has_more", cursor not in (None, "") and "next" not in payload)
    if not isinstance(has_more, bool):
        raise UnknownEnvelopeError(f"'has_more' is {describe(has_more)}, expected true or false")
    if has_more and cursor in (None, ""):
        raise UnknownEnvelopeError("'has_more' is true but there is no 'cursor' to ask for the rest")
    total = payload.get("total", payload.get("count"))
    if not {"next", "cursor", "has_more"} & payload.keys() and isinstance(total, int) and total > size:
        raise UnknownEnvelopeError(
            f"it says that there are {total}, holds {size}, and names no way to the rest"
        )
    return str(cursor) if has_more else None


def describe(payload: Any) -> str:
    """Say what a payload looks like, without its values.

    :param payload: decoded JSON.
    """
    if isinstance(payload, Mapping):
        keys = sorted(_shortened(str(key))[:60] for key in payload)
        return f"an object with the keys {keys[:12]}" if keys else "an empty object"
    if payload is None:
        return "nothing"
    return f"a {type(payload).__name__}"


def _resources(values: list[Any]) -> list[dict[str, Any]]:
    for value in values:
        if not isinstance(value, dict):
            raise UnknownEnvelopeError(f"a list element is {describe(value)}, expected an object")
    return values


def read_error(body: bytes, content_type: str = "") -> ErrorWords:
    """Read an error answer of any documented envelope; never fails.

    :param body: the answer's body as it arrived.
    :param content_type: its ``Content-Type`` header.
    """
    try:
        return _read_error(body[:_MAX_ERROR_BODY], content_type)
    except RecursionError:
        return ErrorWords("the answer is nested too deeply to be read")


def _read_error(body: bytes, content_type: str) -> ErrorWords:
    if not body.strip():
        return ErrorWords("the answer has no body")
    text = body.decode("utf-8", errors="replace")
    try:
        payload = _decoded(body, text)
    except (ValueError, RecursionError):
        return ErrorWords(_words_of_page(text, content_type))
    if isinstance(payload, Mapping):
        return _read_object(payload)
    if isinstance(payload, list):
        return ErrorWords(field_errors=field_messages(payload), is_avala=True)
    return ErrorWords("" if payload is None else _shortened(str(payload)))


def _decoded(body: bytes, text: str) -> Any:
    try:
        return json.loads(body)  # finds out by itself whether it is UTF-8, 16 or 32, with or without a mark
    except UnicodeDecodeError:
        return json.loads(text)


def _read_object(payload: Mapping[str, Any]) -> ErrorWords:
    if payload.get("detail") is not None:
        return _read_detail(payload)
    if payload.get("error") is not None:
        return _read_error_object(payload["error"])
    if {"detail", "error"} & payload.keys():
        return ErrorWords()
    if isinstance(payload.get("message"), str):
        return _read_error_object(payload, is_avala=False)
    says_fields = bool(payload) and any(isinstance(value, list | Mapping) for value in payload.values())
    return ErrorWords(field_errors=field_messages(payload), is_avala=says_fields)


def _read_error_object(error: Any, *, is_avala: bool = True) -> ErrorWords:
    if not isinstance(error, Mapping):
        return ErrorWords(_shortened(str(error)))
    return ErrorWords(
        detail=_shortened(str(error.get("message") or "")),
        code=_slug(error.get("code")),
        doc_url=_slug(error.get("doc_url")),
        field_errors=field_messages(error.get("details")),
        is_avala=is_avala,
    )


def _read_detail(payload: Mapping[str, Any]) -> ErrorWords:
    detail = payload["detail"]
    if isinstance(detail, Mapping) and isinstance(detail.get("message"), str):
        return _read_error_object(detail)
    words, fields = ("", field_messages(detail)) if isinstance(detail, Mapping | list) else (str(detail), {})
    quota = [f"{name} {payload[name]}" for name in ("limit", "used") if isinstance(payload.get(name), int)]
    words += f" ({', '.join(quota)})" if quota else ""
    return ErrorWords(
        _shortened(words), _slug(payload.get("code")), _slug(payload.get("doc_url")), fields, True
    )


def field_messages(errors: Any) -> dict[str, list[str]]:
    """Flatten validation errors of any documented shape to a list of messages per field.

    Understands ``{"name": ["..."]}``, nested objects and lists, ``[{"field": ..., "message": ...}]``,
    ``[{"loc": [...], "msg": ...}]`` and plain lists of texts.

    :param errors: the part of the answer that holds the errors.
    """
    messages: dict[str, list[str]] = {}
    found = list(islice(_walk(errors, ""), _MAX_MESSAGES + 1))
    for name, text in found[:_MAX_MESSAGES]:
        messages.setdefault(_shortened(name) or NO_FIELD, []).append(_shortened(text))
    if len(found) > _MAX_MESSAGES:
        messages.setdefault(NO_FIELD, []).append("and more.")
    return messages


def _walk(value: Any, where: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if value is None or depth > 8:
        return
    if isinstance(value, Mapping):
        text = next((value[key] for key in ("message", "msg") if isinstance(value.get(key), str)), None)
        if text is not None:
            yield _named(value, where), text
            return
        for key, inner in value.items():
            yield from _walk(inner, f"{where}.{key}" if where else str(key), depth + 1)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            nested = isinstance(inner, Mapping) and where and not {"message", "msg"} & inner.keys()
            yield from _walk(inner, f"{where}.{position}" if nested else where, depth + 1)
    else:
        yield where, str(value)


def _named(error: Mapping[str, Any], where: str) -> str:
    name = error.get("field", error.get("loc", error.get("path")))
    if isinstance(name, list):
        name = ".".join(str(part) for part in name if part != "body")
    return ".".join(part for part in (where, str(name or "")) if part)


def _words_of_page(text: str, content_type: str) -> str:
    """Say in one line what a gateway's HTML or plain-text page says."""
    if "html" not in content_type.lower() and "<html" not in text[:1000].lower():
        return _shortened(text)
    title = re.search(r"<title[^>]*>(.*?)</title>", text[:20_000], re.IGNORECASE | re.DOTALL)
    says = f" titled {_shortened(title[1])!r}" if title else ""
    return f"an HTML page{says} instead of JSON, probably of a gateway"


def _slug(value: Any) -> str | None:
    return _shortened(str(value)) if value else None


def _shortened(text: str) -> str:
    """Put a text on one line of bounded length, without anything that a terminal or a database takes amiss."""
    text = "".join(char if char.isprintable() else " " for char in text[: 4 * _MAX_WORDS])
    text = " ".join(text.split())
    return text if len(text) <= _MAX_WORDS else text[: _MAX_WORDS - 1] + "…"
