"""Metadata of The Update Framework, by the ``tuf`` package: keys as it has them, what is signed, and what it says.

``tuf`` brings ``cryptography``, which people who only tune do not have, so that it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from targets.errors import InputError, MissingExtra
from targets.units import DAY
from tuning_db.keys import PrivateKey, PublicKey
from tuning_db.readers import parse
from tuning_db.repositories import CHAMPIONS, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Kept
from tuning_db.repository.paths import CHAMPIONS_PATTERN

if TYPE_CHECKING:
    from securesystemslib.signer import Key
    from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Targets

# Bytes; clients of ``tuf`` read no more of a root, and of other roles not without being told how long they are.
MAX_ROOT, MAX_METADATA = 512_000, 5_000_000
DEPTH = 12
# Where a key says what its owner calls it.
NAME = "x-headstart-name"
# What the service signs by itself lives so long, in seconds: a client that is shown nothing newer notices after that.
LIFETIMES = {TIMESTAMP: DAY, SNAPSHOT: 7 * DAY, CHAMPIONS: 7 * DAY}


@contextmanager
def needed() -> Iterator[None]:
    """Around imports of ``tuf``.

    Raises:
        MissingExtra: the extra ``client`` is not installed.
    """
    try:
        yield
    except ImportError:
        raise MissingExtra("a repository of signed artifacts", "client") from None


def online_key(key: PrivateKey, release: str) -> PrivateKey:
    """What a service signs the repository of a release, by its id, with: metadata of one is none of another."""
    return key.derived(f"headstart-repository/1 {release}")


def key_of(public: PublicKey) -> Key:
    """A public key as metadata has it; its id is a hash of it."""
    with needed():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from securesystemslib.signer import SSlibKey
    key = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public.raw))
    key.unrecognized_fields[NAME] = public.name
    return key


def sign(metadata: Metadata[Any], key: PrivateKey) -> None:
    """Add the signature of a key to those that are there."""
    with needed():
        from securesystemslib.signer import Signature
    id = key_of(key.public).keyid
    metadata.signatures[id] = Signature(id, key.sign(metadata.signed_bytes).hex())


def dumps(metadata: Metadata[Any]) -> str:
    """Metadata as text; the same for the same."""
    return metadata.to_bytes().decode()


def loads(role: str, text: str) -> Metadata[Any]:
    """Metadata of a role, in the one type it has. Nothing of it is verified.

    Raises:
        InputError: it is none.
    """
    with needed():
        from tuf.api.metadata import Metadata
    data = text.encode(errors="replace")
    most = MAX_ROOT if role == ROOT else MAX_METADATA
    if len(data) > most:
        raise InputError(f"the {role} metadata has {len(data)} bytes, and clients read {most}")
    try:
        made: Metadata[Any] = Metadata.from_dict(parse(data, DEPTH))
        made.signed_bytes  # noqa: B018 - what cannot be spelled in canonical JSON raises
    except ValueError as error:
        raise InputError(f"the {role} metadata is not as it must be: {error}") from None
    except Exception as error:  # the library lets through whatever its parts raise
        raise InputError(f"the {role} metadata is not as it must be: {type(error).__name__}") from None
    if made.signed.type != (TARGETS if role == CHAMPIONS else role):
        raise InputError(f"this is metadata of the role {made.signed.type}, and not of {role}")
    return made


def expiry(now: float, lifetime_s: float) -> datetime:
    """When something expires that lives so long from now on, to the second."""
    return datetime.fromtimestamp(int(now + lifetime_s), timezone.utc)


def new_root(
    version: int, expires: datetime, keys: Mapping[str, Sequence[Key]], thresholds: Mapping[str, int], online: Key
) -> Metadata[Root]:
    """A root, not signed: who signs for which role.

    Args:
        version: from 1.
        expires: when people must have signed the next one.
        keys: of the roles ``root`` and ``targets``.
        thresholds: how many of them must sign, by role.
        online: what the service signs with.
    """
    with needed():
        from tuf.api.metadata import Metadata, Role, Root
    by_role = {**keys, SNAPSHOT: [online], TIMESTAMP: [online]}
    roles = {role: Role([key.keyid for key in of], thresholds.get(role, 1)) for role, of in by_role.items()}
    every = {key.keyid: key for of in by_role.values() for key in of}
    return Metadata(Root(version, None, expires, every, roles, consistent_snapshot=True))


def new_targets(
    version: int, expires: datetime, files: Mapping[str, tuple[str, int]], online: Key
) -> Metadata[Targets]:
    """What operators vouch for, not signed.

    Args:
        version: from 1.
        expires: when people must have signed the next one.
        files: digest and length by path.
        online: what the service signs ``champions`` with.
    """
    with needed():
        from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Targets
    role = DelegatedRole(CHAMPIONS, [online.keyid], 1, terminating=True, paths=[CHAMPIONS_PATTERN])
    delegations = Delegations({online.keyid: online}, {CHAMPIONS: role})
    return Metadata(Targets(version, None, expires, _files(files), delegations))


def new_champions(version: int, now: float, files: Mapping[str, tuple[str, int]]) -> Metadata[Targets]:
    """What the service says of champions, not signed; ``files`` as of ``new_targets``."""
    with needed():
        from tuf.api.metadata import Metadata, Targets
    return Metadata(Targets(version, None, expiry(now, LIFETIMES[CHAMPIONS]), _files(files)))


def new_snapshot(version: int, now: float, parts: Iterable[Kept]) -> Metadata[Any]:
    """Which metadata go together, not signed."""
    with needed():
        from tuf.api.metadata import Metadata, Snapshot
    meta = {f"{part.role}.json": _meta(part) for part in parts}
    return Metadata(Snapshot(version, None, expiry(now, LIFETIMES[SNAPSHOT]), meta))


def new_timestamp(version: int, now: float, snapshot: Kept) -> Metadata[Any]:
    """What is the latest, not signed."""
    with needed():
        from tuf.api.metadata import Metadata, Timestamp
    return Metadata(Timestamp(version, None, expiry(now, LIFETIMES[TIMESTAMP]), _meta(snapshot)))


def files_of(targets: Targets) -> dict[str, tuple[str, int]]:
    """Digest and length by path of the files that targets metadata names.

    Raises:
        InputError: one has another digest than a SHA-256.
    """
    found = {}
    for path, file in targets.targets.items():
        if set(file.hashes) != {"sha256"}:
            raise InputError(f"{path!r} must have a SHA-256 and no other hash")
        found[path] = (file.hashes["sha256"], file.length)
    return found


def expires_at(signed: Signed) -> float:
    """When metadata expires, in seconds since 1970."""
    return signed.expires.timestamp()


def signers_of(delegator: Root | Targets, role: str, metadata: Metadata[Any]) -> tuple[list[Key], list[Key], int]:
    """Keys of a role that have signed metadata and that have not, and how many must.

    Raises:
        InputError: there is no such role.
    """
    try:
        found = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    except ValueError as error:
        raise InputError(str(error)) from None
    return list(found.signed.values()), list(found.unsigned.values()), found.threshold


def require_signed(delegator: Root | Targets, role: str, metadata: Metadata[Any], by: str) -> None:
    """See that enough keys of a role have signed metadata.

    Raises:
        InputError: they have not; ``by`` says whose keys they are.
    """
    signed, _, threshold = signers_of(delegator, role, metadata)
    if len(signed) < threshold:
        raise InputError(
            f"the {role} metadata of version {metadata.signed.version} has {len(signed)} of the {threshold} signatures"
            f" that {by} asks for"
        )


def name_of(key: Key) -> str:
    """What a key is called, for people: the name that its owner gave, and the start of its id."""
    name = key.unrecognized_fields.get(NAME)
    return f"{name} ({key.keyid[:12]})" if isinstance(name, str) else key.keyid[:12]


def _files(files: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    from tuf.api.metadata import TargetFile

    return {path: TargetFile(length, {"sha256": digest}, path) for path, (digest, length) in files.items()}


def _meta(kept: Kept) -> MetaFile:
    from tuf.api.metadata import MetaFile

    return MetaFile(kept.version, kept.length, {"sha256": kept.digest})
