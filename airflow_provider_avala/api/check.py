"""Is this connection any good? One quick call, and plain words."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from airflow_provider_avala.api.client import AvalaClient
from airflow_provider_avala.api.envelopes import UnknownEnvelopeError, read_page
from airflow_provider_avala.api.errors import (
    AvalaApiError,
    AvalaAuthenticationError,
    AvalaConnectionError,
    AvalaError,
    AvalaNotFoundError,
    AvalaPermissionError,
    AvalaProtocolError,
    AvalaRateLimitError,
    AvalaRateLimitTimeout,
    AvalaServerError,
)
from airflow_provider_avala.api.settings import Settings

_TIMEOUT = 5.0


def check(settings: Settings) -> tuple[bool, str]:
    """Make one authenticated call with a short time-out and no retry.

    :param settings: the connection.
    :returns: whether the connection works, and a sentence for people.
    """
    try:
        client = AvalaClient(replace(settings, timeout=min(settings.timeout, _TIMEOUT)))
    except AvalaError as error:
        return False, _words(error, settings)
    try:
        payload = client.run(
            "GET", "/datasets/", params={"limit": 1}, max_retry_seconds=0, slot_timeout=_TIMEOUT
        )
        read_page(payload)
    except UnknownEnvelopeError as error:
        return False, _words(AvalaProtocolError(str(error)), settings)
    except AvalaPermissionError as error:
        if not error.is_avala:
            return False, _words(error, settings)
        return True, f"Avala accepts the key, but it may not list datasets: {error.detail or error}"
    except AvalaError as error:
        return False, _words(error, settings)
    finally:
        client.close()
    return True, f"Avala answers at {settings.base_url} and accepts the key."


def _words(error: AvalaError, settings: Settings) -> str:
    url = settings.base_url
    if isinstance(error, AvalaConnectionError):
        return f"{urlsplit(url).netloc} cannot be reached: {error}. Check the base URL, the network and the proxy."
    if isinstance(error, AvalaProtocolError):
        return f"What answers at {url} is not Avala: {error}"
    if isinstance(error, AvalaPermissionError):
        return f"What answers at {url} is not Avala, but forbids the request: {error}"
    if isinstance(error, AvalaAuthenticationError):
        foreign = (
            ""
            if error.is_avala
            else " The answer is not in Avala's words: check the base URL and the proxy, too."
        )
        return (
            f"Avala at {url} refuses the key: {error.detail.rstrip('.')}. It is missing, wrong, expired or revoked:"
            f" create one in Mission Control > Settings > Security.{foreign}"
        )
    if isinstance(error, AvalaNotFoundError):
        return f"There is no Avala API at {url}: check the base URL; it usually ends with /api/v1."
    if isinstance(error, AvalaRateLimitError):
        return (
            f"{url} can be reached, but the key's rate limit is used up at the moment: try again in a minute."
        )
    if isinstance(error, AvalaRateLimitTimeout):
        return f"Nothing was sent to {url}, because the key's rate limit is used up at the moment: {error}"
    if isinstance(error, AvalaServerError):
        return f"{url} can be reached, but has a fault at the moment: {error}"
    if isinstance(error, AvalaApiError) and 300 <= error.status_code < 400:
        return f"{url} is not the base URL of the API: {error.detail.rstrip('.')}."
    return str(error)
