"""Everything that can go wrong when talking to Avala, as one tree.

::

    AvalaError
    ├── AvalaConfigurationError        a connection field or an argument is wrong; nothing was sent
    ├── AvalaApiError                  Avala answered, and the answer is an error
    │   ├── AvalaValidationError         400, 422
    │   ├── AvalaAuthenticationError     401
    │   ├── AvalaPermissionError         403
    │   ├── AvalaNotFoundError           404
    │   ├── AvalaConflictError           409
    │   ├── AvalaPayloadTooLargeError    413
    │   ├── AvalaRateLimitError          429
    │   └── AvalaServerError             5xx
    ├── AvalaConnectionError           no answer; ``sent`` tells whether Avala may have acted
    ├── AvalaProtocolError             an answer that is not Avala's: not JSON, unknown envelope
    ├── AvalaRateLimitTimeout          the key's budget is used up for longer than we may wait
    ├── AvalaFailedError               what was waited for ended without success
    │   └── AvalaExportFailedError       an export did
    ├── AvalaTimeoutError              the resource was not ready in time
    ├── AvalaUploadError               an upload stopped; ``summary`` tells what Avala has accepted
    └── AvalaDownloadError             a download could not be completed or verified

The statuses and what to do about each follow the API's errors page (``/docs/api/errors``).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_avala.api.remedies import remedy
from airflow_provider_avala.api.secrets import MASK, redact, without_signed_urls

if TYPE_CHECKING:
    from airflow_provider_avala.api.models import Export, Resource
    from airflow_provider_avala.api.upload_report import UploadSummary

#: Statuses that no retry can mend: the request, the key or the resource has to change first.
FATAL_STATUSES = frozenset({400, 401, 403, 404, 405, 409, 413, 422})
#: What is said about a request that must not be done twice and may have been done.
LOOK_FIRST = "Avala may or may not have acted on it: look before you repeat it."


class AvalaError(Exception):
    """Base class of every error this package raises on purpose."""

    #: Whether what was asked for may have been done, so that asking once more could do it twice.
    may_double: bool = False


class AvalaConfigurationError(AvalaError, ValueError):
    """A connection field or an argument cannot be used; nothing was sent."""


class AvalaApiError(AvalaError):
    """Avala answered with an error.

    :param status_code: HTTP status of the answer.
    :param method: HTTP method of the request.
    :param path: path of the request, without its query.
    :param code: machine-readable code (``plan_insufficient``, ``scope_required``, ...), if the API gave one.
    :param detail: the API's own words.
    :param field_errors: for each request field that the API refused, its messages.
    :param doc_url: the API's link to its documentation of ``code``.
    :param retry_after: seconds that the server asked to wait before the next attempt.
    :param request_id: the server's id of the request, for Avala's support.
    :param is_avala: whether the answer has one of Avala's own envelopes; a gateway's page has not.
    """

    def __init__(
        self,
        status_code: int,
        *,
        method: str,
        path: str,
        code: str | None = None,
        detail: str = "",
        field_errors: Mapping[str, list[str]] | None = None,
        doc_url: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        is_avala: bool = False,
    ) -> None:
        self.status_code = status_code
        self.method = method
        self.path = path
        self.code = code
        self.detail = detail
        self.field_errors = dict(field_errors or {})
        self.doc_url = doc_url
        self.retry_after = retry_after
        self.request_id = request_id
        self.is_avala = is_avala
        super().__init__(self._message())

    @property
    def is_fatal(self) -> bool:
        """Whether the same request can only fail again."""
        return self.status_code in FATAL_STATUSES

    def _message(self) -> str:
        from airflow_provider_avala.api import policy

        code = f" [{self.code}]" if self.code else ""
        parts = [f"{self.method} {self.path} failed: {self.status_code} {_reason(self.status_code)}{code}"]
        if self.detail:
            parts.append(self.detail)
        if self.field_errors:
            parts.append("; ".join(_about(name, texts) for name, texts in self.field_errors.items()))
        message = ": ".join(part.rstrip(".:") for part in parts) + "."
        advice = remedy(self.status_code, self.code, self.retry_after)
        if self.status_code >= 500 and self.method not in policy.IDEMPOTENT_METHODS:
            advice = f"{LOOK_FIRST} {advice}"
        return " ".join(filter(None, (message, advice, self._references())))

    def _references(self) -> str:
        notes = [f"see {self.doc_url}"] if self.doc_url else []
        notes += [f"request id {self.request_id}"] if self.request_id else []
        return f"({', '.join(notes)})" if notes else ""

    def add_detail(self, text: str) -> None:
        """Say more about this error than the API did.

        :param text: a sentence for people.
        """
        self.detail = f"{self.detail.rstrip('.')}. {text}" if self.detail else text
        self.args = (self._message(),)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self.__dict__), self.args)


class AvalaValidationError(AvalaApiError):
    """400 or 422: the body is wrong, or the resource is in a state that forbids the action."""


class AvalaAuthenticationError(AvalaApiError):
    """401: the key is missing, invalid, expired or revoked."""


class AvalaPermissionError(AvalaApiError):
    """403: the key is valid but may not do this; ``code`` says whether plan or scope is the reason."""


class AvalaNotFoundError(AvalaApiError):
    """404: the resource does not exist, was deleted, or is not visible to the key's owner."""


