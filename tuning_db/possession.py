"""Proof that whoever registers a public key holds the private one: a signed statement of key, account and service.

It is an envelope of a type of its own, so that it passes for no batch, and names the service, so that one who is shown
it elsewhere cannot register the key under an account of that name there.
"""

from __future__ import annotations

from typing import Any

from targets.digest import canonical_json
from tuning_db.envelope import Envelope, read_envelope, sign, verify
from tuning_db.keys import PrivateKey, PublicKey
from tuning_db.readers import parse, plain, record
from tuning_db.reasons import Reason, Refused

PAYLOAD_TYPE = "application/vnd.headstart.key+json;version=1"
READ = record({"account": plain(100), "key": plain(200), "service": plain(200)})


def prove(key: PrivateKey, account: str, service: str) -> Envelope:
    """The proof of an account, by name, that it holds a key, for a service by the name in its ledger's key."""
    content = {"account": account, "key": key.public.line, "service": service}
    return sign(PAYLOAD_TYPE, canonical_json(content).encode(), [key])


def proved(data: bytes, account: str, service: str) -> PublicKey:
    """The key of a proof.

    Raises:
        Refused: ``malformed``, ``payload_type``, ``bad_signature`` or ``unknown_key``; ``wrong_vendor`` where it is of
            another account or for another service.
        InputError: no key that an honest pair could have.
        MissingExtra: ``cryptography`` is not installed.
    """
    envelope = read_envelope(data)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise Refused(Reason.PAYLOAD_TYPE, f"the envelope holds {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}")
    try:
        content: dict[str, Any] = READ(parse(envelope.payload, 1))
    except ValueError as error:
        raise Refused(Reason.MALFORMED, f"the proof: {error}") from None
    key = PublicKey.from_line(content["key"])
    verify(envelope, [key])
    if (content["account"], content["service"]) != (account, service):
        raise Refused(Reason.WRONG_VENDOR, f"the proof is not of account {account} for service {service}")
    return key
