"""Connections over TLS."""

import socket
import ssl
import threading

import pytest

from airflow_provider_avala.api.settings import Settings
from airflow_provider_avala.api.wire import Wire
from tests.api.conftest import KEY

ANSWER = b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 15\r\n\r\n{"detail":"no"}'
CHUNK = b"x" * 65536


@pytest.fixture
def refusing(certificate):
    """A server that answers when it has seen the head, and closes: its URL, and an event that it has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener, closed = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve():
        connection, _ = listener.accept()
        with listener, context.wrap_socket(connection, server_side=True) as secure:
            while b"\r\n\r\n" not in secure.recv(65536):
                pass
            secure.sendall(ANSWER)
        closed.set()

    threading.Thread(target=serve, daemon=True).start()
    return f"https://127.0.0.1:{listener.getsockname()[1]}", closed


class Large:
    """A body that goes on when the server has closed."""

    content_type = "text/plain"
    chunks = 100

    def __init__(self, closed):
        self.closed = closed

    def __len__(self):
        return self.chunks * len(CHUNK)

    def __iter__(self):
        assert self.closed.wait(10)
        for _ in range(self.chunks):
            yield CHUNK


def test_an_answer_that_comes_before_the_whole_body_is_sent_is_read(refusing, certificate):
    url, closed = refusing
    wire = Wire(Settings.parse(host=url, password=KEY, extra={"timeout": 5, "verify": str(certificate)}))
    answer = wire.send("POST", f"{url}/items", authenticate=True, body=Large(closed))
    wire.close()
    assert (answer.status_code, answer.json()) == (401, {"detail": "no"})
