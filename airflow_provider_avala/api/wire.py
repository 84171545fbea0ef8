"""One attempt on the wire: a session that sends exactly once, and words for what can break on the way."""

from __future__ import annotations

import json as json_module
import logging
import platform
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests import exceptions as failures
from urllib3 import exceptions as lower_failures

from airflow_provider_avala import __version__
from airflow_provider_avala.api.connections import ConnectionsAdapter
from airflow_provider_avala.api.errors import (
    AvalaConfigurationError,
    AvalaConnectionError,
    AvalaProtocolError,
)
from airflow_provider_avala.api.file_slice import FileSlice
from airflow_provider_avala.api.secrets import MASK, redact, without_signed_urls
from airflow_provider_avala.api.settings import Settings, is_loopback

_USER_AGENT = f"airflow-provider-avala/{__version__} python/{platform.python_version()}"
_CONNECT_TIMEOUT = 10.0
#: The most bytes of an answer that are read: of a success, which is an error if it has more, and of an error's words.
MAX_ANSWER, MAX_ERROR_ANSWER = 256 * 1024**2, 1024**2
_CHUNK = 64 * 1024
_NOT_SENT = (failures.ConnectTimeout, failures.ProxyError)
_UNUSABLE = (
    failures.InvalidURL,
    failures.InvalidSchema,
    failures.MissingSchema,
    failures.InvalidHeader,
    failures.InvalidProxyURL,
    lower_failures.LocationValueError,
    UnicodeError,
)
# What a TLS handshake fails with; any other TLS error may come after the request was sent.
_HANDSHAKE = (
    "CERTIFICATE_VERIFY_FAILED",
    "WRONG_VERSION_NUMBER",
    "UNSUPPORTED_PROTOCOL",
    "HANDSHAKE",
    "UNKNOWN_CA",
)
_NO_PROXY: dict[str, Any] = {"http": None, "https": None, "all": None}


