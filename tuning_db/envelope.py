"""Signed envelopes: DSSE, Dead Simple Signing Envelope, version 1.

What is signed is not JSON but bytes and a type that says what they are (``pae``), so that nobody has to agree on a
spelling of JSON before a signature can be checked, and bytes of one kind are never taken for another.
https://github.com/secure-systems-lab/dsse has the specification.

``securesystemslib`` has an implementation. It is not used: it leaves the reading of JSON to its caller, so that all of
the limits below would be ours to write anyway, takes fields that it does not know, counts the characters of a type
where the specification counts bytes, and brings signers for clouds and hardware with it. What is left of it is
``pae`` and a loop.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from targets.digest import canonical_json
from tuning_db.keys import PrivateKey, PublicKey
from tuning_db.readers import entries, matching, parse, record, text
from tuning_db.reasons import Reason, Refused

MAX_PAYLOAD = 4 << 20
MAX_SIGNATURES = 8
MAX_TYPE = 200
# The payload grows by a third in base64; the rest has room in 8 KiB.
MAX_ENVELOPE = (MAX_PAYLOAD + 2) // 3 * 4 + (8 << 10)
SIGNATURE_BYTES = 64
DEPTH = 3

ENVELOPE = record(
    {
        "payload": text,
        "payloadType": text,
        "signatures": entries(
            record({"sig": text}, {"keyid": matching("[!-~]{0,128}", "the id of a key")}), MAX_SIGNATURES
        ),
    }
)


class Signature(NamedTuple):
    """One signature.

    Attributes:
        sig: 64 bytes.
        keyid: whose it claims to be; nothing vouches for it, and it may be empty.
    """

    sig: bytes
    keyid: str = ""


@dataclass(frozen=True)
class Envelope:
    """Bytes, what they are, and who signed them; nothing of it is true before ``verify`` says so."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def dumps(self) -> bytes:
        """The envelope as JSON, in standard base64."""
        whole = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": each.keyid, "sig": base64.b64encode(each.sig).decode()} for each in self.signatures
            ],
        }
        return canonical_json(whole).encode()


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: type and payload, each after its length in bytes ("pre-authentication encoding")."""
    named = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(named), named, len(payload), payload)


def sign(payload_type: str, payload: bytes, keys: Sequence[PrivateKey]) -> Envelope:
    """An envelope signed with each of some keys.

    Raises:
        InputError: the payload is too long.
    """
    if len(payload) > MAX_PAYLOAD:
        raise Refused(Reason.TOO_LARGE, f"{len(payload)} bytes to sign; at most {MAX_PAYLOAD} fit into an envelope")
    signed = pae(payload_type, payload)
    return Envelope(payload_type, payload, tuple(Signature(key.sign(signed), key.public.id) for key in keys))


def read_envelope(data: bytes) -> Envelope:
    """The envelope of some JSON; nothing about its signatures is checked yet.

    Raises:
        Refused: ``too_large`` before anything else is looked at; ``malformed`` where it is not JSON of exactly the
            fields ``payload``, ``payloadType`` and ``signatures`` of ``sig`` and perhaps ``keyid``, with base64 in
            either alphabet, padded, without anything over.
    """
    if len(data) > MAX_ENVELOPE:
        raise Refused(Reason.TOO_LARGE, f"the envelope has {len(data)} bytes; at most {MAX_ENVELOPE} are read")
    try:
        found = ENVELOPE(parse(data, DEPTH))
        if not 0 < len(found["payloadType"]) <= MAX_TYPE:
            raise ValueError(f"payloadType: must have 1 to {MAX_TYPE} characters")
        payload = _bytes("payload", found["payload"])
        signatures = []
        for at, each in enumerate(found["signatures"], 1):
            signature = Signature(_bytes(f"signatures: entry {at}: sig", each["sig"]), each.get("keyid", ""))
            if len(signature.sig) != SIGNATURE_BYTES:
                raise ValueError(f"signatures: entry {at}: sig: must have {SIGNATURE_BYTES} bytes")
            signatures.append(signature)
    except ValueError as error:
        raise Refused(Reason.MALFORMED, f"the envelope: {error}") from None
    if len(payload) > MAX_PAYLOAD:
        raise Refused(Reason.TOO_LARGE, f"the payload has {len(payload)} bytes; at most {MAX_PAYLOAD} are read")
    return Envelope(found["payloadType"], payload, tuple(signatures))


def verify(envelope: Envelope, keys: Iterable[PublicKey]) -> frozenset[PublicKey]:
    """Those of some keys that signed an envelope, at least one.

    A signature that names no key is tried with each, one that does with those of that id; one by a stranger counts
    for nothing, as the specification has it.

    Args:
        envelope: what ``read_envelope`` read.
        keys: the keys that may have signed it: that are known, and valid now.

    Raises:
        Refused: ``unknown_key`` where no signature is by one of the keys, ``bad_signature`` where one names a key that
            did not sign this.
        MissingExtra: ``cryptography`` is not installed.
    """
    known = list(keys)
    signed = pae(envelope.payload_type, envelope.payload)
    signers: set[PublicKey] = set()
    claimed = ""
    for signature in envelope.signatures:
        for key in known:
            if signature.keyid in ("", key.id):
                claimed = claimed or signature.keyid
                if key.verifies(signature.sig, signed):
                    signers.add(key)
    if not signers and claimed:
        raise Refused(Reason.BAD_SIGNATURE, f"the signature is not one of these bytes by key {claimed}")
    if not signers:
        named = ", ".join(signature.keyid or "of no name" for signature in envelope.signatures) or "none at all"
        raise Refused(Reason.UNKNOWN_KEY, f"no signature by a key that is known and valid; there are: {named}")
    return frozenset(signers)


def _bytes(field: str, encoded: str) -> bytes:
    """The bytes of base64 in one of its two alphabets, spelled in the one way there is in it."""
    alphabet = b"-_" if set(encoded) & set("-_") else b"+/"
    try:
        found = base64.b64decode(encoded, alphabet, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{field}: is not base64") from None
    if base64.b64encode(found, alphabet).decode() != encoded:
        raise ValueError(f"{field}: is not written in the one way base64 has for it")
    return found
