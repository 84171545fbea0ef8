"""A proxy that ends TLS for one host with a throw-away CA, so that bytes meant for it arrive at the emulator."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = (
    f"{'0123456789abcdef' * 2}.r2.cloudflarestorage.com"  # as of an account: all of the SDK's uploads take it
)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey,
                 *extensions: x509.ExtensionType) -> bytes:  # fmt: skip
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """Make a CA and a certificate for :data:`HOST`; return the CA's file and that of certificate and key."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_file, file = folder / "ca.pem", folder / "host.pem"
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    authority = x509.BasicConstraints(ca=True, path_length=0)
    ca_file.write_bytes(_certificate("Throw-away CA", ca_key, "Throw-away CA", ca_key, authority, usage))
    names = x509.SubjectAlternativeName(
        [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(_certificate("Storage", key, "Throw-away CA", ca_key, names) + private)
    return ca_file, file


@dataclass
class Proxy:
    """A running proxy.

    :ivar asked: the host and port of each CONNECT, in order.
    """

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def proxying(certificate: Path, target: str) -> Iterator[Proxy]:
    """Run the proxy: a CONNECT to :data:`HOST` leads to ``target``, any other is refused.

    :param certificate: file with the certificate of :data:`HOST` and its key.
    :param target: URL of the emulator's storage origin.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
    open_sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def run(*arguments: object) -> None:
        thread = threading.Thread(target=arguments[0], args=arguments[1:], daemon=True)
        threads.append(thread)
        thread.start()

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                open_sockets.append(client)
                run(serve, client)

    def serve(client: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1) or b"\r\n\r\n"
            asked = head.decode("latin-1").split()[1] if head.startswith(b"CONNECT ") else "?"
            proxy.asked.append(asked)
            if asked != f"{HOST}:443":
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                client.close()
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            inner = context.wrap_socket(client, server_side=True)
            parts = urlsplit(target)
            server = socket.create_connection((parts.hostname, parts.port))
            open_sockets.extend((inner, server))
            run(copy, server, inner)
            copy(inner, server)

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    run(accept)
    try:
        yield proxy
    finally:
        for each in (listener, *open_sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in threads:
            thread.join(5)
