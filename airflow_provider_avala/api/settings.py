"""What a connection says, parsed and validated in one place."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_avala.api.dialects import CURRENT, LEGACY, Dialect
from airflow_provider_avala.api.errors import AvalaConfigurationError
from airflow_provider_avala.api.limits import Limit, parse_limits
from airflow_provider_avala.api.secrets import MASK, without_signed_urls

DEFAULT_BASE_URL = "https://api.avala.ai/api/v1"
_LEGACY_HOST = "server.avala.ai"
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_TRUE = frozenset(
    {"true", "1", "yes", "y", "on"}
)  # y: what a ticked box of Airflow 2's form says when tested
_FALSE = frozenset({"false", "0", "no", "n", "off"})
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to reach and treat one Avala account.

    :param base_url: base URL of the API, without a slash at the end.
    :param api_key: sent as ``X-Avala-Api-Key`` to the base URL's own scheme, host and port, and nowhere else.
    :param dialect: ``auto``, ``current`` or ``legacy``: which generation of the API requests are written for.
    :param timeout: seconds without a byte after which one request is given up.
    :param max_retry_seconds: seconds after its first attempt in which a request may be retried; 0 means one attempt.
    :param rate_limits: the key's request limits.
    :param inference_rate_limits: the key's limits for inference calls.
    :param rate_limit_share: this host's part of the limits, where several hosts use one key.
    :param rate_limit_store: where the limits are kept: empty (this host), ``memory`` (this process) or a Redis URL.
    :param rate_limit_store_fallback: whether to keep the limits on this host while Redis cannot be used.
    :param max_concurrent_uploads: uploads in flight at a time.
    :param max_concurrent_exports: exports running at a time.
    :param verify: whether to check the server's certificate, or the path of a CA bundle.
    :param proxies: proxy URL for each scheme.
    :param web_url: address of Avala's web app, for links.
    :param allow_insecure_http: whether plain HTTP to another machine is allowed.
    :param state_dir: directory of the files that keep the limits; empty for one below the system's temporary files.
    :param poll_share: the part of the standard limits that polling may use up.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: str = field(default="", repr=False)
    dialect: str = "auto"
    timeout: float = 30.0
    max_retry_seconds: float = 120.0
    rate_limits: tuple[Limit, ...] = (Limit(100, 60), Limit(20, 1))
    inference_rate_limits: tuple[Limit, ...] = (Limit(10, 60),)
    rate_limit_share: float = 1.0
    rate_limit_store: str = field(default="", repr=False)
    rate_limit_store_fallback: bool = False
    max_concurrent_uploads: int = 10
    max_concurrent_exports: int = 5
    verify: bool | str = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    web_url: str = "https://avala.ai"
    allow_insecure_http: bool = False
    state_dir: str = ""
    poll_share: float = 0.5

    @classmethod
    def parse(
        cls,
        *,
        host: str | None = None,
        port: int | None = None,
        schema: str | None = None,
        password: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Read the fields of a connection, whichever way it was written down.

        A connection that was given as a URI brings numbers and booleans as text and may have the base URL's path in
        ``schema``; a form may bring 0 for an empty port and empty text for an empty field.

        :param host: base URL of the API.
        :param port: port of the base URL, unless the URL names it.
        :param schema: path of the base URL, or its scheme, unless the URL has them.
        :param password: the API key.
        :param extra: the connection's extra fields.
        :raises AvalaConfigurationError: naming the first field that cannot be used, and why.
        """
        options = {name: _PARSERS[name](name, value) for name, value in _given(extra or {}).items()}
        settings = cls(
            base_url=_base_url(host, port, schema, bool(options.get("allow_insecure_http"))),
            api_key=_api_key(password),
            **options,
        )
        for limits in ("rate_limits", "inference_rate_limits"):
            shared = tuple(limit.share(settings.rate_limit_share) for limit in getattr(settings, limits))
            object.__setattr__(settings, limits, shared)
        return settings

    @property
    def sends(self) -> Dialect:
        """The dialect that requests are written in, ``auto`` being settled by the host."""
        if self.dialect == "auto":
            return LEGACY if urlsplit(self.base_url).hostname == _LEGACY_HOST else CURRENT
        return LEGACY if self.dialect == LEGACY.name else CURRENT

    def owner(self, purpose: str) -> str:
        """A digest that stands for the key at this base URL, fit for file names and logs.

        :param purpose: what the digest is used for; different purposes give different digests.
        """
        text = "\n".join((self.base_url, self.api_key, purpose))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: what has to be equal for the key to be sent.

    :param url: an absolute http or https URL.
    :raises ValueError: if it is none, or if one reader could see another host in it than the next one.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    # urlsplit drops line breaks, and takes for a user name what other readers of "http://a\\@b" take for the host.
    if (
        url != url.strip()
        or set(url) & set("\t\r\n")
        or not parts.netloc.isprintable()
        or set(parts.netloc) & set("\\ ")
    ):
        raise ValueError("the host cannot be told for certain")
    return scheme, parts.hostname, parts.port or (443 if scheme == "https" else 80)


