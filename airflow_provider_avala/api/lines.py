"""Are these lines JSON objects in UTF-8, one a line, and how many are there.

A block of lines is checked with ``msgspec``, which is part of every Airflow: it decodes each line into an object
without fields, so that it checks all of the line and builds nothing. Measured with lines of 230 bytes, in MB for each
second of one core: msgspec so 1150, msgspec into ``dict[str, Raw]`` 530, orjson (one more dependency) 300, ``json`` of
the standard library 60. Skipped strings are not checked for UTF-8, so the block is decoded before. A block that fails
is read again line by line with ``json``, which has the last word and better words for what is wrong.
"""

from __future__ import annotations

import codecs
import json
from io import BytesIO
from typing import NoReturn

import msgspec

from airflow_provider_avala.api.errors import AvalaConfigurationError

#: What a source should hold, for messages.
RULE = "Write one JSON object a line, in UTF-8"

_WHITESPACE = " \t\r\n"
#: Decoded at once: small enough for memory that is used again, whatever the characters. Above 128 KiB the C library
#: asks the system for each block anew, which takes five times as long.
_UTF8_CHUNK = 32 * 1024


def count_lines(label: str, before: int, lines: bytes) -> tuple[int, int]:
    """Count lines and items.

    :param label: the source's name; not used, nor is ``before``: see :func:`check_lines`.
    :param before: how many lines stand before these.
    :param lines: whole lines.
    """
    blank = list(map(bytes.isspace, BytesIO(lines)))  # a loop in C
    return len(blank), len(blank) - sum(blank)


def check_lines(label: str, before: int, lines: bytes) -> tuple[int, int]:
    """Check whole lines, and count lines and items.

    :param label: the source's name, for messages.
    :param before: how many lines stand before these.
    :param lines: whole lines.
    :raises AvalaConfigurationError: at the first line that is neither blank nor a JSON object in UTF-8.
    """
    if found := count_objects(lines):
        return found, found
    number = items = 0
    for number, line in enumerate(BytesIO(lines), start=1):
        if line.isspace():
            continue
        items += 1
        if problem := _problem_of(line):
            document = before + number == 1 and (line.lstrip()[:1] == b"[" or line.strip() == b"{")
            hint = "; the file looks like one JSON document instead of JSONL" if document else ""
            refuse_line(label, before + number, problem + hint)
    return number, items


def count_objects(lines: bytes) -> int:
    """How many lines there are, if each of them is a JSON object beyond doubt; else 0.

    :param lines: whole lines.
    """
    try:
        if not lines.isascii():
            _require_utf8(lines)
        return len(list(map(_decode, BytesIO(lines))))  # a loop in C
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0


def _require_utf8(lines: bytes) -> None:
    view, begin = memoryview(lines), 0
    while begin < len(lines):
        end = begin + _UTF8_CHUNK
        # What a chunk cuts off of its last character belongs to the next one.
        begin += codecs.utf_8_decode(view[begin:end], "strict", end >= len(lines))[1]


class _AnyObject(msgspec.Struct, gc=False):
    """A JSON object whose content is read, and not kept."""


_decode = msgspec.json.Decoder(_AnyObject).decode


def refuse_line(label: str, number: int, problem: str) -> NoReturn:
    """Say what is wrong with a line.

    :param label: the source's name.
    :param number: of the line, counted from 1.
    :param problem: in words.
    :raises AvalaConfigurationError: always.
    """
    raise AvalaConfigurationError(f"source: line {number} of {label}: {problem}. {RULE}")


def not_utf8(line: bytes, position: int) -> str:
    """What is wrong with a line that is not UTF-8.

    :param line: the line.
    :param position: of the first byte that is wrong.
    """
    return f"byte 0x{line[position]:02x} at position {position + 1} is not UTF-8"


def _problem_of(line: bytes) -> str | None:
    try:
        text = line.decode().strip(_WHITESPACE)
        value, end = _decoder.raw_decode(text)  # half the time of decode()
    except UnicodeDecodeError as error:
        return not_utf8(line, error.start)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"not usable JSON: {error}"
    if end < len(text):
        return f"not JSON: something follows the value that ends at column {end}"
    return None if isinstance(value, dict) else f"expected a JSON object, got a {type(value).__name__}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


# Nobody needs the numbers, and int() refuses those of thousands of digits.
_decoder = json.JSONDecoder(parse_int=len, parse_constant=_refuse_constant)
