"""The client: alike over a socket of a service and over a file, patient, and in one line whatever a server does."""

from __future__ import annotations

import io
import os
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from targets.errors import HeadstartError, InputError
from tests.tuning_db.claims import SPACES
from tests.tuning_db.service.hostile import hostile, http
from tests.tuning_db.service.running import EARLY, LAUNCH, SERVICE, START, Service, running
from tests.tuning_db.service.test_server import certificate
from tuning_db.client import Client, Patience, ServiceError, at, connect
from tuning_db.keyfile import write_key
from tuning_db.possession import prove
from tuning_db.readers import record, text
from tuning_db.store import Store

QUICK = Patience(connect_s=60, read_s=60, answer_s=60, tries=3, pause_s=0.001)
OK = http(b'{"answer": 1}')
Open = Callable[..., AbstractContextManager[Client]]


def opened_at(url: str) -> AbstractContextManager[Client]:
    """A client of little patience, with a token."""
    return connect(url, "hst_x", patience=QUICK)


def raises(said: str) -> pytest.RaisesExc[HeadstartError]:
    """An error with this in its line."""
    return pytest.raises(HeadstartError, match=said)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as started:
        write_key(tmp_path / "service.key", started.key)
        yield started


@pytest.fixture(params=["url", "file"])
def opened(request: pytest.FixtureRequest, service: Service, monkeypatch: pytest.MonkeyPatch) -> Open:
    """How to connect as somebody, by URL or to the file while the service runs on it."""
    if request.param == "url":
        return lambda who="": connect(f"http://127.0.0.1:{service.port}", service.tokens[who] if who else None)
    # Both have the clock and the spaces of the tests.
    from tuning_db.service import config

    made, timed = config.Config, {"clock": lambda: service.now, "spaces": SPACES}
    monkeypatch.setattr(config, "Config", lambda *args, **fields: made(*args, **timed, **fields))
    return lambda who="": connect(str(service.db), account=who, ledger_key=service.db.parent / "service.key")


def test_a_race_through_the_client(opened: Open, service: Service) -> None:
    release = service.release()
    service.invite(release, "acme")
    with opened("acme") as acme:
        assert acme.get(at("account")) == {
            "id": service.ids["acme"],
            "name": "acme",
            "role": "vendor",
            "scopes": ["read", "submit"],
        }
        assert acme.get("/healthz")["service"] == SERVICE
        assert acme.get(at("releases"))["releases"] == []
        service.register("acme")
        (key,) = acme.get(at("keys"))["keys"]
        assert acme.post(at("keys"), prove(service.keys["acme"], "acme", SERVICE).dumps()) == key
        service.now = EARLY
        assert acme.get(at("releases", "r1"))["id"] == release
        sent = service.envelope("acme")
        taken = acme.post(at("submissions"), sent)
        assert acme.post(at("submissions"), sent) == taken
        with pytest.raises(ServiceError) as refused:
            acme.post(at("submissions"), service.envelope("acme"))
        assert (refused.value.status, refused.value.code, refused.value.exit_code) == (422, "refused", 1)
        assert [reason["code"] for reason in refused.value.reasons] == ["replayed"]
        acme.delete(at("keys", key["id"]))
        assert acme.get(at("keys"))["keys"][0]["revoked"] == EARLY
    with opened() as anybody:
        assert anybody.get(at("releases")) == {"releases": []}
        for path in (at("releases", "r1"), at("releases", "none"), at("claims", taken["claims"][0])):
            with pytest.raises(ServiceError) as hidden:
                anybody.get(path)
            assert (hidden.value.status, str(hidden.value)) == (404, "no such thing is open to you")
        with pytest.raises(HeadstartError, match=r"--token-file|--as"):
            anybody.get(at("keys"))
        service.now = LAUNCH
        assert anybody.get(at("claims", taken["claims"][0]))["vendor"] == "acme"
        with pytest.raises(ServiceError, match="old"):
            anybody.get(at("ledgers", "public", "checkpoint"), old="x")


def test_a_file_is_served_to_nobody_else(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Path, int, int]] = []
    bind = socket.socket.bind

    def look(bound: socket.socket, address: Any) -> None:
        bind(bound, address)
        if bound.family == socket.AF_UNIX:
            folder = Path(address).parent
            seen.append((folder, stat.S_IMODE(folder.stat().st_mode), folder.stat().st_uid))

    monkeypatch.setattr(socket.socket, "bind", look)
    with connect(str(service.db), account="lab") as client:
        assert client.get(at("account"))["role"] == "publisher"
    ((folder, mode, owner),) = seen
    assert (mode, owner) == (0o700, os.getuid())
    assert not folder.exists()


