"""Bytes of a file on their way through the kernel, and past it where that is not possible."""

import errno
import os
import random
import socket
import ssl
import threading

import pytest

from airflow_provider_avala.api import file_slice
from airflow_provider_avala.api.errors import AvalaConnectionError
from airflow_provider_avala.api.file_slice import FileSlice, file_slices
from airflow_provider_avala.api.multipart import MultipartBody
from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.api.wire import Wire
from tests.api.bodies import joined
from tests.api.conftest import KEY
from tests.api.loopback import Server
from tests.api.test_multipart import parse

SIZE = 3_000_000
CONTENT = random.Random(1).randbytes(SIZE)


@pytest.fixture
def descriptor(tmp_path):
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


@pytest.fixture
def kernel_calls(monkeypatch):
    """How often the kernel was asked to send a file."""
    calls, sendfile = [], os.sendfile

    def counted(*args):
        calls.append(args)
        return sendfile(*args)

    monkeypatch.setattr(os, "sendfile", counted)
    return calls


def wire_to(host, **extra):
    return Wire(Settings.parse(host=host, password=KEY, extra={"timeout": 5, **extra}))


def form(descriptor, size=SIZE):
    return MultipartBody(lambda: file_slices(descriptor, 0, size), size, "items.jsonl")


def post(wire, url, body):
    return wire.send("POST", url + "/items", authenticate=True, body=body)


def created(exchange, seen, number):
    exchange.reply(201, b"{}")


def arrived(server, body):
    (seen,) = server.seen
    assert seen.headers["Content-Length"] == str(len(body)) == str(len(seen.body))
    return seen.body


def test_over_plain_http_the_kernel_sends_what_the_blocks_would_be(descriptor, kernel_calls):
    body = form(descriptor)
    with Server(created) as server:
        post(wire_to(server.url), server.url, body)

    assert kernel_calls
    assert arrived(server, body) == joined(body)
    assert parse(body.content_type, joined(body)) == [(b"file", b"items.jsonl", CONTENT)]


def test_over_tls_the_blocks_are_sent(descriptor, kernel_calls, certificate):
    body = form(descriptor)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server(created) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        post(wire_to(url, verify=str(certificate)), url, body)

    assert not kernel_calls
    assert arrived(server, body) == joined(body)


def test_through_a_proxy_the_blocks_are_sent(descriptor, kernel_calls):
    body = form(descriptor)
    with Server(created) as proxy:
        url = "http://avala.test"
        post(wire_to(url, proxies={"http": proxy.url}, allow_insecure_http=True), url, body)

    assert not kernel_calls
    assert arrived(proxy, body) == joined(body)


def test_a_file_system_that_the_kernel_cannot_send_from_is_read(descriptor, monkeypatch):
    def unable(*args):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", unable)
    body = form(descriptor)
    with Server(created) as server:
        post(wire_to(server.url), server.url, body)

    assert arrived(server, body) == joined(body)


def silent_server(done):
    """Accept one connection, and read nothing of it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0]:
            done.wait(20)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_takes_nothing_is_given_up_after_the_timeout(descriptor):
    size = 64 << 20  # more than the buffers on the way hold
    os.truncate(descriptor, size)
    done = threading.Event()
    url = silent_server(done)
    try:
        with pytest.raises(AvalaConnectionError, match="timed out") as caught:
            post(wire_to(url, timeout=0.2), url, form(descriptor, size))
    finally:
        done.set()

    assert not caught.value.sent


def test_the_timeout_is_the_connections_own_again_afterwards(descriptor):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(1.5)
        FileSlice(descriptor, 10, 1000).send_to(ours)

        assert ours.gettimeout() == 1.5
        assert theirs.recv(2000) == CONTENT[10:1010]


def test_slices_are_bounded_and_together_the_whole(descriptor, monkeypatch):
    monkeypatch.setattr(file_slice, "SLICE", 1_000_000)
    slices = list(file_slices(descriptor, 5, 2_500_000))

    assert [len(each) for each in slices] == [1_000_000, 1_000_000, 500_000]
    assert joined(slices) == CONTENT[5:2_500_005]


def test_a_file_that_became_too_short_gives_fewer_bytes(descriptor):
    os.truncate(descriptor, 100)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        FileSlice(descriptor, 50, 1000).send_to(ours)

        assert theirs.recv(2000) == joined([FileSlice(descriptor, 50, 1000)]) == CONTENT[50:100]
