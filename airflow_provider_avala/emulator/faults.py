"""Faults to order for single requests, and the plan that decides which request gets which.

A fault *before commit* answers in front of the server: the request has no effect, needs no key and takes no
rate-limit slot. A fault *after commit* lets the request take effect and spoils only the answer: what a client
cannot tell from the first kind.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One way of going wrong. Use the constructors below.

    :param name: what goes wrong; it is also what the request log shows.
    :param after_commit: whether the request takes effect first.
    :param options: the details, by constructor.
    """

    name: str
    after_commit: bool
    options: Mapping[str, Any] = field(default_factory=dict)


def status(
    code: int,
    body: Any = None,
    headers: Mapping[str, str | None] | None = None,
    *,
    after_commit: bool = False,
) -> Fault:
    """Answer with this status.

    :param body: decoded JSON, or text or bytes sent as they are; None for the documented body of that status.
    :param headers: added to the answer, over the rate-limit headers; a value of None removes that header.
    :param after_commit: let the request take effect first (a gateway that lost the answer).
    """
    return Fault("status", after_commit, {"code": code, "body": body, "headers": dict(headers or {})})


def html(status: int = 502, *, after_commit: bool = False) -> Fault:
    """Answer with a gateway's HTML page, without any header of the API."""
    return Fault("html", after_commit, {"code": status})


def redirect(location: str, status: int = 302) -> Fault:
    """Answer with a redirect to ``location``, without processing the request."""
    return Fault("redirect", False, {"location": location, "code": status})


def reset_before_commit() -> Fault:
    """Read the request, then reset the connection (RST) without any effect."""
    return Fault("reset_before_commit", False)


def reset_after_commit() -> Fault:
    """Let the request take effect, then reset the connection (RST) instead of answering."""
    return Fault("reset_after_commit", True)


def hang_before_commit(seconds: float = 3600.0) -> Fault:
    """Sit on the request for ``seconds`` of real time, then process it, unless the client has left."""
    return Fault("hang_before_commit", False, {"seconds": seconds})


def hang_after_commit(seconds: float = 3600.0) -> Fault:
    """Let the request take effect, then sit on the answer for ``seconds`` of real time."""
    return Fault("hang_after_commit", True, {"seconds": seconds})


def truncated(sent: int | None = None) -> Fault:
    """Declare the whole Content-Length and close after ``sent`` bytes of the body (default: half of it)."""
    return Fault("truncated", True, {"sent": sent})


def truncated_chunked(sent: int | None = None) -> Fault:
    """Send the answer chunked, without a length, and close after ``sent`` bytes (default: half of it)."""
    return Fault("truncated_chunked", True, {"sent": sent})


def reset_mid_body(sent: int | None = None) -> Fault:
    """Send ``sent`` bytes of the body (default: half of it), then reset the connection (RST)."""
    return Fault("reset_mid_body", True, {"sent": sent})


def bad_json(text: str = '{"results": [') -> Fault:
    """Answer the usual status with a body that says JSON and is not."""
    return Fault("bad_json", True, {"text": text})


def empty_body() -> Fault:
    """Answer the usual status with no body at all."""
    return Fault("empty_body", True)


def slow_body(seconds: float = 1.0, pieces: int = 10) -> Fault:
    """Send the body in ``pieces``, spread over ``seconds`` of real time."""
    return Fault("slow_body", True, {"seconds": seconds, "pieces": pieces})


CONSTRUCTORS = {
    make.__name__: make
    for make in (
        status,
        html,
        redirect,
        reset_before_commit,
        reset_after_commit,
        hang_before_commit,
        hang_after_commit,
        truncated,
        truncated_chunked,
        reset_mid_body,
        bad_json,
        empty_body,
        slow_body,
    )
}


@dataclass
class _Order:
    fault: Fault
    origin: str
    method: str | None
    path: str | re.Pattern[str] | None
    times: int | None
    skip: int
    every: int
    seen: int = 0

    def matches(self, origin: str, method: str, path: str) -> bool:
        if origin != self.origin or (self.method is not None and method != self.method):
            return False
        if self.path is None:
            return True
        return path.startswith(self.path) if isinstance(self.path, str) else bool(self.path.search(path))

    def is_due(self) -> bool:
        """Count one more matching request and say whether it is one that gets the fault."""
        self.seen += 1
        return self.seen > self.skip and (self.seen - self.skip - 1) % self.every == 0


class FaultPlan:
    """The faults still to come, first ordered first served. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[_Order] = []

    def add(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str | re.Pattern[str] | None = None,
        times: int | None = 1,
        origin: str = "api",
        skip: int = 0,
        every: int = 1,
    ) -> None:
        """Order a fault; see :meth:`Emulator.inject` for the parameters."""
        if origin not in ("api", "storage"):
            raise ValueError(f"origin={origin!r}: say 'api' or 'storage'")
        if (times is not None and times < 1) or skip < 0 or every < 1:
            raise ValueError(
                f"times={times}, skip={skip}, every={every}: times must be at least 1 or None (for good), "
                "skip at least 0, every at least 1"
            )
        with self._lock:
            self._orders.append(_Order(fault, origin, method and method.upper(), path, times, skip, every))

    def take(self, origin: str, method: str, path: str) -> Fault | None:
        """Return the fault for this request, if any, and count it."""
        with self._lock:
            for order in self._orders:
                if not order.matches(origin, method, path) or not order.is_due():
                    continue
                if order.times is not None:
                    order.times -= 1
                    if not order.times:
                        self._orders.remove(order)
                return order.fault
        return None

    def clear(self) -> None:
        """Forget the faults that have not happened yet."""
        with self._lock:
            self._orders.clear()
