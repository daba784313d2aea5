"""A batch on its way from a vendor to the service: signed, opened again, and recognised when it comes once more."""

from __future__ import annotations

from collections.abc import Container, Mapping

from tuning_db.batch import Batch, read_batch
from tuning_db.batch_format import PAYLOAD_TYPE
from tuning_db.envelope import Envelope, read_envelope, sign, verify
from tuning_db.keys import PrivateKey, PublicKey
from tuning_db.reasons import Reason, Refused


def sign_batch(batch: Batch, key: PrivateKey) -> Envelope:
    """The envelope of a batch. To try again after an error, send this one: another would be another batch.

    Raises:
        InputError: something in the batch has no place in one, or it is too long.
        MissingExtra: ``cryptography`` is not installed.
    """
    return sign(PAYLOAD_TYPE, batch.dumps(), [key])


def open_batch(data: bytes, keys: Mapping[PublicKey, str]) -> tuple[Batch, PublicKey]:
    """The batch in an envelope, and the key that signed it. Nothing is parsed that nobody vouches for.

    Args:
        data: the envelope.
        keys: the keys that are valid now, each with the name of its vendor.

    Raises:
        Refused: ``too_large``, ``malformed``, ``unknown_key``, ``bad_signature``; ``payload_type`` where it holds
            something else; ``wrong_vendor`` where it was not signed by a key of the vendor that it names; and what
            ``read_batch`` refuses.
        MissingExtra: ``cryptography`` is not installed.
    """
    envelope = read_envelope(data)
    signers = verify(envelope, keys)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise Refused(Reason.PAYLOAD_TYPE, f"the envelope holds {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}")
    batch = read_batch(envelope.payload)
    for signer in sorted(signers, key=lambda key: key.id):
        if keys[signer] == batch.vendor:
            return batch, signer
    raise Refused(Reason.WRONG_VENDOR, f"the batch is of {batch.vendor}, whose key did not sign it")


def is_retry(batch: Batch, nonces: Mapping[str, str]) -> bool:
    """Whether this very batch was taken before, so that the answer of then is to be given again.

    Args:
        batch: what came.
        nonces: ids of the batches of this vendor that were taken, by nonce.

    Raises:
        Refused: ``nonce_reused`` where another batch had its nonce.
    """
    earlier = nonces.get(batch.nonce)
    if earlier is not None and earlier != batch.id:
        raise Refused(Reason.NONCE_REUSED, f"batch {earlier} had the nonce {batch.nonce}; draw one for each batch")
    return earlier is not None


def check_replay(batch: Batch, contents: Container[str]) -> None:
    """Refuse a batch that is no retry and claims just what an earlier one did, in whatever order.

    Args:
        batch: what came.
        contents: ``Batch.content`` of the batches of this vendor that were taken.

    Raises:
        Refused: ``replayed``.
    """
    if batch.content in contents:
        raise Refused(Reason.REPLAYED, f"all {len(batch.claims)} trials are those of an earlier batch")
