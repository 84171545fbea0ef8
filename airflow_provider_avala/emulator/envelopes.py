"""The two documented shapes of everything that is sent: resources, pages, errors.

``current`` follows the API overview and the errors page of api.avala.ai, ``legacy`` the REST guide of
server.avala.ai.
"""

from __future__ import annotations

import base64
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlencode

Json = dict[str, Any]

DOC_URL = "https://docs.avala.ai/api/errors#"
DETAILS = {
    400: "The request is malformed or contains invalid data.",
    401: "Invalid API key.",
    403: "You do not have permission to perform this action.",
    404: "Not found.",
    409: "The request conflicts with the current state of the resource.",
    429: "Request was throttled. Expected available in 1 second.",
    500: "Internal server error.",
    503: "Service temporarily unavailable. Please try again later.",
}


class ApiError(Exception):
    """A refusal, before a dialect gives it its shape.

    :param status: HTTP status in the ``current`` dialect.
    :param detail: the sentence; None for the documented one of that status.
    :param code: machine-readable code of the structured errors.
    :param fields: messages per field, which makes it a validation error.
    :param headers: further headers of the answer.
    :param extra: further keys of the body.
    """

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        code: str | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.extra = dict(extra or {})
        self.status = status
        self.detail = detail or DETAILS.get(status) or f"{HTTPStatus(status).phrase}."
        self.code = code
        self.fields = {name: list(messages) for name, messages in (fields or {}).items()}
        self.headers = dict(headers or {})
        self.label: str | None = None
        super().__init__(self.detail)

    @classmethod
    def invalid(cls, **fields: str) -> ApiError:
        """Build a validation error with one message per field."""
        return cls(400, "Validation failed.", fields={name: [text] for name, text in fields.items()})

    @classmethod
    def missing(cls, label: str) -> ApiError:
        """Build the 404 of a resource; ``legacy`` names its kind."""
        error = cls(404)
        error.label = label
        return error

    @classmethod
    def throttled(cls, seconds: float, headers: Mapping[str, str] | None = None) -> ApiError:
        """Build the documented 429, with Retry-After in whole seconds."""
        wait = max(1, math.ceil(seconds))
        text = f"Request was throttled. Expected available in {wait} second{'' if wait == 1 else 's'}."
        return cls(429, text, headers={**(headers or {}), "Retry-After": str(wait)})


@dataclass(frozen=True)
class Listing:
    """What a list endpoint has to offer: positions, rising with age of the newest, and how to show one.

    :param positions: rising and unique; a cursor is one of them.
    :param render: index into ``positions`` -> the resource.
    """

    positions: Sequence[int]
    render: Callable[[int], Json]


@dataclass(frozen=True)
class PageRequest:
    """What the client asked for.

    :param url: absolute URL of the list, without its query.
    :param query: all parameters, so that ``next`` keeps the filters.
    :param limit: page size, already bounded.
    """

    url: str
    query: Mapping[str, str]
    limit: int

    def link(self, **changes: str) -> str:
        """Build the URL of another page."""
        kept = {name: value for name, value in self.query.items() if name not in ("cursor", "page")}
        return f"{self.url}?{urlencode({**kept, **changes})}"


