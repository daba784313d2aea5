"""Signatures that are not one of this content by this vendor."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from targets.errors import InputError
from tests.redteam.hostile import attack, signed
from tests.tuning_db.claims import VENDOR, batch, claim, key
from tuning_db.batch_format import PAYLOAD_TYPE
from tuning_db.edwards import ORDER
from tuning_db.envelope import Envelope, Signature, pae, sign
from tuning_db.keys import PublicKey
from tuning_db.reasons import Reason
from tuning_db.submission import sign_batch

RIVAL = key("rival", bytes(range(32)))
BOTH = {key().public: VENDOR, RIVAL.public: "rival"}


def with_signature(payload: bytes, signature: bytes, keyid: str = key().public.id) -> bytes:
    return Envelope(PAYLOAD_TYPE, payload, (Signature(signature, keyid),)).dumps()


def test_over_other_bytes() -> None:
    other = sign_batch(batch(claim(1)), key()).signatures[0].sig
    assert attack(with_signature(batch().dumps(), other)) == {Reason.BAD_SIGNATURE}


def test_over_the_payload_alone() -> None:
    assert attack(with_signature(batch().dumps(), key().sign(batch().dumps()))) == {Reason.BAD_SIGNATURE}


def test_over_another_type() -> None:
    signature = key().sign(pae("application/json", batch().dumps()))
    assert attack(with_signature(batch().dumps(), signature)) == {Reason.BAD_SIGNATURE}
    assert attack(sign("application/json", batch().dumps(), [key()]).dumps()) == {Reason.PAYLOAD_TYPE}


def test_by_a_key_that_nobody_knows() -> None:
    assert attack(sign_batch(batch(), RIVAL).dumps()) == {Reason.UNKNOWN_KEY}


def test_by_a_key_that_is_valid_no_more() -> None:
    """Revoked and expired keys are not among those that are asked."""
    assert attack(sign_batch(batch(), key()).dumps(), keys={RIVAL.public: "rival"}) == {Reason.UNKNOWN_KEY}


def test_under_the_name_of_another_key() -> None:
    signature = RIVAL.sign(pae(PAYLOAD_TYPE, batch().dumps()))
    assert attack(with_signature(batch().dumps(), signature), keys=BOTH) == {Reason.BAD_SIGNATURE}


def test_by_a_rival_in_the_name_of_a_vendor() -> None:
    assert attack(sign_batch(batch(), RIVAL).dumps(), keys=BOTH) == {Reason.WRONG_VENDOR}


def test_a_stolen_batch_under_a_key_of_the_thief() -> None:
    """Another vendor's bytes, signed anew, are still the other vendor's."""
    stolen = json.loads(sign_batch(batch(), key()).dumps())
    payload = base64.b64decode(stolen["payload"])
    assert attack(sign(PAYLOAD_TYPE, payload, [RIVAL]).dumps(), keys=BOTH) == {Reason.WRONG_VENDOR}


def test_none_at_all() -> None:
    assert attack(Envelope(PAYLOAD_TYPE, batch().dumps(), ()).dumps()) == {Reason.UNKNOWN_KEY}
    assert attack(with_signature(batch().dumps(), bytes(64))) == {Reason.BAD_SIGNATURE}
    assert attack(with_signature(batch().dumps(), bytes(64), "")) == {Reason.UNKNOWN_KEY}


def test_a_second_form_of_a_signature() -> None:
    right = sign_batch(batch(), key()).signatures[0].sig
    other = right[:32] + (int.from_bytes(right[32:], "little") + ORDER).to_bytes(32, "little")
    assert attack(with_signature(batch().dumps(), other)) == {Reason.BAD_SIGNATURE}


def test_a_key_under_which_everything_is_signed() -> None:
    with pytest.raises(InputError, match="small or mixed order"):
        PublicKey.from_line(f"headstart-ed25519 {base64.b64encode(bytes([1] + [0] * 31)).decode()} evil")


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": base64.b64encode(batch().dumps()).decode() + "===="},
        {"payload": " " + base64.b64encode(batch().dumps()).decode()},
        {"payloadType": PAYLOAD_TYPE, "payloadtype": PAYLOAD_TYPE},
        {"signatures": [{"sig": "A" * 88}] * 100_000},
        {"signatures": None},
    ],
    ids=["padding", "space", "field", "many", "null"],
)
def test_envelopes_that_are_none(changes: dict[str, Any]) -> None:
    whole = {**json.loads(sign_batch(batch(), key()).dumps()), **changes}
    assert attack(json.dumps(whole).encode()) <= {Reason.MALFORMED, Reason.TOO_LARGE}
    assert attack(json.dumps(whole).encode())


def test_every_byte_of_a_signed_batch_counts() -> None:
    data = sign_batch(batch(claim(1)), key()).dumps()
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1
        assert attack(bytes(changed)), at


def test_a_signed_batch_still_has_to_be_one() -> None:
    assert attack(signed(b"")) == {Reason.MALFORMED}
