"""Connections that know file slices: the kernel sends those over plain HTTP, past this process."""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from airflow_provider_avala.api.file_slice import FileSlice


class _Connection(HTTPConnection):
    def send(self, data: Any) -> None:
        if isinstance(data, FileSlice) and self.sock:
            data.send_to(self.sock)
        else:
            super().send(data)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class SlicesAdapter(HTTPAdapter):
    """Sends file slices over plain HTTP by the kernel; anything else as ever."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Have plain connections made by a class that knows file slices.

        :param args: of ``requests``.
        :param options: of ``requests``.
        """
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {**self.poolmanager.pool_classes_by_scheme, "http": _Pool}
