"""Sending batches: the same bytes on a retry, receipts that are believed only where they prove the batch."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from targets.errors import HeadstartError, InputError
from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.hostile import hostile, http
from tests.tuning_db.service.running import EARLY, LATE, SERVICE, Service
from tuning_db.client import Patience, connect
from tuning_db.note import SigningKey, VerifierKey
from tuning_db.sending import Parcel, check_receipt, send
from tuning_db.submission import sign_batch

ONCE = Patience(tries=1, connect_s=60, read_s=60, answer_s=60)


def parcel(race: Service, n: int = 1, **fields: Any) -> Parcel:
    return Parcel.of(sign_batch(batch(claim(n), nonce=f"{n:032x}", **fields), race.keys["acme"]).dumps())


def public(race: Service) -> VerifierKey:
    return race.verifier("public")


def test_a_batch_is_sent_with_a_receipt_that_proves_it(race: Service, tmp_path: Path) -> None:
    race.now = EARLY
    folder, made = tmp_path / "new" / "receipts", parcel(race)
    with connect(f"http://127.0.0.1:{race.port}", race.tokens["acme"]) as client:
        sent = send(client, made, folder, race.ids["acme"], public(race))
        assert (sent.taken, sent.verified, len(sent.claims)) == (True, True, 1)
        assert [path.name for path in folder.iterdir()] == [f"{made.batch.id}.receipt.json"]
        # Once more is once.
        again = send(client, made, folder, race.ids["acme"], None)
        assert (again.claims, again.verified) == (sent.claims, False)
        refused = send(client, parcel(race, 2, release="r2"), folder, race.ids["acme"], public(race))
        assert not refused.taken
        assert [(reason["code"], reason["entry"]) for reason in refused.reasons] == [("unknown_workload", 1)]
        assert len(list(folder.iterdir())) == 1


def test_an_attempt_without_an_answer_leaves_its_bytes(race: Service, tmp_path: Path) -> None:
    race.now = EARLY
    made = parcel(race)
    gone = pytest.raises(HeadstartError, match="send it again with: headstart submit --file")
    with hostile(b"") as (url, got), connect(url, "hst_x", patience=ONCE) as client, gone as error:
        send(client, made, tmp_path, race.ids["acme"], public(race))
    left = Path(str(error.value).rpartition(" ")[2])
    assert got[0].endswith(left.read_bytes())
    with connect(f"http://127.0.0.1:{race.port}", race.tokens["acme"]) as client:
        assert send(client, Parcel.read(left), tmp_path, race.ids["acme"], public(race)).taken
    assert not left.exists()


def test_a_receipt_that_proves_something_else(race: Service, tmp_path: Path) -> None:
    race.invite(race.ids["r1"], "rival", opens=EARLY)
    race.now = LATE
    made = parcel(race)
    answer = race.post("/v1/submissions", "acme", made.data).json
    other = race.post("/v1/submissions", "acme", parcel(race, 2).data).json
    theirs = race.submit("rival", 5).json

    def wrong(change: Callable[[dict[str, Any]], object], verifier: VerifierKey | None = None) -> str:
        changed = copy.deepcopy(answer)
        change(changed)
        told = pytest.raises(HeadstartError, match="took the batch, but its receipt")
        with hostile(http(json.dumps(changed).encode())) as (url, _), connect(url, "hst_x") as client, told as error:
            send(client, made, tmp_path, race.ids["acme"], verifier or public(race))
        # Both are kept: what was sent, and what is wrong with the answer.
        assert {path.name.partition(".")[2] for path in tmp_path.glob("b*")} == {"envelope.json", "receipt.json"}
        return str(error.value)

    receipt = json.dumps(answer["receipt"]).encode()
    entry = check_receipt(receipt, answer, made.batch, race.ids["acme"], public(race))
    assert entry.payload["batch"] == made.batch.id
    assert "something else than this batch" in wrong(lambda it: it.update(receipt=other["receipt"]))
    assert "another account's" in wrong(lambda it: it.update(receipt=theirs["receipt"]))
    assert "other claims than the answer" in wrong(lambda it: it.update(claims=other["claims"]))
    assert "other claims than the answer" in wrong(lambda it: it.update(claims=[]))
    assert "has no entry" in wrong(lambda it: it.update(receipt={}))
    assert "has no entry" in wrong(lambda it: it["receipt"].update(entry="[]"))
    assert "of no log" in wrong(lambda it: it["receipt"].update(entry='{"log": 1}'))
    assert "is not signed by" in wrong(lambda it: None, SigningKey.new(f"{SERVICE}/public").verifier)
    assert "is not signed by" in wrong(lambda it: None, VerifierKey("evil.example/public", public(race).public))
    assert "no key of a log" in wrong(lambda it: None, VerifierKey("evil.example", public(race).public))
    changed = answer["receipt"]["entry"].replace('"submit"', '"submot"')
    assert "does not show that entry" in wrong(lambda it: it["receipt"].update(entry=changed))


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 10_000_000], ids=["empty", "other", "long"])
def test_what_is_no_envelope(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    for path in (tmp_path / "x", tmp_path / "none", tmp_path):
        with pytest.raises(InputError) as error:
            Parcel.read(path)
        assert str(path) in str(error.value)
        assert str(error.value).isprintable()
