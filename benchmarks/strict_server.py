"""An HTTP server that keeps rate limits to the letter, and judges its clients by when their requests arrive.

It knows nothing of the provider. Any path is answered with an empty page, or with 429 if the request would be one too
many in any of the sliding windows; refused requests do not count against the limits. ``X-Avala-Api-Key`` tells the
clients apart. ``/report`` tells how they did.

Run as ``python -m benchmarks.strict_server 100/6,20/1``; the first line of its output is its port.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qs, urlsplit

#: How many ways of laying fixed windows over the same arrivals are tried.
PHASES = 20

Limits = tuple[tuple[int, float], ...]


def parse(text: str) -> Limits:
    """Read ``100/6,20/1``."""
    return tuple((int(n), float(seconds)) for n, seconds in (part.split("/") for part in text.split(",")))


def ideal(limits: Limits, seconds: float) -> int:
    """How many requests a perfect client gets through in so many seconds."""
    windows, now, count = SlidingWindows(limits), 0.0, 0
    while now < seconds:
        wait = windows.admit(now)
        count += not wait
        now += wait
    return count


def fixed_window_refusals(arrivals: Sequence[float], requests: int, seconds: float) -> tuple[int, int]:
    """How many of the arrivals a server with fixed windows would refuse: for the kindest and the cruellest phase."""
    refusals = [
        sum(
            max(0, count - requests)
            for count in Counter(int((at + seconds * phase / PHASES) // seconds) for at in arrivals).values()
        )
        for phase in range(PHASES)
    ]
    return min(refusals), max(refusals)


class SlidingWindows:
    """True sliding windows over the admitted requests.

    :param limits: requests and seconds of each.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._admitted: deque[float] = deque(maxlen=max(requests for requests, _ in limits))

    def admit(self, now: float) -> float:
        """Admit a request and return 0, or refuse it and return the seconds after which it would be admitted."""
        wait = 0.0
        for requests, seconds in self.limits:
            if len(self._admitted) >= requests:
                wait = max(wait, self._admitted[-requests] + seconds - now)
        if wait > 0:
            return wait
        self._admitted.append(now)
        return 0.0


@dataclass
class Judge:
    """What the server has seen so far."""

    limits: Limits
    arrivals: list[tuple[float, str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.windows = SlidingWindows(self.limits)

    def see(self, client: str) -> float:
        """Judge a request that arrives now; see :meth:`SlidingWindows.admit`."""
        now = time.monotonic()
        wait = self.windows.admit(now)
        self.arrivals.append((now, client, not wait))
        return wait

    def report(self, seconds: float) -> dict[str, object]:
        """Sum up the first so many seconds since the first request."""
        begin = self.arrivals[0][0] if self.arrivals else 0.0
        seen = [
            (at - begin, client, admitted) for at, client, admitted in self.arrivals if at - begin < seconds
        ]
        return {
            "admitted": sum(admitted for _, _, admitted in seen),
            "refused": sum(not admitted for _, _, admitted in seen),
            "by_client": Counter(client for _, client, admitted in seen if admitted),
            "fixed_windows": [
                fixed_window_refusals([at for at, _, _ in seen], *limit) for limit in self.limits
            ],
        }


class Connection(asyncio.Protocol):
    """One connection; requests without a body, one after the other.

    :param judge: who decides.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._transport.write(self._answer(head.decode("latin-1").split("\r\n")))

    def _answer(self, lines: list[str]) -> bytes:
        url = urlsplit(lines[0].split(" ")[1])
        if url.path == "/report":
            return _response("200 OK", self._judge.report(float(parse_qs(url.query)["seconds"][0])))
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        wait = self._judge.see(headers.get("x-avala-api-key", ""))
        if not wait:
            return _response("200 OK", {"results": [], "next": None, "previous": None})
        seconds = int(wait) + 1
        return _response(
            "429 Too Many Requests",
            {"detail": f"Request was throttled. Expected available in {seconds} seconds."},
            {
                "Retry-After": seconds,
                "X-RateLimit-Remaining": 0,
                "X-RateLimit-Reset": int(time.time() + wait) + 1,
            },
        )


def _response(status: str, body: object, headers: dict[str, int] | None = None) -> bytes:
    content = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def serve(limits: Limits) -> None:
    """Serve on a free port of this machine, and print it, until the process is ended."""
    judge = Judge(limits)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(judge), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(parse(sys.argv[1])))