class AvalaConflictError(AvalaApiError):
    """409: the request contradicts the resource's present state, for example a name that is taken."""


class AvalaPayloadTooLargeError(AvalaApiError):
    """413: the body is above the API's limit, or the storage quota is used up."""


class AvalaRateLimitError(AvalaApiError):
    """429: over the rate limit, or too many uploads or exports at a time."""


class AvalaServerError(AvalaApiError):
    """5xx: a fault on Avala's side or of a gateway before it."""


class AvalaConnectionError(AvalaError):
    """No usable answer arrived.

    :param message: what happened, in words.
    :param sent: whether the request may have reached the server, so that Avala may have acted on it.
    :param still_running: whether the server may yet act on it (it kept silent until the time-out).
    :param transient: whether trying again can help; false for a certificate that is not trusted.
    """

    def __init__(
        self, message: str, *, sent: bool, still_running: bool = False, transient: bool = True
    ) -> None:
        self.sent = sent
        self.still_running = still_running
        self.transient = transient
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self.__dict__), self.args)


class AvalaProtocolError(AvalaError):
    """The answer is not one of Avala's: not JSON, an unknown envelope, a page that repeats itself."""


class AvalaRateLimitTimeout(AvalaError):
    """The key's request budget is used up for longer than the caller is willing to wait."""


class AvalaFailedError(AvalaError):
    """A resource ended in a status other than success.

    :param resource: the resource as last read.
    """

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        kind, reason = type(resource).__name__.lower(), getattr(resource, "error", "")
        super().__init__(
            f"{kind} {resource.id} ended with status {resource.status!r}"
            + (f": {reason}" if reason else "")
            + f". Look at the {kind} in Avala, then create a new one."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.resource,)


class AvalaExportFailedError(AvalaFailedError):
    """An export ended in a status other than success.

    :param export: the export as last read.
    """

    def __init__(self, export: Export) -> None:
        self.export = export
        super().__init__(export)


class AvalaTimeoutError(AvalaError):
    """A resource was not ready before the deadline."""


class AvalaUploadError(AvalaError):
    """An upload stopped before its end.

    :param message: what happened and which lines are concerned.
    :param summary: what Avala has accepted before.
    :param unknown_parts: parts that were sent without an answer, so that Avala may or may not have stored them.
    :param resumable: whether a journal is kept, by which the next attempt can go on with what is missing.
    """

    def __init__(
        self, message: str, *, summary: UploadSummary, unknown_parts: int = 0, resumable: bool = False
    ) -> None:
        self.summary = summary
        self.unknown_parts = unknown_parts
        self.resumable = resumable
        super().__init__(message)

    @property
    def repeatable(self) -> bool:
        """Whether uploading everything once more can store no row twice."""
        return not self.unknown_parts and not self.summary.parts

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self.__dict__), self.args)


