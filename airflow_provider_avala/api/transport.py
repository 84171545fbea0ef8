"""Requests to one Avala API: authenticated, within the key's limits, retried where that is right.

The key leaves this module for the base URL's own scheme, host and port, and for nowhere else.
"""

from __future__ import annotations

import json as json_module
import logging
import random
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests

from airflow_provider_avala.api import policy
from airflow_provider_avala.api.budget import Budget
from airflow_provider_avala.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_avala.api.dialects import CURRENT, LEGACY
from airflow_provider_avala.api.errors import (
    LOOK_FIRST,
    AvalaApiError,
    AvalaConfigurationError,
    AvalaConnectionError,
    AvalaProtocolError,
    AvalaRateLimitTimeout,
    error_from_response,
)
from airflow_provider_avala.api.presigned import check_storage_url
from airflow_provider_avala.api.secrets import redact, without_signed_urls
from airflow_provider_avala.api.settings import Settings, is_loopback, origin
from airflow_provider_avala.api.wire import Body, Wire

log = logging.getLogger(__name__)

#: The longest that one request waits for its turn, in seconds.
SLOT_TIMEOUT = 1800.0
#: Redirects that say "ask there", and not "what you asked for is done, look there".
_NOT_PROCESSED = (301, 302, 307, 308)
#: How ``http.client`` writes the version of an answer.
_HTTP_1_0 = 10


