"""Signed notes: text with Ed25519 signatures under it, in the C2SP format ``signed-note`` (c2sp.org/signed-note).

A note is its text, an empty line, and signature lines: an em dash, a space, the name of the key, a space, and in base64
the four bytes of the key's id and the signature of the text. Keys travel as one line:

- to verify: ``NAME+ID+BASE64``, the id as 8 hex digits, then a byte 1 (for Ed25519) and the 32 bytes of the public key;
- to sign: ``PRIVATE+KEY+NAME+ID+BASE64``, a byte 1 and the 32 bytes that the key is made from.

What reads raises ``ValueError`` for anything that is not right, and no other error.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuning_db.ed25519 import needed, verifies

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

ED25519 = b"\1"
KEY_BYTES = 32
ID_BYTES = 4
PRIVATE = "PRIVATE+KEY+"
# More than sixteen signatures of the longest kinds, as the format asks for; far less than anyone could be drowned in.
MAX_NOTE = 1 << 20
MAX_SIGNATURES = 100


@dataclass(frozen=True)
class VerifierKey:
    """A public key and whose it is.

    Attributes:
        name: a URL without its scheme, by custom; no spaces and no plus.
        public: 32 bytes.
    """

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys of one name apart: the start of a hash of name, kind and key."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def loads(cls, text: str) -> VerifierKey:
        """Read what ``str`` writes.

        Raises:
            ValueError: it is no such key, or its id is that of another.
        """
        name, id, public = _key_parts(text, "a verifier key is NAME+ID+KEY, its id 8 hex digits")
        key = cls(name, public)
        if key.id.hex() != id:
            raise ValueError(f"the id of verifier key {name} does not fit it; a part of it was mistyped")
        return key

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's, and of this message.

        Raises:
            MissingExtra: the extra ``serve`` is not installed.
        """
        return verifies(self.public, signature, message)


