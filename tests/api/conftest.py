"""Clients on a clock of their own, and a guard that the key never shows."""

from __future__ import annotations

import datetime
import ipaddress
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_avala.api.client import AvalaClient
from airflow_provider_avala.api.settings import Settings
from tests.api.loopback import Clock

KEY = "avk_3f0c9d7e5b1a"

ClientOf = Callable[..., AvalaClient]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client_of(clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[ClientOf]:
    """Make clients of a base URL, with extras; their time is ``clock``, their jitter a half."""
    caplog.set_level(logging.DEBUG)
    clients = []

    def make(base_url: str, key: str = KEY, **extra: object) -> AvalaClient:
        extra = {"rate_limit_store": "memory", "rate_limits": "1000/1", **extra}
        settings = Settings.parse(host=base_url, password=key, extra=extra)
        settings = replace(settings, state_dir=str(tmp_path / "limits"))
        clients.append(AvalaClient(settings, clock=clock, chance=lambda: 0.5))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
        assert client.settings.api_key not in caplog.text


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
