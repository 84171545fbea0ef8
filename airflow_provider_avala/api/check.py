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
    client = AvalaClient(replace(settings, timeout=min(settings.timeout, _TIMEOUT)))
    try:
        payload = client.run(
            "GET", "/datasets/", params={"limit": 1}, max_retry_seconds=0, slot_timeout=_TIMEOUT
        )
        read_page(payload)
    except AvalaPermissionError as error:
        return True, f"Avala accepts the key, but it may not list datasets: {error.detail or error}"
    except UnknownEnvelopeError as error:
        return False, _words(AvalaProtocolError(str(error)), settings)
    except AvalaError as error:
        return False, _words(error, settings)
    finally:
        client.close()
    return True, f"Avala answers at {settings.base_url} and accepts the key."


def _words(error: AvalaError, settings: Settings) -> str:
    url = settings.base_url
    if isinstance(error, AvalaConnectionError):
        return f"{urlsplit(url).netloc} cannot be reached: {error}. Check the base URL, the network and the proxy."
    if isinstance(error, AvalaAuthenticationError):
        return (
            f"Avala at {url} refuses the key: {error.detail} It is missing, wrong, expired or revoked:"
            " create one in Mission Control > Settings > Security."
        )
    if isinstance(error, AvalaNotFoundError):
        return f"There is no Avala API at {url}: check the base URL; it usually ends with /api/v1."
    if isinstance(error, AvalaProtocolError):
        return f"What answers at {url} is not Avala: {error}"
    if isinstance(error, AvalaRateLimitError | AvalaRateLimitTimeout):
        return (
            f"{url} can be reached, but the key's rate limit is used up at the moment: try again in a minute."
        )
    if isinstance(error, AvalaServerError):
        return f"{url} can be reached, but has a fault at the moment: {error}"
    if isinstance(error, AvalaApiError) and 300 <= error.status_code < 400:
        return f"{url} is not the base URL of the API: {error.detail}."
    return str(error)