@dataclass(frozen=True)
class Answer:
    """A successful answer.

    :param status: HTTP status, below 300.
    :param headers: its headers; their names in any case.
    :param body: the whole body.
    :param request: method and path of the request, for messages.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request: str

    def json(self) -> Any:
        """The decoded body, or None if there is none.

        :raises AvalaProtocolError: if the body is not JSON.
        """
        if not self.body.strip():
            return None
        try:
            return json_module.loads(self.body)
        except (ValueError, RecursionError):
            kind = self.headers.get("Content-Type", "no content type").partition(";")[0][:100]
            acted = "" if policy.is_idempotent(self.request.partition(" ")[0]) else f". {LOOK_FIRST}"
            raise AvalaProtocolError(
                f"{self.request} was answered with {self.status}, but not with JSON ({kind});"
                f" check that the connection's base URL is that of Avala's API{acted}"
            ) from None


class SlashRedirect(AvalaApiError):
    """The server wants the same path with, or without, the slash at its end; it has not acted on the request."""

    location: str = ""

    @property
    def wants_slash(self) -> bool:
        """Whether the slash is to be added, and not removed."""
        return urlsplit(self.location).path.endswith("/")


class Transport:
    """Sends requests to one base URL.

    :param settings: the connection.
    :param clock: the time to live by.
    :param chance: gives a random number between 0 and 1, for jitter.
    :param count: told of ``requests``, ``waits``, ``throttled`` and ``retries``, one at a time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Callable[[], float] = random.random,
        count: Callable[[str], None] = lambda event: None,
    ) -> None:
        self.settings = settings
        self.budget = Budget(settings, clock, count)
        self._clock = clock
        self._chance = chance
        self._count = count
        self._origin = origin(settings.base_url)
        self._wire = Wire(settings)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        max_retry_seconds: float | None = None,
        timeout: float | None = None,
        slot_timeout: float = SLOT_TIMEOUT,
        poll: bool = False,
        final: Container[int] = (),
        on_repeat: Callable[[AvalaApiError | AvalaConnectionError], None] = lambda error: None,
    ) -> Answer:
        """Send a request until it succeeds, or until the policy says that it will not.

        :param method: HTTP method.
        :param url: path below the base URL, or an absolute URL of the same origin.
        :param params: query parameters.
        :param json: body to be sent as JSON.
        :param body: body to be sent as it is, instead of ``json``.
        :param headers: further headers.
        :param repeatable: whether the request may take effect twice without harm; by default, if its method says so.
        :param max_retry_seconds: bound of the retries in seconds; by default the connection's.
        :param timeout: seconds without a byte after which an attempt is given up; by default the connection's.
        :param slot_timeout: seconds to wait at most for the key's rate limit before the first attempt.
        :param poll: whether this is one of many polls, which share a part of the budget.
        :param final: statuses that the caller wants to hear of at once instead of having them retried.
        :param on_repeat: told of each error after which the request is sent again.
        :raises AvalaApiError: Avala answered with an error.
        :raises AvalaConnectionError: no usable answer arrived.
        :raises AvalaRateLimitTimeout: the key's budget is used up for too long.
        """
        method = method.upper()
        if not (method.isascii() and method.isalpha()):
            raise AvalaConfigurationError(f"method: {method!r} is not an HTTP method, for example 'GET'")
        url = self._own_url(url)
        if repeatable is None:
            repeatable = policy.is_idempotent(method)
        if max_retry_seconds is None:
            max_retry_seconds = self.settings.max_retry_seconds
        path = urlsplit(url).path
        take_slot = partial(self.budget.take, f"{method} {path}", path, poll=poll)
        take_slot(timeout=slot_timeout)
        begin = self._clock.monotonic()
        for attempt in count(1):
            try:
                return self._attempt(
                    method, url, params=params, json=json, body=body, headers=headers, timeout=timeout
                )
            except (AvalaApiError, AvalaConnectionError) as error:
                verdict = policy.decide(
                    failure_of(error),
                    attempt=attempt,
                    elapsed=self._clock.monotonic() - begin,
                    max_elapsed=max_retry_seconds,
                    repeatable=repeatable,
                    chance=self._chance(),
                )
                if verdict.wait is None or getattr(error, "status_code", None) in final:
                    log.debug("Attempt %d was the last: %s", attempt, verdict.reason)
                    if isinstance(error, AvalaConnectionError) and error.sent and not repeatable:
                        error.args = (f"{error}. {LOOK_FIRST}",)
                    raise
                log.info("%s Next attempt in %.1f s (%s).", error, verdict.wait, verdict.reason)
                on_repeat(error)
                last = error
            self._count("retries")
            self._clock.sleep(verdict.wait)
            try:
                take_slot(timeout=max(0.0, max_retry_seconds - (self._clock.monotonic() - begin)))
            except AvalaRateLimitTimeout as full:  # which alone would sound as if nothing had been sent
                raise last from full
        raise AssertionError("unreachable")

    def open(self, url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """Begin a streaming GET of any URL, once; the key goes along only to the base URL's own origin.

        Neither status nor redirect is judged here. The caller closes the response.

        :param url: absolute URL, for example a signed one of a storage host.
        :param headers: further headers.
        :raises AvalaConnectionError: no answer arrived.
        :raises AvalaProtocolError: the URL is not one that may be asked.
        """
        own = self._check_download(url)
        if own:
            path = urlsplit(url).path
            self.budget.take(f"GET {path}", path, poll=False, timeout=SLOT_TIMEOUT)
        return self._wire.send("GET", url, authenticate=own, headers=headers, stream=True)

    def store(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> requests.Response:
        """Send bytes to a storage host, once and without the key. Neither status nor redirect is judged here.

        :param method: HTTP method.
        :param url: absolute URL, as Avala handed it out.
        :param headers: further headers.
        :param body: the bytes.
        :raises AvalaConnectionError: no answer arrived.
        :raises AvalaProtocolError: the URL is not one that bytes may be sent to.
        """
        check_storage_url(url, allow_insecure_http=self.settings.allow_insecure_http)
        return self._wire.send(method, url, authenticate=False, headers=headers, body=body)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _own_url(self, url: str) -> str:
        if url.startswith("/"):
            return self.settings.base_url + url
        try:
            own = origin(url) == self._origin and "@" not in urlsplit(url).netloc
        except ValueError:
            own = False
        if not own:
            raise AvalaProtocolError(
                f"the server points to {self._shown(url)}, which is not on {self.settings.base_url};"
                " the key is not sent there"
            )
        return url

    def _shown(self, url: str) -> str:
        return without_signed_urls(redact(re.split("[?#]", url)[0], self.settings.api_key))

    def _check_download(self, url: str) -> bool:
        try:
            scheme, host, _ = target = origin(url)
        except ValueError:
            raise AvalaProtocolError(
                f"the download address {self._shown(url)!r} is not an http or https URL"
            ) from None
        if scheme == "http" and not (is_loopback(host) or self.settings.allow_insecure_http):
            raise AvalaProtocolError(f"the download address {self._shown(url)} is plain HTTP, not https")
        if "@" in urlsplit(url).netloc:
            raise AvalaProtocolError(f"the download address {self._shown(url)} holds credentials")
        return target == self._origin

    def _attempt(self, method: str, url: str, **request: Any) -> Answer:
        response = self._wire.send(method, url, authenticate=True, **request)
        path = urlsplit(url).path
        hint = policy.server_hint(response.status_code, response.headers, self._clock.time())
        self.budget.heed(path, response.status_code, response.headers, hint)
        if response.status_code < 300:
            _check_whole(response, f"{method} {path}")
            return Answer(response.status_code, response.headers, response.content, f"{method} {path}")
        if response.status_code < 400:
            raise self._redirect(response, method, path)
        raise error_from_response(
            response.status_code,
            response.headers,
            response.content,
            method=method,
            path=path,
            retry_after=hint,
            secrets=(self.settings.api_key,),
        )

    def _redirect(self, response: requests.Response, method: str, path: str) -> AvalaApiError:
        named = response.headers.get("Location", "")
        try:
            location = urljoin(response.url, named)
            slash = response.status_code in _NOT_PROCESSED and _differ_in_slash(response.url, location)
        except ValueError:
            location, slash = named, False
        if not slash:
            target = f"to {self._shown(location)}" if named else "without saying where to"
            words = (
                f"the server redirects {target}, which is not followed because the API key would go along;"
            )
            words += " set the connection's base URL to where the API is"
            return AvalaApiError(response.status_code, method=method, path=path, detail=words)
        error = SlashRedirect(response.status_code, method=method, path=path)
        error.location = location
        error.add_detail(
            f"the server redirects to {self._shown(location)}: set the connection's extra dialect to "
            + (CURRENT.name if error.wants_slash else LEGACY.name)
        )
        return error


def _check_whole(response: requests.Response, request: str) -> None:
    """Tell an answer that broke off within its head from one that has no body."""
    headers = response.headers
    # An answer that ends with its connection, as all of HTTP/1.0 do, needs to announce nothing.
    is_old = bool(headers) and response.raw.version == _HTTP_1_0
    ends_with_connection = is_old or "close" in headers.get("Connection", "").lower()
    announced = "Content-Length" in headers or "Transfer-Encoding" in headers or ends_with_connection
    if not response.content and not announced and response.status_code not in (204, 205):
        raise AvalaConnectionError(f"{request}: the answer broke off before its body", sent=True)


def failure_of(error: AvalaApiError | AvalaConnectionError) -> policy.Failure:
    """What the policy needs to know of an error.

    :param error: what an attempt raised.
    """
    if isinstance(error, AvalaApiError):
        return policy.Failure(status=error.status_code, hint=error.retry_after)
    return policy.Failure(sent=error.sent, transient=error.transient)


def _differ_in_slash(asked: str, location: str) -> bool:
    before, after = urlsplit(asked), urlsplit(location)
    return (
        origin(asked) == origin(location)
        and "@" not in after.netloc
        and before.path != after.path
        and before.path.removesuffix("/") == after.path.removesuffix("/")
        and sorted(parse_qsl(before.query)) == sorted(parse_qsl(after.query))
    )
