"""Keeping keys and signed URLs out of everything that people or databases keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: What stands where a secret was.
MASK = "***"

_URL_WITH_SECRET = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>[^\s\"'<>]+)")
# What opens a signed URL, wherever it stands: in a relative URL, or behind a sign that ended the URL for the above.
_SIGNATURE = re.compile(
    r"(?P<name>\b(?:x-(?:amz|goog)-[a-z-]+|[a-z_-]*(?:signature|token|secret)|sig|api_?key|key-pair-id|policy)=)"
    r"[^\s&\"'<>,;]+",
    re.IGNORECASE,
)
_URL_KEYS = re.compile(r"(^|_)urls?$", re.IGNORECASE)
_SECRET_KEYS = re.compile(r"secret|password|api_?key|token|credential|signature", re.IGNORECASE)


def without_signed_urls(text: str) -> str:
    """Mask what can be secret in the URLs of a text: credentials, query, fragment and, anywhere, signatures.

    :param text: any text, for example an error message of the API.
    """
    return _SIGNATURE.sub(rf"\g<name>{MASK}", _URL_WITH_SECRET.sub(_masked_url, text))


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
            if not (_URL_KEYS.search(str(key)) or _SECRET_KEYS.search(str(key)))
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return without_signed_urls(value) if isinstance(value, str) else value


def redact(text: str, *secrets: str) -> str:
    """Mask every occurrence of the given secrets in a text.

    :param text: the text.
    :param secrets: what must not appear; empty strings are ignored.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text
