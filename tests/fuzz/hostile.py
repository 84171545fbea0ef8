"""What nobody should send, as hypothesis strategies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

#: The same examples in every run, so that it depends on nothing but the code; FUZZ_EXAMPLES asks for more.
bounded = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "25")),
    suppress_health_check=[*HealthCheck],
)

DEPTHS = (50, 300, 900, 100_000)
NUMBERS = [
    "0",
    "-1",
    "1",
    "1e999",
    "-0",
    "٣",
    "٣٤",
    " 7 ",
    "+5",
    "0x10",
    "1_000",
    "NaN",
    "inf",
    "9" * 5000,
    "²",
]
NUMBERS += ["1.5", "1.", ".5", "9" * 400 + ".5", "1,2", "3600", "1e3", "18446744073709551616"]
DATES = ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 2015 99:99:99 GMT", "Mon, 1 Jan 0001 00:00:00 +2359"]
DATES += [
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Wed, 21 Oct 99999 07:28:00 GMT",
    "x" * 5000,
    "1 1 1 1:1:1 " + "9" * 30,
]
DATES += ["0001-01-01T00:01:00+00:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "0001-01-01T00:00:00+14:00"]
URLS = ["http://[", "http://[::1", "//", "http://a:b", "http://a:99999/", "?", "#", "http://x\u2100.com/"]
URLS += [
    "file:///etc/passwd",
    "/exports/?cursor=\ud800",
    "http://127.0.0.1:1/\x00",
    "\\\\host\\x",
    "http://a@b/",
]
URLS += [
    "javascript:1",
    "http://" + "a" * 5000,
    "http://127.0.0.1:٣/",
    "  http://x ",
    "%zz%",
    "http://\ud800/",
]
TEXTS = [
    "",
    " ",
    "\ud800",
    "\x00",
    "\ufeff",
    "a\r\nb",
    "\u202e",
    "..",
    "../..",
    "x" * 5000,
    "None",
    "٣",
    "exported",
]

#: What an honest answer has, so that hostile values come where they are read.
KEYS = [
    "results",
    "items",
    "next",
    "previous",
    "cursor",
    "has_more",
    "total",
    "count",
    "uid",
    "id",
    "name",
    "status",
]
KEYS += [
    "created_at",
    "download_url",
    "exported_task_count",
    "total_task_count",
    "error",
    "detail",
    "message",
    "code",
]
KEYS += [
    "details",
    "doc_url",
    "field",
    "loc",
    "path",
    "msg",
    "limit",
    "used",
    "method",
    "url",
    "fields",
    "headers",
]
KEYS += [
    "upload_uid",
    "part_size",
    "part_count",
    "uploaded_parts",
    "parts",
    "part_number",
    "size",
    "complete",
]
KEYS += [
    "accepted",
    "created",
    "ingest_ok",
    "issues",
    "item_count",
    "dataset_uid",
    "projects",
    "datasets",
    "__proto__",
]

texts = st.one_of(st.sampled_from(TEXTS + URLS + DATES + NUMBERS), st.text(max_size=30))
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**4000, 5 * 1024 * 1024, float("inf"), float("nan"), True]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=6)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=8)

_MARKS = [
    b"",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\x00",
    b"\xff",
    b'{"a": 1, "a": 2}',
    b"NaN",
    b"-Infinity",
]
_NESTED = [
    text * depth
    for depth in DEPTHS[:3]
    for text in (b"[", b'{"detail":', b'{"error":[', b'{"results":[{"a":')
]
_HUGE = [
    b"9" * 5000,
    b'{"uid": ' + b"9" * 5000 + b"}",
    b'"\\ud800"',
    b'{"\\u0000": "\\u0000"}',
    b"1e999",
    b'"' * 3,
]


def outcome(call: Callable[[], Any], *refusals: type[Exception]) -> tuple[Any, str]:
    """What a call returns, or the words in which it refuses; anything else that it raises is a failure of the test."""
    try:
        return call(), ""
    except refusals as error:
        return None, str(error)


def nested(depth: int, opening: str = "[", closing: str = "]", inside: str = "1") -> bytes:
    """JSON of some depth."""
    return (opening * depth + inside + closing * depth).encode()


@st.composite
def bodies(draw: Callable[[Any], Any]) -> bytes:
    """Bytes that are JSON, or were meant to be, or never were."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.binary(max_size=300))
    if kind == 1:
        return draw(st.sampled_from(_MARKS + _NESTED + _HUGE))
    if kind == 2:
        depth = draw(st.sampled_from(DEPTHS[:3]))
        return draw(
            st.sampled_from([nested(depth), nested(depth, '{"error":', "}"), nested(depth, '{"a":', "}")])
        )
    text = json.dumps(draw(objects | values), ensure_ascii=draw(st.booleans()))
    encoded = text.encode(draw(st.sampled_from(["utf-8", "utf-16", "utf-32-be", "latin-1"])), "replace")
    if kind == 3:
        return draw(st.sampled_from(_MARKS)) + encoded
    cut = draw(st.integers(0, len(encoded)))
    return encoded[:cut] + draw(st.binary(max_size=3)) + encoded[cut + draw(st.integers(0, 3)) :]


NAMES = [
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "ETag",
    "Content-Range",
]
NAMES += [
    "Content-Length",
    "Content-Type",
    "Content-Encoding",
    "Transfer-Encoding",
    "Content-Disposition",
    "Location",
]
NAMES += [
    "Content-MD5",
    "x-amz-checksum-crc32",
    "x-amz-checksum-sha256",
    "Digest",
    "Repr-Digest",
    "x-goog-hash",
]
NAMES += ["X-Request-Id", "Set-Cookie", "Last-Modified"]
_RANGES = [f"bytes {a}-{b}/{c}" for a in ("0", "5", "9" * 5000, "٣") for b in ("9", "٤") for c in ("10", "*")]
_RANGES += [f"bytes 5-{'9' * 4301}/*", f"bytes 5-9/{'9' * 4301}"]
_MISC = [
    '"abc"',
    'W/"abc"',
    '""',
    '"',
    '"a\r\n b"',
    '"é"',
    "sha-256=:AAAA:, md5=é, =, ,,",
    "crc32=" + "A" * 5000,
]
_MISC += [
    "text/html; charset=\x00",
    "gzip",
    "br, gzip",
    "chunked",
    "a=b; Path=/; Max-Age=1e999",
    "application/json",
]
header_values = st.one_of(
    st.sampled_from(NUMBERS + DATES + URLS + _RANGES + _MISC),
    st.text(max_size=20),
    st.binary(max_size=20).map(str),
)
headers: st.SearchStrategy[Mapping[str, str]] = st.dictionaries(
    st.sampled_from(NAMES), header_values, max_size=6
).map(CaseInsensitiveDict)
statuses = st.one_of(
    st.sampled_from([200, 206, 304, 400, 401, 404, 416, 429, 500, 503, 999]), st.integers(100, 999)
)
