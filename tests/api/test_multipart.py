"""The multipart body: read by a foreign parser, sent by requests over a real connection."""

from __future__ import annotations

import email
import email.policy

import pytest
import requests
from python_multipart import FormParser
from python_multipart.multipart import parse_options_header

from airflow_provider_avala.api.multipart import MultipartBody
from tests.api.loopback import Server

CONTENT = b'{"a":1}\r\n' * 1000 + b"--\r\n--not-the-boundary\r\n"


def make(content=CONTENT, name="items-00001.jsonl", **options):
    return MultipartBody(lambda: iter([content[:5], content[5:]]), len(content), name, **options)


def parse(content_type, data):
    """The files in a body, as python-multipart reads them."""
    files = []
    kind, options = parse_options_header(content_type)
    parser = FormParser(kind.decode(), None, files.append, boundary=options[b"boundary"])
    parser.write(data)
    parser.finalize()
    for file in files:
        file.file_object.seek(0)
    return [(file.field_name, file.file_name, file.file_object.read()) for file in files]


def test_a_foreign_parser_finds_the_one_file():
    body = make()

    assert parse(body.content_type, b"".join(body)) == [(b"file", b"items-00001.jsonl", CONTENT)]


def test_its_length_is_what_it_yields_every_time():
    body = make()
    first, second = b"".join(body), b"".join(body)

    assert first == second
    assert len(body) == len(first)


@pytest.mark.parametrize("name", ["plain.jsonl", "späte Bilder.jsonl", 'a "quoted" name.jsonl', "日本.jsonl"])
def test_file_names_survive(name):
    body = make(name=name)
    message = email.message_from_bytes(
        f"Content-Type: {body.content_type}\r\n\r\n".encode() + b"".join(body), policy=email.policy.HTTP
    )
    (part,) = message.iter_parts()

    assert part.get_content_type() == "application/x-ndjson"
    assert part.get_filename().replace("%22", '"') == name


def test_field_and_type_can_be_others():
    sent = b"".join(make(field="data", content_type="application/zip"))

    assert b'name="data"' in sent
    assert b"Content-Type: application/zip\r\n" in sent


def test_requests_sends_it_whole_with_a_length_and_not_chunked():
    body = make()
    with Server(lambda exchange, seen, number: exchange.reply(201, b"{}")) as server:
        for _ in range(2):
            requests.post(server.url, data=body, headers={"Content-Type": body.content_type}, timeout=5)

    for seen in server.seen:
        assert seen.headers["Content-Length"] == str(len(body))
        assert "Transfer-Encoding" not in seen.headers
        assert parse(seen.headers["Content-Type"], seen.body) == [(b"file", b"items-00001.jsonl", CONTENT)]


def test_it_survives_a_redirect_that_keeps_the_method():
    body = make()

    def respond(exchange, seen, number):
        if seen.path == "/":
            exchange.reply(307, Location="/there")
        else:
            exchange.reply(201)

    with Server(respond) as server:
        requests.post(server.url, data=body, headers={"Content-Type": body.content_type}, timeout=5)

    assert [len(seen.body) for seen in server.seen] == [len(body), len(body)]


class BrokeOffError(Exception):
    pass


def test_an_error_of_the_content_reaches_the_caller_as_it_is():
    def chunks():
        yield CONTENT[:100]
        raise BrokeOffError

    body = MultipartBody(chunks, len(CONTENT), "items.jsonl")
    with (
        Server(lambda exchange, seen, number: exchange.reply(201)) as server,
        pytest.raises(BrokeOffError),
    ):
        requests.post(server.url, data=body, headers={"Content-Type": body.content_type}, timeout=5)
