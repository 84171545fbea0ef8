"""Connections over TLS: what a server answers before it has taken the whole request is read."""

from __future__ import annotations

import errno
import ssl
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool


class _Connection(HTTPSConnection):
    def send(self, data: Any) -> None:
        # A server that refuses a request by its head closes while the body is on its way. Its answer waits to be read,
        # and urllib3 does that where a pipe broke, but does not know that TLS has another name for it.
        try:
            super().send(data)
        except ssl.SSLEOFError as error:
            raise BrokenPipeError(errno.EPIPE, str(error)) from error


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class TLSAdapter(HTTPAdapter):
    """Makes connections that read an early answer."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Have TLS connections made by a class of ours.

        :param args: of ``requests``.
        :param options: of ``requests``.
        """
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {**self.poolmanager.pool_classes_by_scheme, "https": _Pool}
