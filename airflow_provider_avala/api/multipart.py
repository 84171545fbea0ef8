"""A multipart/form-data body with one file in it, streamed and never whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from urllib3.fields import RequestField
from urllib3.filepost import choose_boundary

from airflow_provider_avala.api.file_slice import FileSlice


class MultipartBody:
    """The body of a form upload, of known length, that can be sent any number of times.

    It has a length, so ``requests`` sends it with a ``Content-Length``, and it can be iterated afresh for
    every attempt: a plain generator would be empty the second time and still be answered with success.

    :param chunks: opens the file's content anew each time it is called.
    :param size: how many bytes that content has.
    :param file_name: the name the server sees.
    :param content_type: the media type of the content.
    :param field: the form field that holds the file.
    :param fields: further form fields, which stand before it.
    """

    def __init__(
        self,
        chunks: Callable[[], Iterable[bytes | FileSlice]],
        size: int,
        file_name: str,
        *,
        content_type: str = "application/x-ndjson",
        field: str = "file",
        fields: Mapping[str, str] | None = None,
    ) -> None:
        boundary = choose_boundary()
        header = RequestField(name=field, data=b"", filename=file_name)
        header.make_multipart(content_type=content_type)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._chunks = chunks
        self._prefix = b"".join(_plain(boundary, name, value) for name, value in (fields or {}).items())
        self._prefix += f"--{boundary}\r\n{header.render_headers()}".encode()
        self._suffix = f"\r\n--{boundary}--\r\n".encode()
        self._length = len(self._prefix) + size + len(self._suffix)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes | FileSlice]:
        yield self._prefix
        yield from self._chunks()
        yield self._suffix


def _plain(boundary: str, name: str, value: str) -> bytes:
    header = RequestField(name=name, data=b"")
    header.make_multipart()
    return f"--{boundary}\r\n{header.render_headers()}{value}\r\n".encode()
