"""One attempt on the wire: a session that sends exactly once, and words for what can break on the way."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests import exceptions as failures
from urllib3 import exceptions as lower_failures

from airflow_provider_avala import __version__
from airflow_provider_avala.api.errors import AvalaConfigurationError, AvalaConnectionError
from airflow_provider_avala.api.secrets import without_signed_urls
from airflow_provider_avala.api.settings import Settings

_USER_AGENT = f"airflow-provider-avala/{__version__} python/{platform.python_version()}"
_CONNECT_TIMEOUT = 10.0
_NOT_SENT = (failures.ConnectTimeout, failures.ProxyError, failures.SSLError)
_UNUSABLE = (
    failures.InvalidURL,
    failures.InvalidSchema,
    failures.MissingSchema,
    failures.InvalidHeader,
    failures.InvalidProxyURL,
)


class Body(Protocol):
    """A request body of known length that can be sent any number of times."""

    @property
    def content_type(self) -> str:
        """Value of the ``Content-Type`` header."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


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
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": _USER_AGENT, "Accept": "application/json"})
        self._session.proxies.update(settings.proxies)
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
        :raises AvalaConfigurationError: the request cannot be sent at all.
        """
        timeout = self._settings.timeout if timeout is None else timeout
        tracked = _Tracked(body) if body is not None else None
        headers = dict(headers or {})
        if authenticate:
            headers["X-Avala-Api-Key"] = self._settings.api_key
        if body is not None:
            headers["Content-Type"] = body.content_type
        try:
            return self._session.request(
                method,
                url,
                params=params,
                json=json,
                data=tracked,
                headers=headers,
                timeout=(min(timeout, _CONNECT_TIMEOUT), timeout),
                verify=self._settings.verify,
                allow_redirects=False,
                stream=stream,
            )
        except _UNUSABLE as error:
            raise AvalaConfigurationError(
                f"{method} {urlsplit(url).path} cannot be sent: {without_signed_urls(str(error))}"
            ) from None
        except failures.RequestException as error:
            complete = tracked is None or tracked.complete
            raise _connection_error(error, f"{method} {urlsplit(url).path}", timeout, complete) from None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class _Tracked:
    """A body that knows whether it was read to its end: before that, no server can have acted on it."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.complete = False

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
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
            f"{request}: no secure connection: {_cause(error)}{hint}", sent=False, transient=trusted
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