@dataclass(frozen=True)
class SigningKey:
    """A private key and its name; printing one does not show it.

    Attributes:
        name: as of ``VerifierKey``.
        seed: the 32 bytes of RFC 8032 that the key is made from.
    """

    name: str
    seed: bytes = field(repr=False)

    @classmethod
    def new(cls, name: str) -> SigningKey:
        """A key from the system's source of chance.

        Raises:
            ValueError: the name cannot be one.
        """
        return cls(key_name(name), os.urandom(KEY_BYTES))

    @classmethod
    def loads(cls, text: str) -> SigningKey:
        """Read what ``dumps`` writes.

        Raises:
            ValueError: it is no such key, or its id is that of another.
            MissingExtra: the extra ``serve`` is not installed.
        """
        usage = f"a signing key is {PRIVATE}NAME+ID+KEY, its id 8 hex digits"
        if not text.startswith(PRIVATE):
            raise ValueError(usage)
        name, id, seed = _key_parts(text.removeprefix(PRIVATE), usage)
        key = cls(name, seed)
        if key.verifier.id.hex() != id:
            raise ValueError(f"the id of signing key {name} does not fit it; the key is damaged")
        return key

    def dumps(self) -> str:
        """The key as one line of text, to be kept where nobody else reads it."""
        return f"{PRIVATE}{self.name}+{self.verifier.id.hex()}+{base64.b64encode(ED25519 + self.seed).decode()}"

    def named(self, name: str) -> SigningKey:
        """The same key under another name; its id is another then.

        Raises:
            ValueError: the name cannot be one.
        """
        return SigningKey(key_name(name), self.seed)

    @property
    def verifier(self) -> VerifierKey:
        """The public key of the same name.

        Raises:
            MissingExtra: the extra ``serve`` is not installed.
        """
        return VerifierKey(self.name, self._private().public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of a signature; the same each time for a message.

        Raises:
            MissingExtra: the extra ``serve`` is not installed.
        """
        return self._private().sign(message)

    def _private(self) -> ed25519.Ed25519PrivateKey:
        with needed():
            from cryptography.hazmat.primitives.asymmetric import ed25519
        return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)


def key_name(text: str) -> str:
    """The text, where it can be the name of a key.

    Raises:
        ValueError: it is empty, or holds a space, a plus, a control character or half a character.
    """
    if not text or "+" in text or any(letter.isspace() or letter < " " for letter in text):
        raise ValueError("the name of a key has at least one character, no spaces and no plus")
    _encoded(text)
    return text


def sign_note(text: str, key: SigningKey) -> str:
    """The text with one signature under it.

    Raises:
        ValueError: it cannot be the text of a note: no newline at its end, a control character.
        MissingExtra: the extra ``serve`` is not installed.
    """
    message = _encoded(text)
    if not text.endswith("\n"):
        raise ValueError("the text of a note ends with a newline")
    signature = base64.b64encode(key.verifier.id + key.sign(message)).decode()
    return f"{text}\n— {key.name} {signature}\n"


def read_note(note: str | bytes, key: VerifierKey) -> str:
    """The text of a note that ``key`` signed. Signatures of other keys are passed over, whatever they are.

    Raises:
        ValueError: it is no note, or ``key`` has not signed it, or one of its signatures is not of this text.
        MissingExtra: the extra ``serve`` is not installed.
    """
    text, signatures = split_note(note)
    message = text.encode()
    mine = [signature for name, id, signature in signatures if (name, id) == (key.name, key.id)]
    if not mine:
        names = ", ".join(f"{name}+{id.hex()}" for name, id, _ in signatures[:3])
        raise ValueError(f"it is not signed by {key.name}+{key.id.hex()}, but by {names}")
    if not all(key.verifies(message, signature) for signature in mine):
        raise ValueError(f"the signature of {key.name} is not of this text: one of them was changed")
    return text


def split_note(note: str | bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Text and signatures of a note, none of them verified: key name, four bytes of key id, and the signature itself.

    Raises:
        ValueError: it is no note.
    """
    if len(note) > MAX_NOTE:
        raise ValueError(f"a note of more than {MAX_NOTE} bytes")
    try:
        whole = note if isinstance(note, str) else note.decode()
    except UnicodeDecodeError:
        raise ValueError("a note is UTF-8") from None
    _encoded(whole)
    text, empty, below = whole.rpartition("\n\n")
    if not (text and empty and below.endswith("\n")):
        raise ValueError("a note is text, an empty line, and lines of signatures")
    lines = below[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise ValueError(f"a note of more than {MAX_SIGNATURES} signatures")
    return f"{text}\n", [_signature(line) for line in lines]


def decode_base64(text: str) -> bytes:
    """The bytes of base64 in its one spelling: padded, nothing in between, no bits left over.

    Raises:
        ValueError: it is anything else.
    """
    try:
        value = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("is not base64") from None
    if base64.b64encode(value).decode() != text:
        raise ValueError("is not base64 in its usual spelling")
    return value


def _signature(line: str) -> tuple[str, bytes, bytes]:
    dash, name, encoded = (*line.split(" "), "", "")[:3]
    if dash != "—" or line.count(" ") != 2:
        raise ValueError("a signature is an em dash, the name of a key and base64, with a space between them")
    value = decode_base64(encoded)
    if len(value) <= ID_BYTES:
        raise ValueError("a signature is the id of a key and more")
    return key_name(name), value[:ID_BYTES], value[ID_BYTES:]


def _key_parts(text: str, usage: str) -> tuple[str, str, bytes]:
    """Name, id in hex and key of a key in text; that the id fits is for the caller to see."""
    name, id, encoded = (*text.split("+", 2), "", "")[:3]
    try:
        key_name(name)
        value = decode_base64(encoded)
    except ValueError as error:
        raise ValueError(f"{usage}: {error}") from None
    if not re.fullmatch("[0-9a-f]{8}", id):
        raise ValueError(usage)
    if value[:1] != ED25519 or len(value) != 1 + KEY_BYTES:
        raise ValueError(f"key {name} is not of Ed25519")
    return name, id, value[1:]


def _encoded(text: str) -> bytes:
    """The UTF-8 of text that a note may hold.

    Raises:
        ValueError: it holds a control character other than newline, or half of a character.
    """
    if any(letter < " " and letter != "\n" for letter in text):
        raise ValueError("a note holds no control characters")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("a note holds no half characters") from None