def is_loopback(hostname: str) -> bool:
    """Whether a host name means this very machine.

    :param hostname: a name or an address, without brackets.
    """
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname.lower() == "localhost"


def _api_key(password: str | None) -> str:
    key = (password or "").strip()
    if not key:
        raise AvalaConfigurationError(
            "password: the API key is missing; create one in Mission Control > Settings > Security"
            " and put it into the connection's password"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AvalaConfigurationError(
            "password: the API key has characters that no key has (blanks, line breaks or non-ASCII);"
            " copy it again"
        )
    return key


def _base_url(host: str | None, port: int | None, schema: str | None, allow_insecure_http: bool) -> str:
    text = (host or "").strip().rstrip("/") or DEFAULT_BASE_URL
    path = (schema or "").strip().strip("/")
    scheme, path = (path.lower(), "") if path.lower() in ("http", "https") else ("", path)
    if "://" not in text:
        bare = text.rpartition("@")[2]
        if not scheme:
            raise AvalaConfigurationError(
                f"host: {bare!r} is not a URL; give the whole base URL, for example 'https://{bare}/api/v1'"
            )
        text = f"{scheme}://{text}"
    try:
        parts = urlsplit(text)
        named_port = parts.port
    except ValueError as error:
        raise AvalaConfigurationError(f"host: this is not a URL: {error}") from None
    _check_base_url(parts, allow_insecure_http)
    for field_name, beside, named in (
        ("port", port or None, named_port),
        ("schema", scheme, parts.scheme.lower()),
        ("schema", path, parts.path.strip("/")),
    ):
        if beside and named and beside != named:
            raise AvalaConfigurationError(
                f"{field_name}: {beside!r} contradicts the host, which says {named!r}; leave the field empty"
            )
    if port and not 0 < port < 65536:
        raise AvalaConfigurationError(
            f"port: {port!r} is not a port; give one from 1 to 65535, or leave it empty"
        )
    netloc = f"{parts.netloc.rstrip(':')}:{port}" if port and named_port is None else parts.netloc
    if not path.isprintable() or set(path) & set("?#\\"):
        raise AvalaConfigurationError("schema: is not the path of a base URL, for example 'api/v1'")
    path = parts.path.rstrip("/") or (f"/{path}" if path else "")
    return f"{parts.scheme.lower()}://{netloc.lower()}{path}"


def _check_base_url(parts: SplitResult, allow_insecure_http: bool) -> None:
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise AvalaConfigurationError(f"host: {shown!r} is not an http or https URL with a host name")
    if "@" in parts.netloc:
        raise AvalaConfigurationError("host: the base URL must hold no credentials; the key is the password")
    if parts.query or parts.fragment:
        raise AvalaConfigurationError(f"host: {shown!r} must have neither a query nor a fragment")
    try:
        origin(parts.geturl())
    except ValueError as error:
        raise AvalaConfigurationError(f"host: {shown!r} cannot be used: {error}") from None
    if parts.scheme.lower() == "http" and not (is_loopback(parts.hostname) or allow_insecure_http):
        raise AvalaConfigurationError(
            f"host: {shown!r} would send the API key unencrypted; use https://, or set the extra"
            " allow_insecure_http to true if the network in between is yours"
        )


def _given(extra: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(extra, Mapping):
        raise AvalaConfigurationError('extra: must be a JSON object, for example {"dialect": "auto"}')
    given = {str(name).removeprefix("extra__avala__"): value for name, value in extra.items()}
    unknown = sorted(given.keys() - _PARSERS.keys())
    if unknown:
        raise AvalaConfigurationError(
            f"extra: unknown field {', '.join(map(repr, unknown))}; known are {', '.join(sorted(_PARSERS))}"
        )
    return {name: value for name, value in given.items() if value is not None and value != ""}


def _wrong(name: str, value: Any, expected: str) -> AvalaConfigurationError:
    shown = value if value == MASK else without_signed_urls(repr(value))
    return AvalaConfigurationError(f"extra {name}: {shown} is not {expected}")


def _number(low: float, high: float, *, above: bool = False) -> Callable[[str, Any], float]:
    def parse(name: str, value: Any) -> float:
        expected = (
            f"a number {'above' if above else 'from'} {low:g} {'and at most' if above else 'to'} {high:g}"
        )
        try:
            number = float("nan" if isinstance(value, bool) else value)
        except (TypeError, ValueError):
            raise _wrong(name, value, expected) from None
        if not low <= number <= high or (above and number == low):
            raise _wrong(name, value, expected)
        return number

    return parse


def _count(high: int) -> Callable[[str, Any], int]:
    def parse(name: str, value: Any) -> int:
        number = _number(1, high)(name, value)
        if number != int(number):
            raise _wrong(name, value, "a whole number")
        return int(number)

    return parse


def _choice(*choices: str) -> Callable[[str, Any], str]:
    def parse(name: str, value: Any) -> str:
        if not isinstance(value, str) or value.strip().lower() not in choices:
            raise _wrong(name, value, f"one of {', '.join(choices)}")
        return value.strip().lower()

    return parse


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise _wrong(name, value, "true or false")
    return word in _TRUE


def _limits(name: str, value: Any) -> tuple[Limit, ...]:
    if not isinstance(value, str):
        raise _wrong(name, value, "a text such as '100/60,20/1'")
    return parse_limits(value, f"extra {name}")


def _store(name: str, value: Any) -> str:
    if isinstance(value, str) and (value == "memory" or value.startswith(_REDIS_SCHEMES)):
        return value
    shown = f"{value.partition('://')[0]}://{MASK}" if isinstance(value, str) and "://" in value else value
    raise _wrong(name, shown, "empty (this host), 'memory' or a redis:// URL")


def _verify(name: str, value: Any) -> bool | str:
    try:
        return _boolean(name, value)
    except AvalaConfigurationError:
        if isinstance(value, str) and ("/" in value or value.endswith((".pem", ".crt"))):
            return value
        raise _wrong(name, value, "true, false or the path of a CA bundle") from None


def _proxies(name: str, value: Any) -> Mapping[str, str]:
    expected = 'an object such as {"https": "http://proxy:3128"}'
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise _wrong(name, MASK, expected) from None
    if not isinstance(value, Mapping) or not all(map(_is_proxy, value.keys(), value.values())):
        raise _wrong(name, MASK, expected)
    return dict(value)


def _is_proxy(schemes: Any, url: Any) -> bool:
    if not isinstance(schemes, str) or schemes.partition("://")[0] not in ("http", "https", "all"):
        return False
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        return parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _web_url(name: str, value: Any) -> str:
    try:
        origin(value)
    except (ValueError, AttributeError, TypeError):
        raise _wrong(name, value, "an http or https URL") from None
    return str(value).rstrip("/")


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "dialect": _choice("auto", "current", "legacy"),
    "timeout": _number(0, 3600, above=True),
    "max_retry_seconds": _number(0, 86400),
    "rate_limits": _limits,
    "inference_rate_limits": _limits,
    "rate_limit_share": _number(0, 1, above=True),
    "rate_limit_store": _store,
    "rate_limit_store_fallback": _boolean,
    "max_concurrent_uploads": _count(1000),
    "max_concurrent_exports": _count(1000),
    "verify": _verify,
    "proxies": _proxies,
    "web_url": _web_url,
    "allow_insecure_http": _boolean,
}
