"""What is taken, what is refused and why, and what sending it again does."""

from __future__ import annotations

import json
import socket

import pytest

from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.running import EARLY, LAUNCH, SERVICE, Service, call
from tuning_db.check import check
from tuning_db.envelope import MAX_ENVELOPE
from tuning_db.keys import PrivateKey
from tuning_db.possession import prove
from tuning_db.store import Store


@pytest.fixture
def begun(race: Service) -> Service:
    """A race that is open to acme."""
    race.now = EARLY
    return race


def held(service: Service) -> tuple[int, int, int]:
    """How many claims, submissions and entries of ledgers there are."""
    with Store.open(service.db, read_only=True) as store:
        assert check(store) == []
        found = [store.value(f"SELECT count(*) FROM {table}") for table in ("claim", "submission", "ledger_entry")]
    return found[0], found[1], found[2]


def test_a_retry_gets_the_same_answer_and_changes_nothing(begun: Service) -> None:
    sent = begun.envelope("acme", of=batch(claim(1), claim(2), vendor="acme"))
    first = begun.post("/v1/submissions", "acme", sent)
    assert begun.submit("acme", 3).status == 200
    there = held(begun)
    # Also when the log has grown, and when the time is another.
    begun.now += 3600
    again = begun.post("/v1/submissions", "acme", sent)
    assert (first.status, again.seen) == (200, first.seen)
    assert held(begun) == there
    assert there[:2] == (3, 2)


def test_what_was_sent_before_is_refused_otherwise(begun: Service) -> None:
    first = batch(claim(1), claim(2), vendor="acme")
    assert begun.submit("acme", of=first).status == 200
    there = held(begun)
    shuffled = batch(claim(2), claim(1), vendor="acme", nonce="1" * 32)
    assert begun.submit("acme", of=shuffled).reasons == {"replayed"}
    assert begun.submit("acme", of=batch(claim(3), vendor="acme", nonce=first.nonce)).reasons == {"nonce_reused"}
    assert begun.submit("acme", of=batch(claim(1), claim(3), vendor="acme", nonce="2" * 32)).reasons == {"duplicate"}
    assert held(begun) == there


def test_all_or_nothing(begun: Service) -> None:
    there = held(begun)
    impossible = claim(2, samples=(1e-6, 1.1e-6, 1.2e-6))
    refused = begun.submit("acme", of=batch(claim(1), impossible, vendor="acme"))
    assert (refused.status, refused.code) == (422, "refused")
    assert [(one["code"], one["entry"]) for one in refused.json["error"]["reasons"]] == [("below_floor", 2)]
    assert held(begun) == there


def test_whose_it_is(begun: Service) -> None:
    begun.invite(begun.ids["r1"], "rival")
    # Signed by acme's key, sent with another's token; and the other way round.
    assert begun.post("/v1/submissions", "rival", begun.envelope("acme")).reasons == {"unknown_key"}
    stolen = batch(claim(1), vendor="acme")
    assert begun.submit("rival", of=stolen).reasons == {"wrong_vendor"}
    broken = json.loads(begun.envelope("acme"))
    broken["signatures"][0]["sig"] = begun.keys["acme"].sign(b"something else").hex()
    assert begun.post("/v1/submissions", "acme", broken).reasons == {"malformed"}


def test_a_revoked_key_signs_no_more(begun: Service) -> None:
    id = begun.keys["acme"].public.id
    assert begun.delete(f"/v1/keys/{id}", "rival").seen == begun.delete("/v1/keys/knothing", "rival").seen
    assert begun.submit("acme", 1).status == 200
    answer = begun.delete(f"/v1/keys/{id}", "acme")
    assert (answer.status, answer.json) == (200, {"id": id, "revoked": EARLY, "withdrawn": []})
    assert begun.submit("acme", 2).reasons == {"unknown_key"}
    (row,) = begun.get("/v1/keys", "acme").json["keys"]
    assert (row["id"], row["revoked"]) == (id, EARLY)
    # A new one takes its place; the old one is not registered again.
    begun.post("/v1/keys", "acme", prove(begun.keys["acme"], "acme", SERVICE).dumps())
    assert begun.submit("acme", 2).reasons == {"unknown_key"}
    begun.register("acme")
    assert begun.submit("acme", 2).status == 200


