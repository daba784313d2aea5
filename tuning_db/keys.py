"""Ed25519 keys (RFC 8032) of those who sign: private ones in PEM files, public ones as a line of text.

The arithmetic is that of the ``cryptography`` package. A private key shows itself nowhere: not when printed, not in an
error, and it cannot be pickled.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from targets.digest import digest
from targets.errors import InputError
from tuning_db.ed25519 import needed, verifies
from tuning_db.edwards import point_problem
from tuning_db.files import new_file, read_small
from tuning_db.readers import name as read_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCHEME = "headstart-ed25519"
MAX_FILE = 4096
# Of a passphrase. The library stretches it with 2,048 rounds of PBKDF2, which makes up for no short one; and OpenSSL
# reads no more than about the most.
LEAST, MOST = 12, 1000
PEM = re.compile(
    rb"-----BEGIN (?P<kind>(?:ENCRYPTED )?PRIVATE KEY)-----\r?\n(?:[A-Za-z0-9+/=]{1,76}\r?\n)+"
    rb"-----END (?P=kind)-----(?:\r?\n)?"
)


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with; equal when the bytes are, whatever it is called.

    Attributes:
        raw: the 32 bytes of RFC 8032.
        name: what its owner calls it, see ``readers.name``.

    Raises:
        InputError: no key that an honest pair could have (``edwards.point_problem``), or no name.
    """

    raw: bytes
    name: str = field(compare=False)

    def __post_init__(self) -> None:
        if problem := point_problem(self.raw):
            raise InputError(f"the public key {problem}")
        try:
            read_name(self.name)
        except ValueError as error:
            raise InputError(f"the name of a key {error}") from None

    @cached_property
    def id(self) -> str:
        """Hash of the key, without its name.

        Somebody who makes many pairs can make two of one id, though none of another's: ids narrow down which key to
        try and prove nothing.
        """
        return digest("k", self.raw.hex())

    @property
    def line(self) -> str:
        """Its text form: scheme, base64 and name, with single spaces between them; no newline."""
        return f"{SCHEME} {base64.b64encode(self.raw).decode()} {self.name}"

    @classmethod
    def from_line(cls, line: str) -> PublicKey:
        """Read what ``line`` wrote, with a newline after it or without.

        Raises:
            InputError: it is anything else.
        """
        parts = line.removesuffix("\n").removesuffix("\r").split(" ")
        if len(parts) != 3 or parts[0] != SCHEME:
            raise InputError(f"a public key is one line: {SCHEME}, the key in base64, a name")
        try:
            raw = base64.b64decode(parts[1], validate=True)
        except (binascii.Error, ValueError):
            raise InputError("the public key is not base64") from None
        if base64.b64encode(raw).decode() != parts[1]:
            raise InputError("the public key is not written in the one way base64 has for it")
        return cls(raw, parts[2])

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether a signature is one of this data by this key.

        Raises:
            MissingExtra: ``cryptography`` is not installed.
        """
        return verifies(self.raw, signature, data)


class PrivateKey:
    """A key to sign with. Make one with ``new`` or ``read``."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey, name: str) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw(), name)

    @classmethod
    def new(cls, name: str) -> PrivateKey:
        """A new pair, from the random numbers of the system.

        Raises:
            InputError: not a name.
            MissingExtra: ``cryptography`` is not installed.
        """
        with needed():
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        return cls(Ed25519PrivateKey.generate(), name)

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes; the same for the same data."""
        return self._key.sign(data)

    def derived(self, purpose: str) -> PrivateKey:
        """Another key that follows from this one and a purpose (HKDF, RFC 5869): of one file, a key for each thing."""
        with needed():
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        seed = HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(self._key.private_bytes_raw())
        return PrivateKey(Ed25519PrivateKey.from_private_bytes(seed), self.public.name)

    def write(self, folder: Path, passphrase: bytes | None = None) -> tuple[Path, Path]:
        """Write ``NAME.key`` (PKCS#8 in PEM, for its owner alone to read) and ``NAME.pub`` (``PublicKey.line``).

        Neither replaces a file that is there, and where the second cannot be written, the first is taken back.

        Args:
            folder: where to.
            passphrase: encrypt the private key with it.

        Returns:
            The two paths, private first.

        Raises:
            InputError: a passphrase that is too short or too long, a file that is there already or cannot be written.
        """
        with needed():
            from cryptography.hazmat.primitives import serialization as form
        protection: form.KeySerializationEncryption = form.NoEncryption()
        if passphrase is not None:
            if not LEAST <= len(passphrase) <= MOST:
                raise InputError(f"a passphrase has {LEAST} to {MOST} characters")
            protection = form.BestAvailableEncryption(passphrase)
        pem = self._key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, protection)
        secret, public = (folder / f"{self.public.name}.{ending}" for ending in ("key", "pub"))
        new_file(secret, pem, 0o600)
        try:
            new_file(public, f"{self.public.line}\n".encode(), 0o644)
        except BaseException:
            secret.unlink()
            raise
        return secret, public

    @classmethod
    def read(cls, path: Path, passphrase: Callable[[], bytes]) -> PrivateKey:
        """The key of a file that ``write`` wrote, called as the file is.

        Args:
            path: the file.
            passphrase: asked where the key is encrypted, and only there.

        Raises:
            InputError: no such file, one that others may read, no Ed25519 key in PKCS#8 PEM, the wrong passphrase.
            MissingExtra: ``cryptography`` is not installed.
        """
        with needed():
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        pem = read_small(path, MAX_FILE, private=True)
        found = PEM.fullmatch(pem)
        if found is None:
            raise InputError(f"{path} is not a private key: one block of PEM, PRIVATE KEY or ENCRYPTED PRIVATE KEY")
        given = passphrase() if found["kind"].startswith(b"ENCRYPTED") else None
        try:
            key = load_pem_private_key(pem, given)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # What the library says is left out: it may quote what it could not read.
            why = "is damaged" if given is None else "is damaged, or that is not its passphrase"
            raise InputError(f"{path}: the private key {why}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"{path} is a key of another kind, not Ed25519")
        return cls(key, path.stem)

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.id}, {self.public.name})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled or copied")


def read_public(path: Path) -> PublicKey:
    """The key of a file with a ``PublicKey.line``.

    Raises:
        InputError: no such file, or something else in it.
    """
    try:
        return PublicKey.from_line(read_small(path, MAX_FILE).decode("ascii"))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a public key: not ASCII") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def is_private(path: Path) -> bool:
    """Whether a file holds PEM, as private keys do, and not a line, as public ones are.

    Raises:
        InputError: no such file.
    """
    return read_small(path, MAX_FILE).startswith(b"-----")
