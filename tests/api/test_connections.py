"""What connections do better than those of requests."""

import socket

import pytest
import requests

from airflow_provider_avala.api import connections
from tests.api.scripted import Scripted, says

EXCHANGES = 10


@pytest.fixture
def session():
    with requests.Session() as session:
        session.mount("http://", connections.ConnectionsAdapter())
        yield session


def kept_socket(session):
    """That of the one connection which is kept for the next request."""
    pools = session.get_adapter("http://").poolmanager.pools
    (key,) = pools.keys()
    connection = pools[key].pool.get_nowait()
    pools[key].pool.put(connection)
    return connection.sock


def test_every_answer_is_acknowledged_at_once(session):
    acknowledged = []
    with Scripted(*[says(200, {})] * EXCHANGES) as server:
        for _ in range(EXCHANGES):
            session.post(server.url, data=b"x" * 10_000)
            acknowledged.append(kept_socket(session).getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))
    assert acknowledged == [1] * EXCHANGES


def test_system_that_does_not_know_the_wish_is_served(session, monkeypatch):
    monkeypatch.setattr(connections, "_QUICK_ACK", None)
    with Scripted(says(200, {})) as server:
        assert session.post(server.url, data=b"x").status_code == 200
