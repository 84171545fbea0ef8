"""Connections over plain HTTP: the kernel sends file slices past this process, and answers are not kept waiting."""

from __future__ import annotations

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from airflow_provider_avala.api.file_slice import FileSlice

#: Asks for what arrives next to be acknowledged at once; only Linux knows it.
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class _Connection(HTTPConnection):
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


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class PlainHTTPAdapter(HTTPAdapter):
    """Makes connections that know file slices and acknowledge answers at once."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Have plain connections made by a class of ours.

        :param args: of ``requests``.
        :param options: of ``requests``.
        """
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {**self.poolmanager.pool_classes_by_scheme, "http": _Pool}
