"""Receipts and whole logs verify without the database, and nothing else does."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tuning_db.test_audit import harm
from tests.tuning_db.test_ledger import fill
from tuning_db.checkpoint import Checkpoint, key_of_log, sign_checkpoint, verify_checkpoint
from tuning_db.entry import Entry
from tuning_db.note import SigningKey, VerifierKey, sign_note
from tuning_db.receipt import (
    checkpoint_of,
    receipt,
    verify_file,
    verify_growth,
    verify_log,
    verify_receipt,
    write_log,
)
from tuning_db.store import Store

SERVICE = SigningKey("headstart.example", bytes(range(32)))
KEY = key_of_log(SERVICE, "public").verifier
OLD = 5


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store that nothing here changes."""
    with Store.open(tmp_path_factory.mktemp("public") / "x.db") as opened:
        fill(opened)
        fill(opened, "r0123", 3)
        yield opened


@pytest.fixture(scope="module")
def document(public: Store) -> dict[str, Any]:
    return receipt(public, "public", 3, SERVICE, OLD)


@pytest.fixture(scope="module")
def kept(public: Store) -> str:
    return checkpoint_of(public, "public", SERVICE, OLD)


@pytest.fixture(scope="module")
def whole(public: Store) -> bytes:
    file = io.BytesIO()
    assert write_log(public, "public", SERVICE, file) == 11
    return file.getvalue()


