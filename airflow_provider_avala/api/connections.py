"""What connections do better than those of ``requests``, for uploads above all.

Over plain HTTP, the kernel sends file slices past this process, and answers are acknowledged at once. Over TLS, what a
server answers before it has taken the whole request is read.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_avala.api.file_slice import FileSlice

#: Asks for what arrives next to be acknowledged at once; only Linux knows it.
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class _PlainConnection(HTTPConnection):
    def send(self, data: Any) -> None:
        if isinstance(data, FileSlice) and self.sock:
            data.send_to(self.sock)
        else:
            super().send(data)

    def getresponse(self) -> Any:
        # Many a server writes the head of its answer and then the body, and holds the body back until the head is
        # acknowledged. The kernel by itself would take 40 ms over that, for each request.
        if self.sock and _QUICK_ACK is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        return super().getresponse()


class _TLSConnection(HTTPSConnection):
    def send(self, data: Any) -> None:
        # A server that refuses a request by its head closes while the body is on its way. Its answer waits to be read,
        # and urllib3 does that where a pipe broke, but does not know that TLS has another name for it.
        try:
            super().send(data)
        except ssl.SSLEOFError as error:
            raise BrokenPipeError(errno.EPIPE, str(error)) from error


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class ConnectionsAdapter(HTTPAdapter):
    """Has ``requests`` use the connections of this module."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Name the classes that make connections.

        :param args: of ``requests``.
        :param options: of ``requests``.
        """
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TLSPool}