def test_a_key_is_registered_by_who_holds_it(service: Service) -> None:
    key = PrivateKey.new("acme-1")
    for account, where in (("late", SERVICE), ("acme", "other.example")):
        answer = service.post("/v1/keys", "acme", prove(key, account, where).dumps())
        assert answer.reasons == {"wrong_vendor"}
    other = json.loads(prove(key, "acme", SERVICE).dumps())
    other["signatures"] = json.loads(prove(PrivateKey.new("x"), "acme", SERVICE).dumps())["signatures"]
    assert service.post("/v1/keys", "acme", other).reasons == {"unknown_key"}
    assert service.get("/v1/keys", "acme").json == {"keys": []}


def test_tokens(begun: Service) -> None:
    path, body = "/v1/submissions", begun.envelope("acme")
    assert begun.post(path, None, body).status == 401
    assert begun.post(path, None, body).headers["www-authenticate"] == "Bearer"
    assert begun.post(path, "lab", body).code == "forbidden"
    for token in ("hst_x_y", begun.tokens["acme"][:-1], "é"):
        begun.tokens["wrong"] = token
        assert begun.get("/v1/releases", "wrong").status == 401
    id = begun.tokens["acme"].split("_")[1]
    # Nobody takes back another's token, but an operator.
    assert begun.delete(f"/v1/tokens/{id}", "rival").seen == begun.delete("/v1/tokens/knothing", "rival").seen
    assert begun.delete(f"/v1/tokens/{id}", "root").status == 204
    assert begun.post(path, "acme", body).status == 401
    begun.now = LAUNCH + 400 * 86400
    assert begun.get("/v1/releases", "rival").status == 401
    assert begun.get("/v1/releases").status == 200


def test_large_bodies_are_not_read(begun: Service) -> None:
    head = f"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {begun.tokens['acme']}\r\n"
    declared = f"{head}Content-Length: {10**10}\r\n\r\n".encode()
    chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    streamed = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * (MAX_ENVELOPE // len(chunk) + 2)
    for sent in (declared, streamed):
        with socket.create_connection(("127.0.0.1", begun.port), timeout=60) as raw:
            raw.sendall(sent)
            assert raw.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert begun.submit("acme").status == 200


def test_a_client_that_goes_away(begun: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstart.service")
    head = f"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {begun.tokens['acme']}\r\n"
    with socket.create_connection(("127.0.0.1", begun.port), timeout=60) as raw:
        raw.sendall(f"{head}Content-Length: 1000\r\n\r\nhalf of".encode())
    assert begun.submit("acme").status == 200
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 1000, b"{}", b'{"payload": NaN}'])
def test_what_is_no_envelope(begun: Service, body: bytes) -> None:
    assert begun.post("/v1/submissions", "acme", body).reasons == {"malformed"}
    for path in ("/v1/releases", f"/v1/releases/{begun.ids['r1']}/invitations"):
        answer = begun.post(path, "lab", body)
        assert (answer.status, answer.code) == (400, "malformed")


def test_a_file_that_cannot_be_written_is_still_read(begun: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(store: Store, *_: object) -> None:
        store.connection.execute("PRAGMA query_only = ON")
        store.execute("UPDATE token SET revoked = 0")

    with monkeypatch.context() as full:
        full.setattr(Store, "revoke_token", read_only)
        answer = begun.delete(f"/v1/tokens/{begun.tokens['acme'].split('_')[1]}", "acme")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert str(begun.db).encode() not in answer.body
    assert begun.submit("acme").code == "unavailable"
    assert begun.get("/v1/releases").status == 200
    assert begun.get("/v1/releases/r1", "rival").code == "not_found"
    # But nobody reads of a release to come without a ledger that says so.
    assert begun.get("/v1/releases/r1", "acme").code == "unavailable"


def test_an_error_that_nobody_thought_of(begun: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Store, "releases", broken)
    answer = begun.get("/v1/releases", "acme")
    assert (answer.status, answer.code) == (500, "internal")
    assert b"secret" not in answer.body


def test_the_document_of_the_api(service: Service) -> None:
    document = call(service.port, "GET", "/v1/openapi.json").json
    assert "/v1/submissions" in document["paths"]
    assert service.get("/docs").code == "not_found"