def dumped(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def entries(store: Store) -> list[bytes]:
    return [entry.content.encode() for entry in store.entries("public")]


def log_of(contents: list[bytes], signed: str) -> bytes:
    return b"\n".join([dumped({"schema": "headstart-log/1", "checkpoint": signed}), *contents, b""])


def test_a_receipt_verifies_at_every_size(store: Store) -> None:
    for size in range(1, 9):
        store.append("public", "someone", "did", {"n": size})
        for seq in range(size):
            for old in range(size + 1):
                made = dumped(receipt(store, "public", seq, SERVICE, old))
                before = checkpoint_of(store, "public", SERVICE, old)
                assert verify_receipt(made, KEY, before) == (
                    store.entry("public", seq),
                    Checkpoint("headstart.example/public", size, store.root("public")),
                )


def test_a_receipt_is_verified_by_hand(document: dict[str, Any], public: Store) -> None:
    """What ``docs/ledger.md`` says, with nothing of Headstart's."""
    made = hashlib.sha256(b"\0" + document["entry"].encode()).digest()
    at, last = json.loads(document["entry"])["seq"], public.size("public") - 1
    for other in map(bytes.fromhex, document["inclusion"]):
        while at == last and at % 2 == 0:
            at, last = at // 2, last // 2
        made = hashlib.sha256(b"\1" + (other + made if at % 2 else made + other)).digest()
        at, last = at // 2, last // 2
    assert made == public.root("public")


def test_what_was_not_asked_for_is_not_there(public: Store) -> None:
    made = receipt(public, "public", 10, SERVICE)
    assert list(made) == ["schema", "entry", "inclusion", "checkpoint"]
    assert verify_receipt(dumped(made), KEY)[0] == public.entry("public", 10)


def changed(**fields: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: {**document, **fields}


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: {name: value for name, value in document.items() if name not in names}


def other_entry(**fields: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: {
        **document,
        "entry": Entry(**{**vars(Entry.loads(document["entry"].encode())), **fields}).content,
    }


def signed(size: int, root: bytes, key: SigningKey = SERVICE, log: str = "public") -> str:
    named = key_of_log(key, log)
    return sign_checkpoint(Checkpoint(named.name, size, root), named)


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "schema": (changed(schema="headstart-receipt/2"), "has schema 'headstart-receipt/2'"),
    "schema of wrong type": (changed(schema=[]), "has schema"),
    "more": (changed(more=1), "missing or too many: more"),
    "less": (without("inclusion"), "missing or too many: inclusion"),
    "entry": (changed(entry="x"), "entry: is not JSON"),
    "entry of wrong type": (changed(entry={}), "entry: must be text"),
    "entry in another spelling": (lambda d: {**d, "entry": d["entry"].replace(":", ": ")}, "entry: is not canonical"),
    "another actor": (other_entry(actor="me"), "does not show that entry 3"),
    "another number": (other_entry(seq=4), "does not show that entry 4"),
    "a number past the end": (other_entry(seq=11), "does not show that entry 11"),
    "another log": (other_entry(log="r0123"), "the entry is of log r0123"),
    "a proof cut short": (lambda d: {**d, "inclusion": d["inclusion"][:-1]}, "does not show that entry 3"),
    "a proof that goes on": (lambda d: {**d, "inclusion": d["inclusion"] * 2}, "does not show that entry 3"),
    "a proof turned around": (lambda d: {**d, "inclusion": d["inclusion"][::-1]}, "does not show that entry 3"),
    "a proof of no hashes": (changed(inclusion=["00"]), "inclusion: must be 64"),
    "a proof in capitals": (changed(inclusion=["A" * 64]), "inclusion: must be 64"),
    "a proof of numbers": (changed(inclusion=[1]), "inclusion: must be text"),
    "no proof": (changed(inclusion=None), "inclusion: must be an array"),
    "a checkpoint of nothing": (changed(checkpoint=signed(0, bytes(32))), "does not show that entry 3"),
    "a smaller checkpoint": (changed(checkpoint=signed(3, bytes(32))), "does not show that entry 3"),
    "a root of nobody": (changed(checkpoint=signed(11, bytes(32))), "does not show that entry 3"),
    "a stranger's key": (
        changed(checkpoint=signed(11, bytes(32), SigningKey("headstart.example", bytes(32)))),
        "signed",
    ),
    "another service": (changed(checkpoint=signed(11, bytes(32), SigningKey("else.example", bytes(32)))), "not signed"),
    "a checkpoint of another log": (changed(checkpoint=signed(3, bytes(32), SERVICE, "r0123")), "not signed by"),
    "an unsigned checkpoint": (
        lambda d: {**d, "checkpoint": d["checkpoint"].partition("\n\n")[0] + "\n"},
        "checkpoint: ",
    ),
    "a checkpoint that is none": (changed(checkpoint=sign_note("x\n", key_of_log(SERVICE, "public"))), "checkpoint: "),
    "no consistency": (without("consistency"), "no proof that its log continues the 5"),
    "consistency from another size": (changed(consistency={"old": 4, "proof": []}), "no proof that its log continues"),
    "consistency of nothing": (changed(consistency={"old": 5, "proof": []}), "nothing shows that the 11"),
    "consistency of wrong type": (changed(consistency=[]), "consistency: must be an object"),
    "half a consistency": (changed(consistency={"old": 5}), "missing or too many: proof"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_receipts(document: dict[str, Any], kept: str, name: str) -> None:
    change, why = HOSTILE[name]
    assert verify_receipt(dumped(document), KEY, kept)
    with pytest.raises(ValueError, match=r".") as failure:
        verify_receipt(dumped(change(document)), KEY, kept)
    assert why in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{", b'{"a":1,"a":1}', b"\xff", b'{"a":' * 100_000, b"[" * 100_000, b" " * (17 << 20)],
)
def test_what_is_no_receipt(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        verify_receipt(data, KEY)
    with pytest.raises(ValueError, match=r"."):
        verify_file(io.BytesIO(data), KEY)


def test_every_bit_of_a_receipt_counts(document: dict[str, Any], kept: str) -> None:
    """Whatever is changed, either nothing verifies or what verifies is the same."""
    data = dumped(document)
    right = verify_receipt(data, KEY, kept)
    for at in range(0, len(data) * 8, 5):
        changed_data = bytearray(data)
        changed_data[at // 8] ^= 1 << at % 8
        try:
            assert verify_receipt(bytes(changed_data), KEY, kept) == right
        except ValueError:
            continue


@settings(deadline=None)
@given(st.binary(max_size=30), st.integers(0, 2000), st.integers(0, 20))
def test_any_bytes_are_answered(
    document: dict[str, Any], whole: bytes, kept: str, junk: bytes, start: int, length: int
) -> None:
    for data in (junk, *(one[:start] + junk + one[start + length :] for one in (dumped(document), whole))):
        try:
            entry, checkpoint = verify_file(io.BytesIO(data), KEY, kept)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        assert checkpoint.size == 11
        assert entry is None or entry.seq == 3


def test_an_older_checkpoint_must_be_signed_and_older(document: dict[str, Any], public: Store) -> None:
    data = dumped(document)
    for older, why in (
        ("", "older checkpoint: a note is"),
        (signed(5, bytes(32), SigningKey("headstart.example", bytes(32))), "older checkpoint: it is not signed"),
        (signed(5, bytes(32)), "nothing shows that the 11 entries begin with the 5"),
        (signed(12, bytes(32)), "is not the older one, or entries were taken away"),
        (signed(11, bytes(32)), "nothing shows that the 11 entries begin with the 11"),
        (signed(0, bytes(32)), "nothing shows that the 11 entries begin with the 0"),
    ):
        with pytest.raises(ValueError, match=why):
            verify_receipt(data, KEY, older)
    for size in (0, 5, 11):
        assert verify_receipt(data, KEY, checkpoint_of(public, "public", SERVICE, size))


def test_growth_between_two_checkpoints(public: Store) -> None:
    first, last = (verify_checkpoint(checkpoint_of(public, "public", SERVICE, size), KEY) for size in (6, 11))
    verify_growth(first, last, public.consistency("public", 6))
    for older, newer, proof in ((last, first, []), (first, last, []), (first, last, public.consistency("public", 5))):
        with pytest.raises(ValueError, match=r"older|nothing shows"):
            verify_growth(older, newer, proof)


def test_a_log_is_these_lines(whole: bytes, public: Store) -> None:
    head, *rest = whole.splitlines()
    assert json.loads(head) == {"schema": "headstart-log/1", "checkpoint": checkpoint_of(public, "public", SERVICE)}
    assert rest == entries(public)
    assert verify_file(io.BytesIO(whole), KEY) == (None, verify_checkpoint(json.loads(head)["checkpoint"], KEY))


def test_a_log_verifies_from_every_older_checkpoint(whole: bytes, public: Store) -> None:
    for size in range(12):
        older = checkpoint_of(public, "public", SERVICE, size)
        assert verify_file(io.BytesIO(whole), KEY, older)[1].size == 11
        assert verify_log(entries(public)[:size], older, KEY).size == size


def test_an_empty_log(store: Store) -> None:
    file = io.BytesIO()
    assert write_log(store, "public", SERVICE, file) == 0
    assert verify_file(io.BytesIO(file.getvalue()), KEY)[1].size == 0


def test_logs_that_were_changed(public: Store, kept: str) -> None:
    right, top = entries(public), checkpoint_of(public, "public", SERVICE)
    forged = Entry(**{**vars(Entry.loads(right[4])), "actor": "me"}).content.encode()
    stray = next(public.entries("r0123")).content.encode()
    for contents, why in (
        (right[:-1], "there are 10 entries, fewer than the 11"),
        ([], "there are 0 entries, fewer"),
        ([*right, right[-1]], "there are more entries than the 11"),
        (right[1:], "entry 0: says that it is entry 1 of log public"),
        ([*right[:3], right[4], right[3], *right[5:]], "entry 3: says that it is entry 4"),
        ([*right[:4], *right[5:]], "entry 4: says that it is entry 5"),
        ([stray, *right[1:]], "entry 0: says that it is entry 0 of log r0123"),
        ([*right[:4], forged, *right[5:]], "the first 11 entries do not hash"),
        ([*right[:4], right[4] + b" ", *right[5:]], "entry 4: is not canonical"),
        ([*right[:4], b"", *right[5:]], "entry 4: is not JSON"),
    ):
        with pytest.raises(ValueError, match=why):
            verify_log(contents, top, KEY)
        with pytest.raises(ValueError, match=why):
            verify_file(io.BytesIO(log_of(contents, top)), KEY)
    # Already where the older checkpoint ends, before all of the rest is read.
    with pytest.raises(ValueError, match="the first 5 entries do not hash"):
        verify_log([*right[:4], forged, *right[5:]], top, KEY, kept)


def test_a_log_that_was_signed_twice(public: Store) -> None:
    right, top = entries(public), checkpoint_of(public, "public", SERVICE)
    with pytest.raises(ValueError, match="sign different roots: there are two logs"):
        verify_log(right, top, KEY, signed(11, bytes(32)))
    with pytest.raises(ValueError, match="the first 5 entries do not hash"):
        verify_log(right, top, KEY, signed(5, bytes(32)))
    with pytest.raises(ValueError, match="the first 0 entries do not hash"):
        verify_log(right, top, KEY, signed(0, bytes(32)))
    with pytest.raises(ValueError, match="taken away"):
        verify_log(right[:5], checkpoint_of(public, "public", SERVICE, 5), KEY, top)


def test_files_that_are_no_logs(whole: bytes) -> None:
    head, _, rest = whole.partition(b"\n")
    for data, why in (
        (whole[:-1], "cut short"),
        (whole[: len(whole) // 2], "cut short|entry"),
        (head.replace(b'"schema"', b'"more":1,"schema"') + b"\n" + rest, "too many: more"),
        (b'{"schema":"headstart-log/1"}\n' + rest, "too many: checkpoint"),
        (b'{"schema":"headstart-log/2"}\n' + rest, "JSON"),
        (rest, "JSON"),
        (head + b"\n" + b"x" * (17 << 20) + b"\n", "longer than 16 MiB"),
    ):
        with pytest.raises(ValueError, match=why):
            verify_file(io.BytesIO(data), KEY)


def test_a_server_that_rewrites_its_log_cannot_give_the_same_receipts(store: Store) -> None:
    fill(store)
    given_out = dumped(receipt(store, "public", 4, SERVICE))
    before = checkpoint_of(store, "public", SERVICE)
    entry, _ = verify_receipt(given_out, KEY)
    rest = list(store.entries("public"))
    harm(store, "DELETE FROM ledger_entry", "DELETE FROM ledger")
    for one in rest:
        store.append("public", "me" if one.seq == 4 else one.actor, one.action, one.payload, one.created)
    assert receipt(store, "public", 4, SERVICE)["entry"] != entry.content
    forged = receipt(store, "public", 4, SERVICE) | {"entry": entry.content}
    with pytest.raises(ValueError, match="does not show"):
        verify_receipt(dumped(forged), KEY)
    with pytest.raises(ValueError, match="nothing shows"):
        verify_receipt(dumped(receipt(store, "public", 4, SERVICE)), KEY, before)


def test_another_key_proves_nothing(document: dict[str, Any], whole: bytes) -> None:
    for key in (VerifierKey(KEY.name, bytes(32)), VerifierKey("other", KEY.public), SERVICE.verifier):
        for data in (dumped(document), whole):
            with pytest.raises(ValueError, match="not signed by"):
                verify_file(io.BytesIO(data), key)
