"""Sending webhook messages for real, signed, to addresses of this machine only."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 5.0  # seconds for one attempt
KEPT_BODY = 1024  # bytes of the answer that are kept
REFUSAL = "Not sent: the emulator delivers to loopback addresses only."


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt.

    :param status: the HTTP status answered, None when there was no answer.
    :param body: the start of the answer's body, or why there was none.
    :param size: bytes of the whole body that was read.
    :param final: trying again is of no use.
    """

    status: int | None
    body: str
    size: int = 0
    sha256: str | None = None
    final: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


def sign(secret: str, body: bytes) -> str:
    """Return the signature: HMAC-SHA256 of the raw body keyed by the secret, in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def loopback_address(host: str, port: int) -> str | None:
    """Resolve a host; return its address if that is on this machine, else None."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    addresses = [str(entry[4][0]) for entry in found]
    local = [address for address in addresses if ipaddress.ip_address(address.partition("%")[0]).is_loopback]
    return local[0] if local and len(local) == len(addresses) else None


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """Send one message; no redirect is followed, and nothing leaves this machine."""
    try:
        parts = urlsplit(url)
        secure, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or (443 if secure else 80)
    except ValueError as error:
        return Outcome(None, str(error), final=True)
    address = loopback_address(host, port)
    if address is None:
        return Outcome(None, REFUSAL, final=True)
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(address, port, timeout=TIMEOUT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body, {**headers, "Host": parts.netloc.rpartition("@")[2]})
        response = connection.getresponse()
        answer = response.read(1024 * 1024)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(None, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    text = answer[:KEPT_BODY].decode("utf-8", "replace")
    return Outcome(response.status, text, len(answer), hashlib.sha256(answer).hexdigest())


class Outbox:
    """Sends messages in threads of its own, so that a slow receiver holds nobody up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def send(
        self,
        url: str,
        content: Any,
        headers: Mapping[str, str],
        secret: str,
        done: Callable[[Outcome], None],
    ) -> None:
        """Send JSON, signed; ``done`` learns what came of it, in the sending thread."""

        def work() -> None:
            try:
                done(self.send_and_wait(url, content, headers, secret))
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=work, name="avala-emulator-webhook", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def send_and_wait(self, url: str, content: Any, headers: Mapping[str, str], secret: str) -> Outcome:
        """Send JSON, signed, in this thread."""
        body = json.dumps(content, separators=(",", ":")).encode()
        common = {"Content-Type": "application/json", "User-Agent": "avala-emulator"}
        return post(url, body, {**common, **headers, "X-Avala-Webhook-Signature": sign(secret, body)})

    def wait(self, seconds: float) -> bool:
        """Wait until everything that was sent has come to its end; False when it takes longer."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(seconds)
        return not any(thread.is_alive() for thread in threads)
