"""Batches that come once more: the same bytes are a retry, anything else that claims the same is refused."""

from __future__ import annotations

import json

from tests.redteam.hostile import attack, signed
from tests.tuning_db.claims import batch, claim, known
from tuning_db.reasons import Reason

FIRST = batch()
TAKEN = {"nonces": {FIRST.nonce: FIRST.id}, "contents": frozenset({FIRST.content})}


def test_the_same_bytes_are_a_retry() -> None:
    assert attack(signed(FIRST.dumps()), **TAKEN) == set()


def test_under_a_new_nonce() -> None:
    assert attack(signed(batch(nonce="1" * 32).dumps()), **TAKEN) == {Reason.REPLAYED}


def test_at_another_time_and_in_another_order() -> None:
    again = batch(*reversed(FIRST.claims), nonce="1" * 32, created=1.8e9)
    assert attack(signed(again.dumps()), **TAKEN) == {Reason.REPLAYED}


def test_for_another_release() -> None:
    assert attack(signed(batch(nonce="1" * 32, release="r2").dumps()), **TAKEN) == {Reason.REPLAYED}


def test_other_content_under_a_nonce_that_was_used() -> None:
    assert attack(signed(batch(claim(7)).dumps()), **TAKEN) == {Reason.NONCE_REUSED}
    assert attack(signed(batch(*reversed(FIRST.claims)).dumps()), **TAKEN) == {Reason.NONCE_REUSED}


def test_with_one_trial_more() -> None:
    """Not the same batch; its trials are still the same ones."""
    again = batch(*FIRST.claims, claim(7), nonce="1" * 32)
    holds = known(claims={one.id for one in FIRST.claims})
    assert attack(signed(again.dumps()), **TAKEN, holds=holds) == {Reason.DUPLICATE}


def test_on_another_machine_at_another_time() -> None:
    document = json.loads(batch(claim(1), nonce="1" * 32).dumps())
    document["trials"][0] |= {"machine": "elsewhere", "created": 1.8e9}
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert attack(signed(data), holds=known(claims={claim(1).id})) == {Reason.DUPLICATE}
