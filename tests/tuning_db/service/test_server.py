"""A server with TLS."""

from __future__ import annotations

import asyncio
import datetime
import http.client
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

from tuning_db.note import SigningKey
from tuning_db.service.config import Config
from tuning_db.service.server import listen, make_server
from tuning_db.store import Store


def certificate(folder: Path, name: str = "tls") -> tuple[Path, Path]:
    """A certificate that signs itself, and its key, in files that may be there already."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(made.public_bytes(form.Encoding.PEM))
    secret.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    return chain, secret


def test_tls(tmp_path: Path) -> None:
    with Store.open(tmp_path / "race.db"):
        pass
    chain, secret = certificate(tmp_path)
    ready = threading.Event()
    config = Config(tmp_path / "race.db", SigningKey.new("race.example"), readers=1)

    def renewed() -> str:
        """The certificate that a new connection gets, once the server has read the files again."""
        loop.call_soon_threadsafe(server.renew)
        return ssl.get_server_certificate(bound.getsockname())

    with listen("127.0.0.1", 0) as bound:
        server = make_server(config, ready.set, chain, secret)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=[server.serve(sockets=[bound])])
        thread.start()
        try:
            assert ready.wait(60)
            trusting = ssl.create_default_context(cafile=str(chain))
            trusting.check_hostname = False
            port = bound.getsockname()[1]
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trusting)
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, answer.read()[:1]) == (200, b"{")
            first = ssl.get_server_certificate(bound.getsockname())
            # A new pair is used from the next connection on; half of one is not.
            chain.write_bytes(certificate(tmp_path, "new")[0].read_bytes())
            assert renewed() == first
            certificate(tmp_path)
            second = renewed()
            assert second not in (first, "")
            (tmp_path / "tls.key").write_bytes(b"no key")
            assert renewed() == second
            # The connection from before goes on.
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()
        finally:
            server.should_exit = True
            thread.join(60)


def test_no_answer_waits_to_be_acknowledged() -> None:
    with listen("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname()):
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