class AvalaDownloadError(AvalaError):
    """A download could not be completed, or what arrived is not what was announced.

    :param message: what happened.
    :param fatal: whether the next attempt can only end in the same way.
    """

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        self.fatal = fatal
        super().__init__(message)


def error_from_response(
    status_code: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    method: str,
    path: str,
    retry_after: float | None = None,
    secrets: tuple[str, ...] = (),
) -> AvalaApiError:
    """Turn an error answer into the exception of its status.

    :param status_code: HTTP status, 300 or more.
    :param headers: the answer's headers, in lower or mixed case.
    :param body: the answer's body as it arrived.
    :param method: HTTP method of the request.
    :param path: path of the request; a query is cut off.
    :param retry_after: seconds that the server asked to wait, see :func:`policy.server_hint`.
    :param secrets: what must not show in the error, although the server may repeat it.
    """
    from airflow_provider_avala.api import envelopes

    def shown(text: str) -> str:
        return without_signed_urls(redact(text, *secrets))

    content_type = next((v for k, v in headers.items() if k.lower() == "content-type"), "")
    request_id = next((v for k, v in headers.items() if k.lower() in _REQUEST_ID_HEADERS), None)
    for secret in filter(None, secrets):  # before the words are cut, which might leave a part of one
        body = body.replace(secret.encode(), MASK.encode())
    said = envelopes.read_error(body, content_type)
    return _class_of(status_code)(
        status_code,
        method=method.upper(),
        path=path.partition("?")[0],
        code=said.code and shown(said.code),
        detail=shown(said.detail),
        field_errors={
            shown(name): [shown(text) for text in texts] for name, texts in said.field_errors.items()
        },
        doc_url=said.doc_url and _shown_link(redact(said.doc_url, *secrets)),
        retry_after=retry_after,
        request_id=request_id and shown(request_id),
        is_avala=said.is_avala,
    )


def _shown_link(url: str) -> str:
    page, hash_sign, anchor = url.partition("#")
    return without_signed_urls(page) + hash_sign + without_signed_urls(anchor)


def is_fatal(error: BaseException) -> bool:
    """Whether repeating what raised ``error`` can only fail again (or could double something).

    This is the one place that decides whether an Airflow task uses up its retries.
    """
    if isinstance(error, AvalaError) and error.may_double:
        return True
    if isinstance(error, AvalaApiError):
        return error.is_fatal
    if isinstance(error, AvalaUploadError):
        stuck = not (error.repeatable or error.resumable)
        return stuck or (error.__cause__ is not None and is_fatal(error.__cause__))
    if isinstance(error, AvalaDownloadError):
        return error.fatal
    return isinstance(error, AvalaConfigurationError)


def is_transient(error: BaseException) -> bool:
    """Whether a later poll may well succeed although this one raised ``error``."""
    if isinstance(error, AvalaConnectionError):
        return error.transient
    if isinstance(error, AvalaApiError):
        return error.status_code in (408, 429) or error.status_code >= 500
    return isinstance(error, AvalaProtocolError | AvalaRateLimitTimeout)


_CLASSES: dict[int, type[AvalaApiError]] = {
    400: AvalaValidationError,
    401: AvalaAuthenticationError,
    403: AvalaPermissionError,
    404: AvalaNotFoundError,
    409: AvalaConflictError,
    413: AvalaPayloadTooLargeError,
    422: AvalaValidationError,
    429: AvalaRateLimitError,
}

_REQUEST_ID_HEADERS = frozenset({"x-request-id", "x-correlation-id", "x-amzn-requestid", "cf-ray"})


def _about(name: str, texts: list[str]) -> str:
    from airflow_provider_avala.api import envelopes

    return " ".join(texts if name == envelopes.NO_FIELD else (f"{name}:", *texts))


def _class_of(status_code: int) -> type[AvalaApiError]:
    return _CLASSES.get(status_code, AvalaServerError if status_code >= 500 else AvalaApiError)


def _reason(status_code: int) -> str:
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return "Unknown Status"


def _restore(cls: type[AvalaError], state: dict[str, Any], args: tuple[Any, ...]) -> AvalaError:
    # Keyword-only constructors defeat the default pickling of exceptions.
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = args
    return error
