"""A real HTTP server on this machine whose answers a test scripts, and a clock that a test drives."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import requests


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Exchange(BaseHTTPRequestHandler):
    """One request and the means to answer it, rightly or wrongly."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the client broke off: no server acts on such a request
            self.close_connection = True
            return
        seen = Seen(self.command, self.path, self.headers, body)
        with self.server.lock:
            self.server.seen.append(seen)
            number = len(self.server.seen)
        self.server.respond(self, seen, number)

    do_POST = do_GET

    def reply(self, status, body=b"", *, cut=None, **headers):
        """Answer; with ``cut``, send only so many bytes of the body and break the connection."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if headers.setdefault("Content-Length", str(len(body))) is None:
            del headers["Content-Length"]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None or "Content-Length" not in headers:
            self.hang_up()

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def reset(self):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class Server(ThreadingHTTPServer):
    """Answers every request with ``respond(exchange, seen, number)``; numbers begin with 1."""

    daemon_threads = True

    def __init__(self, respond: Callable[[Exchange, Seen, int], None]) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.respond = respond
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def handle_error(self, request, client_address):
        pass

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.sleeps: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def get(url: str, headers: Mapping[str, str]) -> requests.Response:
    """A streaming GET as the transport makes it, without a key."""
    from airflow_provider_avala.api.errors import AvalaConnectionError

    try:
        return requests.get(url, headers=headers, stream=True, allow_redirects=False, timeout=5)
    except requests.RequestException as error:
        raise AvalaConnectionError(f"no connection: {type(error).__name__}", sent=True) from None
