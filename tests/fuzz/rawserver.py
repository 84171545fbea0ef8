"""A server that sends bytes as they are, whatever it was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from types import TracebackType


class RawServer:
    """Reads the head of each request, then sends :attr:`answer` and closes the connection.

    :ivar answer: pieces to be sent; as much of it as the client takes.
    :ivar connections: how many there were.
    :ivar sent: bytes that were sent on the last one.
    """

    def __init__(self) -> None:
        self.answer: Iterable[bytes] = ()
        self.connections = self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.sent = 0
            with connection:
                try:
                    self._answer(connection)
                except OSError:
                    continue  # the client has heard enough

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(65536)
            if not received:
                return
            head += received
        for piece in self.answer:
            connection.sendall(piece)
            self.sent += len(piece)
        connection.shutdown(socket.SHUT_WR)


def zeros(megabytes: int) -> Iterator[bytes]:
    """So many megabytes."""
    return islice(iter(lambda: bytes(1024 * 1024), None), megabytes)
