"""Keeping keys and signed URLs out of everything that people or databases keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: What stands where a secret was.
MASK = "***"

# As text: re compiles and keeps a pattern when it is first used, which most DAG files never do.
_URL = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>[^\s\"'<>]+)"
# What opens a signed URL, wherever it stands: in a relative URL, or behind a sign that ended the URL for the above.
_SIGNATURE = (
    r"(?i)(?P<name>\b(?:x-(?:amz|goog)-[a-z-]+|[a-z_-]*(?:signature|token|secret)|sig|api_?key|key-pair-id|policy)=)"
    r"[^\s&\"'<>,;]+"
)
_URL_KEYS = r"(?i)(^|_)urls?$"
_DOWNLOAD_KEYS = r"(?i)(download|upload|data|thumbnail)_url$"
_CONFIDENTIAL_KEYS = r"(?i)secret|password|api_?key|token|credential|signature"


def without_signed_urls(text: str) -> str:
    """Mask what can be secret in the URLs of a text: credentials, query, fragment and, anywhere, signatures.

    :param text: any text, for example an error message of the API.
    """
    return re.sub(_SIGNATURE, rf"\g<name>{MASK}", re.sub(_URL, _masked_url, text))


def _masked_url(match: re.Match[str]) -> str:
    authority, slash, path = match["rest"].partition("/")
    authority = f"{MASK}@{authority.rpartition('@')[2]}" if "@" in authority else authority
    bare = re.split(r"[?#]", authority + slash + path, maxsplit=1)
    return match["scheme"] + bare[0] + (f"?{MASK}" if len(bare) > 1 else "")


def without_secrets(value: Any) -> Any:
    """Copy decoded JSON without the fields that hold URLs or secrets.

    XComs, rendered fields and trigger events are stored in the clear; a signed URL in them would let any reader
    of Airflow's database download the data.

    :param value: decoded JSON.
    """
    if isinstance(value, Mapping):
        return {
            key: without_secrets(item)
            for key, item in value.items()
            if not (re.search(_URL_KEYS, str(key)) or re.search(_CONFIDENTIAL_KEYS, str(key)))
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return without_signed_urls(value) if isinstance(value, str) else value


def without_signatures(value: Any, *secrets: str) -> Any:
    """Copy decoded JSON with the queries of signed URLs and the given secrets masked, and all else as it is.

    :param value: decoded JSON.
    :param secrets: what must not appear.
    """
    if isinstance(value, Mapping):
        return {
            key: without_signed_urls(item)
            if isinstance(item, str) and re.search(_DOWNLOAD_KEYS, str(key))
            else without_signatures(item, *secrets)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_signatures(item, *secrets) for item in value]
    if not isinstance(value, str):
        return value
    return redact(without_signed_urls(value) if re.search(_SIGNATURE, value) else value, *secrets)


def redact(text: str, *secrets: str) -> str:
    """Mask every occurrence of the given secrets in a text.

    :param text: the text.
    :param secrets: what must not appear; empty strings are ignored.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text
