"""A server that takes webhook messages."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Message:
    """One message as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Say whether the signature is the HMAC-SHA256 of the body as it came."""
        wanted = hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest()
        return self.headers["X-Avala-Webhook-Signature"].removeprefix("sha256=") == wanted


@dataclass
class Receiver:
    """What has arrived, and where."""

    url: str
    messages: list[Message] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Take messages until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            receiver.messages.append(Message(dict(self.headers), body))

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
