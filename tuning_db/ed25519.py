"""Ed25519 signatures (RFC 8032) by ``cryptography``, which people who only tune do not have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from targets.errors import MissingExtra


@contextmanager
def needed() -> Iterator[None]:
    """Around imports of ``cryptography``, which stand only where something is signed or verified.

    Raises:
        MissingExtra: the extra ``serve`` is not installed.
    """
    try:
        yield
    except ImportError:
        raise MissingExtra("signing and verifying", "serve") from None


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature is of this message by the key of these 32 bytes; not, where they are no key.

    Raises:
        MissingExtra: the extra ``serve`` is not installed.
    """
    with needed():
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