class Dialect:
    """The ``current`` shapes; ``legacy`` overrides what differs."""

    name = "current"
    id_key = "uid"
    trailing_slash = True
    export_words: Mapping[str, str] = {}

    def resource(self, fields: Mapping[str, Any]) -> Json:
        """Show a stored record, whose id is always ``uid`` inside."""
        return dict(fields)

    def error(self, error: ApiError) -> tuple[int, Json]:
        """Give a refusal its status and body."""
        if error.fields:
            return error.status, {"detail": error.fields}
        body: Json = {"detail": error.detail, **error.extra}
        if error.code:
            body.update(code=error.code, doc_url=DOC_URL + error.code)
        return error.status, body

    def cursor_page(self, listing: Listing, request: PageRequest) -> Json:
        """Show one page, newest first, from an opaque cursor."""
        positions, cursor = listing.positions, request.query.get("cursor")
        newer = False
        end = len(positions)
        if cursor:
            position, newer = self._decode(cursor)
            end = bisect_left(positions, position)
            if newer:
                end = min(len(positions), bisect_right(positions, position) + request.limit)
        start = max(0, end - request.limit)
        if newer:
            start = max(start, bisect_right(positions, position))
        rows = [listing.render(index) for index in reversed(range(start, end))]
        older_from = positions[start] if rows and start > 0 else None
        newer_from = positions[end - 1] if rows and end < len(positions) else None
        return self._page(rows, len(positions), older_from, newer_from, request)

    def numbered_page(self, listing: Listing, request: PageRequest) -> Json:
        """Show one page by its number; a cursor is ignored here, as on the real service."""
        count = len(listing.positions)
        last = max(1, math.ceil(count / request.limit))
        asked = request.query.get("page", "1")
        if not asked.isdigit() or not 1 <= int(asked) <= last:
            raise ApiError(404, "Invalid page.")
        page = int(asked)
        newest_first = list(reversed(range(count)))[(page - 1) * request.limit : page * request.limit]
        return {
            "count": count,
            "next": request.link(page=str(page + 1)) if page < last else None,
            "previous": request.link(page=str(page - 1)) if page > 1 else None,
            "results": [listing.render(index) for index in newest_first],
        }

    def _page(
        self, rows: list[Json], total: int, older: int | None, newer: int | None, request: PageRequest
    ) -> Json:
        return {
            "next": None if older is None else request.link(cursor=_encode({"p": older})),
            "previous": None if newer is None else request.link(cursor=_encode({"r": 1, "p": newer})),
            "results": rows,
        }

    def _decode(self, cursor: str) -> tuple[int, bool]:
        try:
            values = parse_qs(base64.b64decode(cursor, validate=True).decode(), strict_parsing=True)
            return int(values["p"][0]), "r" in values
        except (ValueError, KeyError):
            raise ApiError(404, "Invalid cursor") from None


class LegacyDialect(Dialect):
    """The shapes of the older REST guide."""

    name = "legacy"
    id_key = "id"
    trailing_slash = False
    export_words: Mapping[str, str] = {"requested": "pending", "exported": "completed"}
    error_codes: Mapping[int, str] = {
        400: "bad_request",
        401: "unauthorized",
        403: "forbidden",
        404: "not_found",
        405: "method_not_allowed",
        409: "conflict",
        413: "payload_too_large",
        415: "unsupported_media_type",
        429: "rate_limited",
        500: "internal_error",
        503: "service_unavailable",
    }

    def resource(self, fields: Mapping[str, Any]) -> Json:
        """Show a stored record with ``id`` in place of ``uid``."""
        if "uid" not in fields:
            return dict(fields)
        shown = {name: value for name, value in fields.items() if name not in ("uid", "id")}
        return {"id": fields["uid"], **shown}

    def error(self, error: ApiError) -> tuple[int, Json]:
        """Wrap a refusal in ``error{code, message, details}``; validation is 422."""
        message, code, status = error.detail, error.code, error.status
        details = [{"field": name, "message": text} for name, texts in error.fields.items() for text in texts]
        if error.fields and status == 400:
            status, code = 422, "validation_error"
        if error.label:
            message = f"{error.label} not found"
        code = code or self.error_codes.get(status, f"http_{status}")
        return status, {"error": {"code": code, "message": message, "details": details, **error.extra}}

    def numbered_page(self, listing: Listing, request: PageRequest) -> Json:
        """The older guide knows one kind of page only."""
        return self.cursor_page(listing, request)

    def _page(
        self, rows: list[Json], total: int, older: int | None, newer: int | None, request: PageRequest
    ) -> Json:
        cursor = None
        if older is not None:
            cursor = base64.urlsafe_b64encode(json.dumps({"id": str(older)}).encode()).decode()
        return {"items": rows, "total": total, "has_more": older is not None, "cursor": cursor}

    def _decode(self, cursor: str) -> tuple[int, bool]:
        try:
            return int(json.loads(base64.urlsafe_b64decode(cursor))["id"]), False
        except (ValueError, KeyError, TypeError):
            raise ApiError(400, "Invalid cursor") from None


def _encode(values: Mapping[str, int]) -> str:
    return base64.b64encode(urlencode(values).encode()).decode()


DIALECTS: Mapping[str, Dialect] = {"current": Dialect(), "legacy": LegacyDialect()}