def test_what_a_service_has_in_the_making_stays(service: Service) -> None:
    copy = service.db.parent / f".{service.db.name}.backup-1"
    copy.mkdir()
    with connect(str(service.db)) as client:
        client.get("/healthz")
    assert copy.is_dir()


def test_a_file_without_a_key_does_all_but_sign(service: Service) -> None:
    with connect(str(service.db), account="acme") as client:
        assert client.get("/healthz")["service"] == ""
        assert client.get(at("releases")) == {"releases": []}
        with pytest.raises(ServiceError, match="--ledger-key"):
            client.get(at("ledgers", "public", "checkpoint"))


def test_what_does_not_go_together(tmp_path: Path) -> None:
    with Store.open(tmp_path / "race.db") as store:
        store.add_account("gone", "vendor", START)
        store.close_account("gone", START)
    (tmp_path / "not.pem").write_text("no certificate")
    file, url = str(tmp_path / "race.db"), "https://race.example"
    wrong: list[tuple[str, dict[str, Any], str]] = [
        (file, {"token": "hst_x"}, "--as"),
        (file, {"account": "nobody"}, "no account 'nobody'"),
        (str(tmp_path / "no.db"), {}, "no database at"),
        (file, {"ledger_key": tmp_path / "no.key"}, "cannot read"),
        (url, {"account": "acme"}, "a token says who you are"),
        ("ftp://race.example", {}, "no URL of a service"),
        ("https://", {}, "no URL of a service"),
        ("https://race.example:0", {}, "no URL of a service"),
        ("https://race.example?x=1", {}, "no URL of a service"),
        ("https://me:secret@race.example", {}, "holds no name or password"),
        ("http://race.example", {"token": "hst_x"}, "--plain-http"),
        ("http://127.0.0.1.race.example", {"token": "hst_x"}, "--plain-http"),
        (url, {"token": "hst_x\nHost: evil"}, "one word"),
        (url, {"token": ""}, "one word"),
        (url, {"ca": tmp_path / "not.pem"}, "no certificates"),
    ]
    for where, given, said in wrong:
        with pytest.raises(InputError, match=said) as error, connect(where, **given):
            pass
        assert "\n" not in str(error.value)
        assert "hst_" not in str(error.value)
        assert "secret" not in str(error.value)
    with connect(file, account="gone") as client, pytest.raises(ServiceError, match="closed"):
        client.get(at("account"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_token_goes_to_this_machine_without_tls(host: str) -> None:
    with connect(f"http://{host}:9", "hst_x"):
        pass
    with connect("http://race.example", "hst_x", plain_http=True):
        pass


def test_it_comes_again_with_the_very_same_bytes() -> None:
    busy = http(b'{"error": {"code": "unavailable", "message": "later"}}', "503 Service Unavailable", "Retry-After: 0")
    said: list[str] = []
    with hostile(busy, b"", OK) as (url, got), connect(url, "hst_x", patience=QUICK, say=said.append) as client:
        assert client.post(at("submissions"), b"the envelope") == {"answer": 1}
    assert len(got) == 3
    assert len(set(got)) == 1
    assert got[0].endswith(b"\r\n\r\nthe envelope")
    assert [line.rpartition("; ")[0] for line in said] == [
        "later",
        f"{url}: the connection was lost; whether it was done is not known",
    ]


def test_what_may_have_been_done_is_not_done_again() -> None:
    with hostile(b"", OK) as (url, got), opened_at(url) as client, raises("whether it was done is not known"):
        client.post(at("releases"), {}, again=False)
    assert len(got) == 1


def test_it_gives_up() -> None:
    busy = http(b'{"error": {"code": "too_many_requests", "message": "too many"}}', "429 Too Many", "Retry-After: 0")
    with hostile(busy) as (url, got), connect(url, patience=QUICK) as client:
        with pytest.raises(ServiceError, match=r"^too many$") as error:
            client.get(at("releases"))
        assert (error.value.status, error.value.exit_code, len(got)) == (429, 1, 3)
    long = http(b'{"error": {"code": "quota", "message": "tomorrow"}}', "429 Too Many", "Retry-After: 86400")
    with hostile(long) as (url, got), connect(url, patience=QUICK) as client:
        with pytest.raises(ServiceError, match="tomorrow"):
            client.get(at("releases"))
        assert len(got) == 1
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said: list[str] = []
    url = f"http://127.0.0.1:{port}"
    with connect(url, patience=QUICK, say=said.append) as client, raises("cannot be reached: Connection refused"):
        client.get(at("releases"))
    assert len(said) == 2


def endless(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"x": "')
    while True:
        connection.sendall(b"x" * (1 << 20))


def dripping(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"x": "')
    for _ in range(1000):
        connection.sendall(b"x")
        threading.Event().wait(0.01)


def silent(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"<html>"), "answers as no Headstart does: is not JSON"),
        (http(b"[1]"), "is not a JSON object"),
        (http(b'{"a": 1, "a": 2}'), "names a field twice"),
        (http(b'{"a": NaN}'), "not JSON"),
        (http(b"[" * 100_000), "nested too deeply"),
        (http(b'{"name": 1}'), "name: must be text"),
        (http(b'{"\\u001b[2J": 1}'), "must have the fields name; missing or too many: "),
        (http(b"\xff\xfe"), "is not UTF-8"),
        (http(b"x", "200 OK", "Content-Encoding: gzip"), "compressed"),
        (endless, "more than 64 MiB"),
        (dripping, "took longer than"),
        (silent, "no answer in time"),
        (b"SSH-2.0-OpenSSH_9\r\n", "the connection was lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", "the connection was lost"),
        (http(b"", "302 Found", "Location: http://evil.example/"), "it is at http://evil.example/"),
        (http(b"{}", "404 Not Found"), "answers with status 404, and not as a Headstart does"),
        (http(b'{"error": []}', "500 Oh"), "answers with status 500, and not as a Headstart does"),
        (http(b'{"error": {"code": 1, "message": "\\u001b[2Jno\\n"}}', "400 Bad"), r"^\\x1b\[2Jno$"),
        (http(b'{"error": {"code": "x", "message": "m", "reasons": 7}}', "422 No"), "answers with status 422"),
    ],
)
def test_whatever_a_server_answers_is_one_line(answer: Any, said: str) -> None:
    patience = Patience(connect_s=5, read_s=0.2, answer_s=0.3, tries=1) if answer in (dripping, silent) else QUICK
    with hostile(answer) as (url, got), connect(url, "hst_secret", patience=patience) as client, raises(said) as error:
        client.get(at("releases"), form=record({"name": text}))
    line = str(error.value)
    assert line.isprintable()
    assert "secret" not in line
    assert got


def test_a_token_does_not_follow_a_redirect() -> None:
    with hostile(OK) as (other, elsewhere), hostile(http(b"", "307 Moved", f"Location: {other}")) as (url, _):
        with connect(url, "hst_secret") as client, raises("nothing was sent there"):
            client.post(at("submissions"), b"x")
        assert elsewhere == []


def test_a_download_is_whole_or_an_error() -> None:
    with hostile(http(b"x" * 300_000)) as (url, _), connect(url, patience=QUICK) as client:
        file = io.BytesIO()
        assert client.download(at("backup"), file) == 300_000 == len(file.getvalue())
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxx"
    with hostile(short) as (url, got), connect(url, patience=QUICK) as client:
        with pytest.raises(HeadstartError, match="lost"):
            client.download(at("backup"), io.BytesIO())
        assert len(got) == 1


def test_a_certificate_that_nobody_knows(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    def secure(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as inside:
            inside.do_handshake()
            inside.recv(65536)
            inside.sendall(OK)

    with tls(secure) as url:
        with opened_at(url) as client, raises("certificate is not trusted: .*--ca"):
            client.get(at("releases"))
        with connect(url, "hst_x", ca=chain, patience=QUICK) as client:
            assert client.get(at("releases")) == {"answer": 1}


class tls:
    """A server that speaks TLS at once."""

    def __init__(self, secure: Callable[[socket.socket], None]) -> None:
        self._secure = secure
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"https://localhost:{self._listening.getsockname()[1]}"

    def __exit__(self, *error: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(60)

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listening.accept()[0]
            except OSError:
                return
            with connection:
                try:
                    self._secure(connection)
                except OSError:
                    continue


def test_errors_of_a_file_say_what_is_wrong_with_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    from tuning_db.service import accounts

    def broken(*args: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(accounts, "ask", broken)
    with connect(str(service.db), account="acme") as client, raises("^RuntimeError: boom$"):
        client.get(at("account"))
