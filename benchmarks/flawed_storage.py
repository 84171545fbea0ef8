"""An Avala with one export, whose file is handed out in every wrong way; shares no code with the provider."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType

#: What can happen to one request for the file.
FAULTS = (
    "reset before the answer",
    "reset in the body",
    "500",
    "503 with Retry-After",
    "429",
    "429 with Retry-After",
    "truncated",
    "hang",
    "slow body",
    "expired URL",
    "other content from now on",
    "range ignored",
    "another range",
    "redirect",
    "length too small",
)
SLOW, PIECES = 0.02, 4


@dataclass
class Plan:
    """What one download meets.

    :param contents: the file, and what it is changed to.
    :param suffix: of the file's address.
    :param etag: ``strong``, ``weak`` or ``absent``.
    :param checksum: whether answers have a ``Content-MD5``.
    :param faults: what happens to each request for the file; those that follow are answered well.
    :param cut: how much of a body is sent before it breaks off, 0 to 1.
    """

    contents: tuple[bytes, bytes]
    suffix: str = ".bin"
    etag: str = "strong"
    checksum: bool = False
    faults: list[str] = field(default_factory=list)
    cut: float = 0.5


class FlawedStorage(ThreadingHTTPServer):
    """A server for one plan after the other, on a free port of this machine.

    :ivar plan: the plan that is played.
    :ivar ranges: the ``Range`` headers that were seen, one for each request for the file.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.released = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.play(Plan((b"", b"")))

    def play(self, plan: Plan) -> None:
        """Begin a plan."""
        self.plan, self.version, self.ranges = plan, 0, list[str | None]()
        self.addresses = count(1)
        self.expired: set[str] = set()
        self.left = list(plan.faults)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing about clients that went away."""

    def __enter__(self) -> FlawedStorage:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FlawedStorage

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/api/v1/exports/"):
            uid = self.path.strip("/").split("/")[-1]
            address = f"{self.server.url}/files/1{self.server.plan.suffix}?sig={next(self.server.addresses)}"
            export = {
                "uid": uid,
                "name": "x",
                "format": "json",
                "status": "exported",
                "download_url": address,
            }
            self._send(200, json.dumps(export).encode(), {"Content-Type": "application/json"})
            return
        if self.path in self.server.expired:
            self._send(403, b"<Error>Request has expired</Error>")
            return
        self.server.ranges.append(self.headers.get("Range"))
        self._play(self.server.left.pop(0) if self.server.left else "")

    def _play(self, fault: str) -> None:
        server = self.server
        match fault:
            case "reset before the answer":
                self._reset()
            case "500":
                self._send(500, b"<html>broken</html>")
            case "503 with Retry-After" | "429 with Retry-After" | "429":
                self._send(int(fault[:3]), b"", {"Retry-After": "2"} if "with" in fault else {})
            case "hang":
                server.released.wait(2)
                self.close_connection = True
            case "expired URL":
                server.expired.add(self.path)
                self._send(403, b"<Error>Request has expired</Error>")
            case "redirect":
                self._send(302, b"", {"Location": f"{self.path}&again"})
            case "other content from now on":
                server.version = 1
                self._file(fault)
            case _:
                self._file(fault)

    def _file(self, fault: str) -> None:
        plan = self.server.plan
        data = plan.contents[self.server.version]
        headers = {"Content-Type": "application/octet-stream"}
        etag = {"strong": f'"v{self.server.version}"', "weak": f'W/"v{self.server.version}"'}.get(plan.etag)
        if etag:
            headers["ETag"] = etag
        status, body = 200, data
        wanted = self.headers.get("Range")
        if (
            wanted
            and fault != "range ignored"
            and self.headers.get("If-Range") == etag
            and plan.etag == "strong"
        ):
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if first >= len(data):
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            if fault == "another range":
                first //= 2
            status, body = 206, data[first:]
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        elif plan.checksum:
            headers["Content-MD5"] = base64.b64encode(
                hashlib.md5(data, usedforsecurity=False).digest()
            ).decode()
        if fault == "length too small":
            body = body[: len(body) // 2]
        sent = int(len(body) * plan.cut) if fault in ("truncated", "reset in the body") else len(body)
        self._send(status, body, headers, sent=sent, slow=fault == "slow body")
        if fault == "reset in the body":
            self._reset()

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        sent: int | None = None,
        slow: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        part = body if sent is None else body[:sent]
        piece = -(-len(part) // PIECES) if slow and part else len(part) or 1
        for start in range(0, len(part), piece):
            self.wfile.write(part[start : start + piece])
            if slow:
                self.server.released.wait(SLOW)
        if len(part) < len(body):
            self.close_connection = True

    def _reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
