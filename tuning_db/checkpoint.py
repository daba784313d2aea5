"""Checkpoints: how large a log was and what its root, signed; the C2SP format ``tlog-checkpoint``, a signed note.

The text of one is three lines: the origin, which names the log; its size, a decimal number; its root hash in base64.
Lines that may follow are kept and mean nothing here.

A log of a service is called ``SERVICE/LOG``. That is the origin of its checkpoints and the name of the key that signs
them, so a verifier key is good for one log: a checkpoint of another log is not taken for one of this.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from tuning_db.merkle import HASH_BYTES
from tuning_db.note import SigningKey, VerifierKey, decode_base64, key_name, read_note, sign_note

LOG_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def log_name(text: str) -> str:
    """The text, where it can be the name of a log.

    Raises:
        ValueError: it is not 1 to 100 ASCII letters, digits, dots, dashes and underscores, the first one of the former.
    """
    if not isinstance(text, str) or not LOG_NAME.fullmatch(text):
        raise ValueError("the name of a log is 1 to 100 of A-Z a-z 0-9 . _ - and starts with a letter or digit")
    return text


def key_of_log(service: SigningKey, log: str) -> SigningKey:
    """What a log is signed with: the key of the service, under the name of the log.

    Raises:
        ValueError: ``log`` cannot be the name of one.
    """
    return service.named(f"{service.name}/{log_name(log)}")


def verifier_of_log(known: VerifierKey, log: str) -> VerifierKey:
    """The key that a log is verified with, from that of another log of the same service: it is the same key.

    Raises:
        ValueError: ``known`` is no key of a log, or ``log`` cannot be the name of one.
    """
    service, slash, _ = known.name.rpartition("/")
    if not slash:
        raise ValueError(f"{known.name} is no key of a log, which is called SERVICE/LOG")
    return VerifierKey(f"{service}/{log_name(log)}", known.public)


@dataclass(frozen=True)
class Checkpoint:
    """What a log was at one time.

    Attributes:
        origin: which log: ``SERVICE/LOG``.
        size: number of its entries.
        root: their root hash, 32 bytes.
        extensions: lines that follow, not empty.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def log(self) -> str:
        """The name of the log at its service: the last part of the origin."""
        return self.origin.rpartition("/")[2]

    def __str__(self) -> str:
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def loads(cls, text: str) -> Checkpoint:
        """Read what ``str`` writes.

        Raises:
            ValueError: it is anything else.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() != "" or "" in lines:
            raise ValueError("a checkpoint is lines of origin, size and root hash")
        origin, size, root, *extensions = lines
        if not re.fullmatch("0|[1-9][0-9]{0,18}", size) or int(size) >= 2**63:
            raise ValueError("the second line of a checkpoint is its size, a decimal number below 2^63")
        try:
            decoded = decode_base64(root)
        except ValueError as error:
            raise ValueError(f"the third line of a checkpoint {error}") from None
        if len(decoded) != HASH_BYTES:
            raise ValueError(f"the root hash of a checkpoint has {HASH_BYTES} bytes")
        return cls(key_name(origin), int(size), decoded, tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The checkpoint as a signed note.

    Raises:
        ValueError: the key is that of another log.
        MissingExtra: the extra ``serve`` is not installed.
    """
    if checkpoint.origin != key.name:
        raise ValueError(f"the key of {key.name} does not sign checkpoints of {checkpoint.origin}")
    return sign_note(str(checkpoint), key)


def verify_checkpoint(note: str | bytes, key: VerifierKey) -> Checkpoint:
    """A signed checkpoint, read and verified.

    Raises:
        ValueError: it is none, or not signed by ``key``, or not of the log whose key that is.
        MissingExtra: the extra ``serve`` is not installed.
    """
    checkpoint = Checkpoint.loads(read_note(note, key))
    if checkpoint.origin != key.name:
        raise ValueError(f"it is a checkpoint of {checkpoint.origin}, signed with the key of {key.name}")
    return checkpoint
