"""JSON that is deep, long, ambiguous, or no JSON."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from tests.redteam.hostile import attack, signed
from tests.tuning_db.claims import batch, changed, claim
from tuning_db.batch_format import MAX_BYTES
from tuning_db.reasons import Reason

DATA = batch(claim(1)).dumps()
DEEP = 100_000


@pytest.mark.parametrize(
    "inside",
    [
        b"[" * DEEP + b"]" * DEEP,
        b"[" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'[{"a":' * DEEP,
        b"[[]," * DEEP,
        b'["]"' + b',["]"' * DEEP,
        b'["\\"",' * DEEP,
        b'["\\\\",' * DEEP,
        b"]" * DEEP + b"[" * DEEP,
    ],
    ids=["arrays", "open", "objects", "both", "wide", "brackets in strings", "quotes", "backslashes", "closed first"],
)
def test_depth(inside: bytes) -> None:
    """Counted before anything is built, whatever the limit of the interpreter is."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        for data in (
            inside,
            DATA[:-1] + b',"more":' + inside + b"}",
            DATA.replace(b'"config":{', b'"config":{"a":' + inside),
        ):
            assert attack(data) == {Reason.MALFORMED}
            assert attack(signed(data)) == {Reason.MALFORMED}
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    "data",
    [
        DATA.replace(b'"vendor":"acme"', b'"vendor":"acme","vendor":"rival"'),
        DATA.replace(b'"vendor":"acme"', b'"vendor":"rival","vendor":"acme"'),
        DATA.replace(b'"vendor":"acme"', b'"vendor":"acme","\\u0076endor":"acme"'),
        DATA.replace(b'"config":{', b'"config":{"mr":1,'),
        DATA + DATA,
        DATA + b"\0",
        b"\xef\xbb\xbf" + DATA,
        DATA.decode().encode("utf-16-le"),
        DATA.replace(b"acme", b"ac\xffme"),
        DATA.replace(b"acme", b"ac\xed\xa0\x80me"),
        DATA.replace(b"acme", b"\\ud800"),
        DATA.replace(b"{", b"{/* a */", 1),
        DATA.replace(b'"', b"'"),
        gzip.compress(DATA, mtime=0),
        gzip.compress(bytes(10 << 20), mtime=0),
        b"\x80\x04\x95" + DATA,
        b'"' * (1 << 20),
        b'{"a":"' + b"\\" * (1 << 20),
        b'{"a":"' + b'\\"' * (1 << 19),
        b"{" + b'"a":1,' * (1 << 18) + b'"a":1}',
        b'{"a":' + b"1" * (1 << 20) + b"}",
        b'{"a":1.' + b"1" * (1 << 20) + b"}",
        b'{"a":1e' + b"1" * (1 << 20) + b"}",
        b"[]" * (1 << 20),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_text(data: bytes) -> None:
    assert attack(signed(data)) == {Reason.MALFORMED}
    assert attack(data) == {Reason.MALFORMED}


def test_numbers_without_end_in_a_schedule() -> None:
    for digits in ("9" * 41, "9" * 5000, "1" + "0" * (1 << 20)):
        data = DATA.replace(b'"mr":1', b'"mr":' + digits.encode())
        assert data != DATA
        assert attack(signed(data)) == {Reason.MALFORMED}


def test_a_schedule_that_fills_the_batch() -> None:
    def grow(document: dict) -> None:  # type: ignore[type-arg]
        document["schedules"][0]["config"] = {f"a{n}": 1 for n in range(200_000)}

    assert attack(signed(changed(grow, batch(claim(1))))) == {Reason.INCONSISTENT}
    assert len(json.dumps({f"a{n}": 1 for n in range(200_000)})) < MAX_BYTES
