"""Reading a multipart upload of JSONL as it arrives, keeping nothing but the rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from airflow_provider_avala.emulator.envelopes import ApiError


class RowReader:
    """Cut a byte stream into lines and check that each is a JSON object; blank lines do not count."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.digest = hashlib.sha256()
        self._rest = bytearray()
        self._line = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        :raises ApiError: 400 naming the line that is wrong.
        """
        self.digest.update(data)
        self._rest += data
        if b"\n" not in data:
            return
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._take(bytes(line))

    def finish(self) -> None:
        """Take the last line, which needs no line feed.

        :raises ApiError: 400 for a bad last line, or when there was no row at all.
        """
        self._take(bytes(self._rest))
        self._rest.clear()
        if not self.rows:
            raise ApiError.invalid(file="The submitted file is empty.")

    def _take(self, line: bytes) -> None:
        self._line += 1
        line = line.strip()
        if not line:
            return
        try:
            value = json.loads(line)
        except ValueError:
            raise ApiError.invalid(file=f"Line {self._line}: not valid JSON.") from None
        if not isinstance(value, dict):
            raise ApiError.invalid(file=f"Line {self._line}: not a JSON object.")
        self.rows.append(line)


class UploadForm:
    """The multipart form: exactly one file part, named ``file``. Plain fields beside it are ignored."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise ApiError(415, f'Unsupported media type "{content_type}" in request.')
        if not options.get(b"boundary"):
            raise ApiError(400, "Multipart form parse error - Invalid boundary in multipart: None")
        self.reader = RowReader()
        self._files = 0
        self._ended = False
        self._in_file = False
        self._header = [b"", b""]
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    async def read(self, stream: AsyncIterator[bytes]) -> RowReader:
        """Parse the whole body.

        :raises ApiError: 400 when the form or a line is wrong; nothing is stored then.
        """
        try:
            async for chunk in stream:
                self._parser.write(chunk)
        except FormParserError as error:
            raise ApiError(400, f"Multipart form parse error - {error}") from None
        if not self._ended:
            raise ApiError(400, "Multipart form parse error - the form ends before its last boundary")
        if not self._files:
            raise ApiError.invalid(file="No file was submitted.")
        return self.reader

    def _on_part_begin(self) -> None:
        self._in_file = False

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _on_header_end(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        part = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            return
        if part != "file":
            raise ApiError.invalid(**{part or "file": "Unexpected file: send one part named 'file'."})
        self._files += 1
        if self._files > 1:
            raise ApiError.invalid(file="Send one file per request.")
        self._in_file = True

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.reader.feed(data[start:end])

    def _on_part_end(self) -> None:
        if self._in_file:
            self.reader.finish()

    def _on_end(self) -> None:
        self._ended = True
