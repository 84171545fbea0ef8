"""A server of exports that can break off, and a download from it."""

from __future__ import annotations

import random
from pathlib import Path

from airflow_provider_avala.api.downloads import download
from tests.api.loopback import Clock, get

DATA = random.Random(7).randbytes(900_000)
ROOT = Path(__file__).parents[2]
SIGNATURE = "X-Amz-Signature=topsecret"


def serve(data=DATA, etag='"v1"', cuts=(), **headers):
    """Serve ranges of ``data``; the n-th answer breaks off after ``cuts[n]`` bytes of its body."""
    headers |= {"ETag": etag} if etag else {}

    def respond(exchange, seen, number):
        cut = cuts[number - 1] if number <= len(cuts) else None
        wanted = seen.headers.get("Range")
        if wanted and seen.headers.get("If-Range") == etag:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if first >= len(data):
                return exchange.reply(416, Content_Range=f"bytes */{len(data)}")
            span = f"bytes {first}-{len(data) - 1}/{len(data)}"
            return exchange.reply(206, data[first:], cut=cut, Content_Range=span, **headers)
        return exchange.reply(200, data, cut=cut, **headers)

    return respond


def in_turn(*answers):
    """Answer the first request with the first function, and so on; the last one answers all that follow."""
    return lambda exchange, seen, number: answers[min(number, len(answers)) - 1](exchange, seen, number)


def fetch(server, target, *, path=f"/export.bin?{SIGNATURE}", clock=None, **options):
    options = {"get_url": lambda: server.url + path, "chance": lambda: 1.0, **options}
    return download(get, options.pop("get_url"), target, clock=clock or Clock(), **options)


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())