class Body(Protocol):
    """A request body of known length that can be sent any number of times."""

    @property
    def content_type(self) -> str:
        """Value of the ``Content-Type`` header; empty to send none."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes | FileSlice]: ...


class _Session(requests.Session):
    """A session that reads the environment once for each origin, and does not look where a redirect points.

    ``requests`` would read all of the environment several times for each request, a fifth of what a request costs.
    What stands in a redirect may not be readable at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._surroundings: dict[tuple[str, ...], Any] = {}

    def merge_environment_settings(self, url: Any, *given: Any, **named: Any) -> Any:
        """Proxies and CA bundle for an origin.

        :param url: absolute URL.
        :param given: what :class:`Wire` gives along, always the same for the same origin.
        :param named: the same, by name.
        """
        origin = urlsplit(url)[:2]
        if origin not in self._surroundings:
            self._surroundings[origin] = super().merge_environment_settings(url, *given, **named)
        return dict(self._surroundings[origin])

    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Yield nothing."""
        return iter(())


class _WithoutQueries(logging.Filter):
    """Takes the query from the URLs that urllib3 logs while we send: the query of a signed URL opens it."""

    sending: ContextVar[bool] = ContextVar("sending", default=False)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, but masked."""
        if self.sending.get() and isinstance(record.args, tuple):
            record.args = tuple(_without_query(arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


def _without_query(text: str) -> str:
    path, mark, _ = text.partition("?")
    return path + (f"?{MASK}" if mark else "")


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


class Wire:
    """A :class:`requests.Session` that neither retries, nor follows redirects, nor adds what nobody asked for.

    :param settings: the connection.
    """

    def __init__(self, settings: Settings) -> None:
        if isinstance(settings.verify, str) and not Path(settings.verify).exists():
            raise AvalaConfigurationError(
                f"extra verify: there is no CA bundle at {settings.verify!r}; give the path of one, or true"
            )
        self._settings = settings
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, ConnectionsAdapter())
        self._session.headers.update({"User-Agent": _USER_AGENT, "Accept": "application/json"})
        # A user's ~/.netrc must not add credentials of its own, nor a load balancer's cookie tie calls together.
        self._session.auth = lambda request: request
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(
        self,
        method: str,
        url: str,
        *,
        authenticate: bool,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request and return whatever is answered.

        :param method: HTTP method.
        :param url: absolute URL.
        :param authenticate: whether to send the API key along.
        :param params: query parameters.
        :param json: body to be sent as JSON.
        :param body: body to be sent as it is, instead of ``json``.
        :param headers: further headers.
        :param timeout: seconds without a byte after which to give up; by default the connection's.
        :param stream: whether to leave the answer's body unread.
        :raises AvalaConnectionError: no complete answer arrived.
        :raises AvalaProtocolError: the answer is longer than anything that Avala says.
        :raises AvalaConfigurationError: the request cannot be sent at all.
        """
        timeout = self._settings.timeout if timeout is None else timeout
        request = f"{method} {urlsplit(url).path}"
        tracked = _Tracked(body) if body is not None and len(body) else None  # of no bytes: sent as no body
        headers = dict(headers or {})
        if authenticate:
            headers["X-Avala-Api-Key"] = self._settings.api_key
        if body is not None and body.content_type:
            headers["Content-Type"] = body.content_type
        elif json is not None:
            headers["Content-Type"] = "application/json"
        sending = _WithoutQueries.sending.set(True)
        try:
            response = self._session.request(
                method,
                url,
                params=params,
                data=tracked if json is None else _encoded(json, request),  # type: ignore[arg-type]  # slices
                headers=headers,
                timeout=(min(timeout, _CONNECT_TIMEOUT), timeout),
                verify=self._settings.verify,
                proxies=self._proxies_for(url),
                allow_redirects=False,
                stream=True,
            )
            if tracked and not tracked.complete and response.status_code < 300:
                response.close()
                raise AvalaConnectionError(
                    f"{request}: the server said {response.status_code} and hung up before it had the whole body",
                    sent=True,
                )
            if not stream:
                _read(response, request)
            return response
        except _UNUSABLE as error:
            reason = redact(without_signed_urls(str(error)), self._settings.api_key)
            raise AvalaConfigurationError(f"{request} cannot be sent: {reason}") from None
        except failures.RequestException as error:
            if "[X509" in str(error):
                raise AvalaConfigurationError(
                    f"extra verify: {self._settings.verify!r} is no CA bundle: {_cause(error)}"
                ) from None
            complete = tracked is None or tracked.complete
            raise _connection_error(error, request, timeout, complete) from None
        finally:
            _WithoutQueries.sending.reset(sending)

    def _proxies_for(self, url: str) -> dict[str, Any]:
        """The connection's own proxies; else those of the environment, but never between this machine and itself."""
        own = dict(self._settings.proxies)
        if own:
            every = {"http": own["all"], "https": own["all"]} if "all" in own else {}
            return {**every, **own}
        return dict(_NO_PROXY) if is_loopback(urlsplit(url).hostname or "") else {}

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _read(response: requests.Response, request: str) -> None:
    """Read the body, decoded, as far as it may be kept in memory: a few packed bytes can stand for gigabytes."""
    status, chunks, left = response.status_code, [], MAX_ANSWER
    if status < 200:
        response.close()  # what follows on this connection would be taken for the answer to the next request
        raise AvalaConnectionError(f"{request}: the server said {status} and no answer to it", sent=True)
    if status >= 300:
        left = MAX_ERROR_ANSWER
    for chunk in response.iter_content(_CHUNK):
        chunks.append(chunk[:left])
        left -= len(chunk)
        if left < 0:
            response.close()
            if status < 300:
                raise AvalaProtocolError(
                    f"{request}: the answer has more than {MAX_ANSWER} bytes; ask for less at a time"
                )
            break
    response._content = b"".join(chunks)  # as Response.content does, which knows no bound


def _encoded(json: Any, request: str) -> bytes:
    try:
        return json_module.dumps(json, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise AvalaConfigurationError(
            f"json: the body of {request} cannot be written as JSON: {error}"
        ) from None


class _Tracked:
    """A body that knows whether it was read to its end: before that, no server can have acted on it."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.complete = False

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes | FileSlice]:
        yield from self._body
        self.complete = True


def _connection_error(
    error: failures.RequestException, request: str, timeout: float, complete: bool
) -> AvalaConnectionError:
    """Say what happened, and whether the server may have acted on the request."""
    if isinstance(error, failures.SSLError):
        trusted = "CERTIFICATE_VERIFY_FAILED" not in str(error)
        hint = (
            "" if trusted else "; set the extra verify to the path of your CA bundle if it is a private one"
        )
        return AvalaConnectionError(
            f"{request}: no secure connection: {_cause(error)}{hint}",
            sent=complete and not any(sign in str(error) for sign in _HANDSHAKE),
            transient=trusted,
        )
    if isinstance(error, _NOT_SENT) or _never_connected(error):
        return AvalaConnectionError(f"{request}: no connection: {_cause(error)}", sent=False)
    if isinstance(error, failures.ReadTimeout):
        return AvalaConnectionError(
            f"{request}: no answer within {timeout:g} s", sent=complete, still_running=complete
        )
    if isinstance(error, failures.ChunkedEncodingError | failures.ContentDecodingError):
        return AvalaConnectionError(f"{request}: the answer broke off: {_cause(error)}", sent=True)
    return AvalaConnectionError(f"{request}: the connection broke: {_cause(error)}", sent=complete)


def _never_connected(error: failures.RequestException) -> bool:
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    return isinstance(reason, lower_failures.NewConnectionError | lower_failures.ConnectTimeoutError)


def _cause(error: BaseException) -> str:
    """The innermost reason: what lies around it repeats the URL, which may be signed."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in reversed(error.args) if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            return without_signed_urls(str(error)) or type(error).__name__
        error = inner
