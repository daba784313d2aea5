"""DSSE envelopes: the specification's example, what is refused, and that nothing changed ever verifies."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tuning_db.envelope
from tests.tuning_db.claims import key
from tuning_db.envelope import MAX_ENVELOPE, MAX_PAYLOAD, Envelope, Signature, pae, read_envelope, sign, verify
from tuning_db.reasons import Reason, Refused

TYPE = "http://example.com/HelloWorld"
KEY, OTHER = key(), key("other", bytes(range(32)))
ENVELOPE = sign(TYPE, b"hello world", [KEY])
DATA = ENVELOPE.dumps()


def why(data: bytes, keys: Any = (KEY.public,)) -> Reason:
    """Read and verify what must be refused, and return the reason."""
    with pytest.raises(Refused) as failure:
        verify(read_envelope(data), keys)
    assert str(failure.value).isprintable() and str(failure.value).isascii()
    return failure.value.reason


def test_the_example_of_the_specification() -> None:
    assert pae(TYPE, b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@pytest.mark.parametrize(
    ("type", "payload", "encoded"),
    [
        ("", b"", b"DSSEv1 0  0 "),
        ("a", b"\0\xff", b"DSSEv1 1 a 2 \0\xff"),
        ("ä", b"a b", b"DSSEv1 2 \xc3\xa4 3 a b"),
    ],
)
def test_lengths_are_of_bytes(type: str, payload: bytes, encoded: bytes) -> None:
    assert pae(type, payload) == encoded


@given(st.tuples(st.text(max_size=5), st.binary(max_size=9)), st.tuples(st.text(max_size=5), st.binary(max_size=9)))
def test_different_content_is_signed_differently(one: tuple[str, bytes], other: tuple[str, bytes]) -> None:
    assert (pae(*one) == pae(*other)) == (one == other)


def test_there_and_back() -> None:
    assert json.loads(DATA) == {
        "payload": "aGVsbG8gd29ybGQ=",
        "payloadType": TYPE,
        # Ed25519 signs the same bytes the same way everywhere.
        "signatures": [
            {
                "keyid": KEY.public.id,
                "sig": "4DHX3Zn4qpBKvEj7maE8O9u9bjXEnPLLnyXVUJ2PXJR8DSLcL3QDpFvfJOj3pB/SPHsl6Jg4boxsMb6KvuYABw==",
            }
        ],
    }
    assert read_envelope(DATA) == ENVELOPE
    assert verify(ENVELOPE, [OTHER.public, KEY.public]) == {KEY.public}


def test_several_signers() -> None:
    both = sign(TYPE, b"x", [KEY, OTHER])
    assert verify(both, [KEY.public, OTHER.public]) == {KEY.public, OTHER.public}
    assert verify(both, [OTHER.public]) == {OTHER.public}
    twice = sign(TYPE, b"x", [KEY, KEY])
    assert verify(twice, [KEY.public, OTHER.public]) == {KEY.public}


def test_what_other_writers_do() -> None:
    """Spaces, another order of fields, the URL-safe alphabet, no id of a key: all of it is DSSE."""
    payload = b"\xfb\xff\xbf>?"
    signature = KEY.sign(pae(TYPE, payload))
    whole = {
        "signatures": [{"sig": base64.urlsafe_b64encode(signature).decode()}],
        "payloadType": TYPE,
        "payload": base64.urlsafe_b64encode(payload).decode(),
    }
    assert "-" in whole["payload"] and "_" in whole["payload"]
    read = read_envelope(json.dumps(whole, indent=2).encode())
    assert read.payload == payload
    assert verify(read, [OTHER.public, KEY.public]) == {KEY.public}


def test_a_wrong_name_of_a_key_is_no_signature_of_it() -> None:
    wrong = Envelope(TYPE, b"x", (Signature(OTHER.sign(pae(TYPE, b"x")), KEY.public.id),))
    assert why(wrong.dumps()) is Reason.BAD_SIGNATURE
    assert why(wrong.dumps(), [KEY.public, OTHER.public]) is Reason.BAD_SIGNATURE


def test_signatures_of_strangers_and_of_nobody() -> None:
    assert why(DATA, [OTHER.public]) is Reason.UNKNOWN_KEY
    assert why(DATA, []) is Reason.UNKNOWN_KEY
    assert why(Envelope(TYPE, b"x", ()).dumps()) is Reason.UNKNOWN_KEY
    assert why(Envelope(TYPE, b"x", (Signature(bytes(64)),)).dumps()) is Reason.UNKNOWN_KEY


def test_the_type_is_signed() -> None:
    assert why(DATA.replace(b"HelloWorld", b"HelloWorle")) is Reason.BAD_SIGNATURE


def test_every_bit_counts() -> None:
    for at in range(len(DATA)):
        for bit in range(8):
            flipped = bytearray(DATA)
            flipped[at] ^= 1 << bit
            with pytest.raises(Refused):
                verify(read_envelope(bytes(flipped)), [KEY.public])


@settings(max_examples=300, deadline=None)
@given(
    payload=st.binary(max_size=40), at=st.integers(0, 2**16), other=st.binary(min_size=1, max_size=3), cut=st.booleans()
)
def test_nothing_changed_verifies(payload: bytes, at: int, other: bytes, cut: bool) -> None:
    """Bytes replaced or put in between; a spelling that means the very same, as a space at the end, may pass."""
    data = sign(TYPE, payload, [KEY]).dumps()
    at %= len(data)
    try:
        read = read_envelope(data[:at] + other + data[at + cut * len(other) :])
        verify(read, [KEY.public])
    except Refused:
        return
    assert (read.payload_type, read.payload) == (TYPE, payload)


SIG = base64.b64encode(ENVELOPE.signatures[0].sig).decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": None},
        {"payload": 5},
        {"payload": "aGVsbG8gd29ybGQ"},
        {"payload": "aGVsbG8gd29ybGR="},
        {"payload": "aGVsbG8gd29ybGQ=="},
        {"payload": "aGVsbG8gd29ybGQ=\n"},
        {"payload": "aGVs bG8gd29ybGQ="},
        {"payload": "-+8="},
        {"payload": "ａGVsbG8gd29ybGQ="},  # noqa: RUF001
        {"payloadType": ""},
        {"payloadType": "a" * 201},
        {"payloadType": "a\0"},
        {"payloadType": ["a"]},
        {"signatures": {}},
        {"signatures": [5]},
        {"signatures": [{}]},
        {"signatures": [{"keyid": "k", "sig": SIG, "more": 1}]},
        {"signatures": [{"keyid": None, "sig": SIG}]},
        {"signatures": [{"keyid": "k\u202e", "sig": SIG}]},
        {"signatures": [{"keyid": "k" * 129, "sig": SIG}]},
        {"signatures": [{"keyid": "k", "sig": SIG[:-4]}]},
        {"signatures": [{"keyid": "k", "sig": ""}]},
        {"signatures": [{"keyid": "k", "sig": SIG}] * 9},
        {"more": 1},
    ],
    ids=str,
)
def test_envelopes_of_another_form(changes: dict[str, Any]) -> None:
    assert why(json.dumps({**json.loads(DATA), **changes}).encode()) is Reason.MALFORMED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        DATA[:-1],
        DATA + b"x",
        DATA + DATA,
        b"\xef\xbb\xbf" + DATA,
        DATA.decode().encode("utf-16"),
        DATA.replace(b'"payload":', b'"payload":"","payload":', 1),
        DATA.replace(b'"payload"', b'"Payload"', 1),
        b'{"payload":' + b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"payload":' + b"9" * 1_000_000 + b"}",
        b'{"payload":NaN}',
        b'{"payload":"' + b"\\" * 1_000_001,
        b'{"payload":"' + b'\\"' * 500_000,
        b'"' * 1_000_000,
    ],
    ids=lambda data: repr(data[:30]),
)
def test_bytes_that_are_no_envelope(data: bytes) -> None:
    assert why(data) is Reason.MALFORMED


def test_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused) as failure:
        sign(TYPE, bytes(MAX_PAYLOAD + 1), [KEY])
    assert failure.value.reason is Reason.TOO_LARGE
    largest = sign(TYPE, bytes(MAX_PAYLOAD), [KEY] * 8)
    assert verify(read_envelope(largest.dumps()), [KEY.public]) == {KEY.public}
    longer = Envelope(TYPE, bytes(MAX_PAYLOAD + 1), largest.signatures)
    assert why(longer.dumps()) is Reason.TOO_LARGE
    monkeypatch.setattr(tuning_db.envelope, "parse", None)  # it would fail if it were looked at
    assert why(bytes(MAX_ENVELOPE + 1)) is Reason.TOO_LARGE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["payload", "payloadType", "signatures", "sig", "keyid", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as failure:
        verify(read_envelope(data), [KEY.public])
    assert str(failure.value).isascii() and str(failure.value).isprintable()


def test_a_signer_needs_no_name_on_the_envelope() -> None:
    """Ids of keys are hints: one that two keys share does not confuse them."""
    unnamed = Envelope(TYPE, b"x", tuple(Signature(each.sign(pae(TYPE, b"x"))) for each in (KEY, OTHER)))
    assert verify(unnamed, [KEY.public, OTHER.public]) == {KEY.public, OTHER.public}
