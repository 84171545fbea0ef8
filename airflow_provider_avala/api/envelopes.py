"""Reading what Avala sends: pages and errors, recognised by their shape.

Two generations of the API are documented and one backend serves both, so nothing here asks which one was configured.
A shape that is none of the documented ones is an error, never an empty list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_MAX_WORDS = 500


class UnknownEnvelopeError(ValueError):
    """The payload has none of the documented shapes."""


@dataclass(frozen=True)
class Page:
    """One page of a list.

    :param items: the resources on it.
    :param next_url: where the next page is, if the API names it by address.
    :param cursor: how to ask for the next page, if the API names it by cursor.
    """

    items: list[dict[str, Any]]
    next_url: str | None = None
    cursor: str | None = None


@dataclass(frozen=True)
class ErrorWords:
    """What an error answer says, whatever its envelope."""

    detail: str = ""
    code: str | None = None
    doc_url: str | None = None
    field_errors: dict[str, list[str]] = field(default_factory=dict)


def read_page(payload: Any) -> Page:
    """Recognise a page: ``results``/``next``, ``items``/``has_more``/``cursor``, or a bare list.

    :param payload: decoded JSON.
    :raises UnknownEnvelopeError: if it is none of them, or contradicts itself.
    """
    if isinstance(payload, list):
        return Page(_resources(payload))
    if isinstance(payload, Mapping) and isinstance(payload.get("results"), list):
        return Page(_resources(payload["results"]), next_url=_text_or_none(payload, "next"))
    if isinstance(payload, Mapping) and isinstance(payload.get("items"), list):
        cursor = _text_or_none(payload, "cursor")
        has_more = payload.get("has_more", cursor is not None)
        if not isinstance(has_more, bool):
            raise UnknownEnvelopeError(f"'has_more' is {has_more!r}, expected true or false")
        if has_more and cursor is None:
            raise UnknownEnvelopeError("'has_more' is true but there is no 'cursor' to ask for the rest")
        return Page(_resources(payload["items"]), cursor=cursor if has_more else None)
    raise UnknownEnvelopeError(f"expected a list with 'results' or 'items', got {describe(payload)}")


def describe(payload: Any) -> str:
    """Say what a payload looks like, without its values.

    :param payload: decoded JSON.
    """
    if isinstance(payload, Mapping):
        keys = sorted(str(key) for key in payload)
        return f"an object with the keys {keys[:12]}" if keys else "an empty object"
    if payload is None:
        return "nothing"
    return f"a {type(payload).__name__}"


def _resources(values: list[Any]) -> list[dict[str, Any]]:
    for value in values:
        if not isinstance(value, dict):
            raise UnknownEnvelopeError(f"a list element is {describe(value)}, expected an object")
    return values


def _text_or_none(payload: Mapping[str, Any], key: str) -> str | None:
    value = payload.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise UnknownEnvelopeError(f"{key!r} is {describe(value)}, expected text or null")
    return value or None


def read_error(body: bytes, content_type: str = "") -> ErrorWords:
    """Read an error answer of any documented envelope; never fails.

    :param body: the answer's body as it arrived.
    :param content_type: its ``Content-Type`` header.
    """
    if not body.strip():
        return ErrorWords("the answer has no body")
    text = body.decode("utf-8", errors="replace")
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        return ErrorWords(_words_of_page(text, content_type))
    if isinstance(payload, Mapping) and "error" in payload:
        return _read_error_object(payload["error"])
    if isinstance(payload, Mapping) and "detail" in payload:
        return _read_detail(payload)
    if isinstance(payload, Mapping | list):
        return ErrorWords(field_errors=field_messages(payload))
    return ErrorWords(_shortened(str(payload)))


def _read_error_object(error: Any) -> ErrorWords:
    if not isinstance(error, Mapping):
        return ErrorWords(_shortened(str(error)))
    return ErrorWords(
        detail=_shortened(str(error.get("message") or "")),
        code=_slug(error.get("code")),
        doc_url=_slug(error.get("doc_url")),
        field_errors=field_messages(error.get("details")),
    )


def _read_detail(payload: Mapping[str, Any]) -> ErrorWords:
    detail = payload["detail"]
    words, fields = ("", field_messages(detail)) if isinstance(detail, Mapping | list) else (str(detail), {})
    if isinstance(payload.get("limit"), int) or isinstance(payload.get("used"), int):
        words += f" (used {payload.get('used', '?')} of {payload.get('limit', '?')} bytes)"
    return ErrorWords(_shortened(words), _slug(payload.get("code")), _slug(payload.get("doc_url")), fields)


def field_messages(errors: Any) -> dict[str, list[str]]:
    """Flatten validation errors of any documented shape to a list of messages per field.

    Understands ``{"name": ["..."]}``, nested objects and lists, ``[{"field": ..., "message": ...}]``,
    ``[{"loc": [...], "msg": ...}]`` and plain lists of texts.

    :param errors: the part of the answer that holds the errors.
    """
    messages: dict[str, list[str]] = {}
    for name, text in _walk(errors, ""):
        messages.setdefault(name or "non_field_errors", []).append(_shortened(text))
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
    text = " ".join(text.split())
    return text if len(text) <= _MAX_WORDS else text[: _MAX_WORDS - 1] + "…"
