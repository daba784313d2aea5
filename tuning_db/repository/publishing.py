"""Taking metadata that people signed: checked against what is there as a client would, and kept with what follows.

A client goes from the root that it has to the next and the next, each signed by enough keys of the one before and by
enough of its own. What it would refuse, or what would leave the service unable to sign its part, is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from targets.errors import InputError
from tuning_db.blobs import Blob
from tuning_db.keys import PrivateKey, PublicKey
from tuning_db.published import Address, Prebuilt, blob_path
from tuning_db.repositories import CHAMPIONS, ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from tuning_db.repository.metadata import expires_at, files_of, key_of, loads, name_of, require_signed
from tuning_db.repository.online import renew, said
from tuning_db.repository.paths import CHAMPIONS_PATTERN, path_problem
from tuning_db.store import Store

if TYPE_CHECKING:
    from securesystemslib.signer import Key
    from tuf.api.metadata import Metadata, Root, Targets

# Keys of a role, and files of a repository.
MOST_KEYS, MOST_FILES = 20, 10_000


@dataclass(frozen=True)
class Publication:
    """What was signed, and was found right.

    Attributes:
        root, targets: as they were given; None where that one stays.
        versions: of what is there before, by role; 0 where nothing is.
        expires: of what was given, by role, in seconds since 1970.
        files: digest and length by path, of the targets that were given.
    """

    root: str | None
    targets: str | None
    versions: Mapping[str, int]
    expires: Mapping[str, float]
    files: Mapping[str, tuple[str, int]]


def checked(
    store: Store, release: str, root: str | None, targets: str | None, online: PublicKey, now: float
) -> Publication:
    """What was signed for the repository of a release, where it may be published.

    Args:
        store: what is there.
        release: its id; the caller has seen to it that whoever asks may publish there.
        root, targets: metadata as text; one of them may be None.
        online: what the service signs this repository with.
        now: seconds since 1970.

    Raises:
        InputError: it may not; the message says why.
    """
    if root is None and targets is None:
        raise InputError("there is nothing to publish: neither a root nor targets")
    before_root, before_targets = store.metadata(release, ROOT), store.metadata(release, TARGETS)
    if before_root is None and (root is None or targets is None):
        raise InputError("there is no repository yet: it begins with a root and with targets")
    versions = {
        ROOT: before_root.version if before_root else 0,
        TARGETS: before_targets.version if before_targets else 0,
    }
    old: Metadata[Root] | None = loads(ROOT, before_root.content) if before_root else None
    expires: dict[str, float] = {}
    if root is not None:
        new = loads(ROOT, root)
        _check_next(ROOT, new, versions[ROOT], now)
        if old is not None:
            require_signed(old.signed, ROOT, new, "the root before it")
        require_signed(new.signed, ROOT, new, "it itself")
        _check_root(new.signed)
        expires[ROOT] = expires_at(new.signed)
    else:
        assert old is not None
        new = old
    for role in (SNAPSHOT, TIMESTAMP):
        if (new.signed.roles[role].keyids, new.signed.roles[role].threshold) != ([key_of(online).keyid], 1):
            raise InputError(
                f"the role {role} must be of the key that this service signs with, {name_of(key_of(online))}, alone:"
                " `headstart repository rotate online` makes it so"
            )
    vouched: Metadata[Targets]
    files: dict[str, tuple[str, int]] = {}
    if targets is not None:
        vouched = loads(TARGETS, targets)
        _check_next(TARGETS, vouched, versions[TARGETS], now)
        expires[TARGETS] = expires_at(vouched.signed)
        files = files_of(vouched.signed)
        _check_files(store, release, files)
    else:
        assert before_targets is not None
        vouched = loads(TARGETS, before_targets.content)
    require_signed(new.signed, TARGETS, vouched, "the root")
    _check_delegation(vouched.signed, key_of(online))
    return Publication(root, targets, versions, expires, files)


def publish(store: Store, release: str, given: Publication, key: PrivateKey, now: float) -> dict[str, int]:
    """Keep what was checked, and sign the service's part of it, all in one transaction.

    Args:
        store: where.
        release: its id.
        given: what was signed.
        key: what the service signs this repository with.
        now: seconds since 1970.

    Returns:
        Versions by role, as they are then.

    Raises:
        InputError: somebody else published meanwhile, or a file is gone that was there.
    """
    with store.transaction():
        for role, version in given.versions.items():
            last = store.metadata(release, role)
            if (last.version if last else 0) != version:
                raise InputError("somebody else published meanwhile; do it again from what is there now")
        if given.root is not None:
            store.keep_metadata(release, ROOT, given.root, given.expires[ROOT], now)
        if given.targets is not None:
            _require_here(store, release, given.files)
            store.set_targets(release, TARGETS, given.files, now)
            store.keep_metadata(release, TARGETS, given.targets, given.expires[TARGETS], now)
        champions = None
        if given.root is not None:
            # A key that is new has signed nothing yet.
            champions = said(store, release, key, now, store.targets_of(release, CHAMPIONS))
        renew(store, release, key, now, champions, snapshot=True)
        return {role: kept.version for role in (ROOT, TARGETS) if (kept := store.metadata(release, role))}


def _check_next(role: str, metadata: Metadata[Any], before: int, now: float) -> None:
    version = metadata.signed.version
    if version != before + 1:
        raise InputError(f"the {role} metadata has version {version}, and the next one is {before + 1}")
    if expires_at(metadata.signed) <= now:
        raise InputError(f"the {role} metadata of version {version} has expired already")


def _check_root(root: Root) -> None:
    if root.consistent_snapshot is not True:
        raise InputError("the root must say that snapshots are consistent")
    for id, key in root.keys.items():
        try:
            raw = bytes.fromhex(key.keyval["public"])
            right = (key.keytype, key.scheme) == ("ed25519", "ed25519") and key_of(PublicKey(raw, "key")).keyid == id
        except (ValueError, TypeError, KeyError):
            right = False
        # One key under two ids would be two signatures by one person.
        if not right:
            raise InputError(f"key {id[:12]!r} of the root is no Ed25519 key under its own id")
    for name, role in root.roles.items():
        if not len(role.keyids) <= MOST_KEYS or not set(role.keyids) <= set(root.keys):
            raise InputError(f"the role {name} has more than {MOST_KEYS} keys, or one that the root does not have")
        if role.threshold > len(role.keyids):
            raise InputError(f"{role.threshold} keys must sign for the role {name}, which has {len(role.keyids)}")
    online = set(root.roles[SNAPSHOT].keyids) | set(root.roles[TIMESTAMP].keyids)
    if online & (set(root.roles[ROOT].keyids) | set(root.roles[TARGETS].keyids)):
        raise InputError("what the service signs with cannot be a key of root or targets, which people hold")


def _check_delegation(targets: Targets, online: Key) -> None:
    roles = targets.delegations.roles if targets.delegations else None
    role = roles.get(CHAMPIONS) if roles and len(roles) == 1 else None
    parts = (role.keyids, role.threshold, role.paths, role.terminating) if role else None
    if parts != ([online.keyid], 1, [CHAMPIONS_PATTERN], True):
        raise InputError(
            f"targets must delegate {CHAMPIONS_PATTERN} to the role {CHAMPIONS}, signed by {name_of(online)}, and"
            " nothing else"
        )
    assert targets.delegations
    key = targets.delegations.keys.get(online.keyid)
    if key is None or key.keyval != online.keyval or key.scheme != online.scheme:
        raise InputError(f"targets name another key as {name_of(online)}")


def _check_files(store: Store, release: str, files: Mapping[str, tuple[str, int]]) -> None:
    if len(files) > MOST_FILES:
        raise InputError(f"targets name {len(files)} files; a repository has {MOST_FILES} at most")
    for path in files:
        if problem := path_problem(path):
            raise InputError(f"{path!r} {problem}")
    _require_here(store, release, files)
    for path, (digest, length) in files.items():
        if Address.parse(path) is not None:
            _check_bundle(store, release, path, Blob(digest, length, True), files)


def _check_bundle(store: Store, release: str, path: str, blob: Blob, files: Mapping[str, tuple[str, int]]) -> None:
    """See that what says which files a bundle has says so of files that are vouched for as well."""
    if blob.length > Prebuilt.MOST:
        raise InputError(f"{path} has {blob.length} bytes, and clients read {Prebuilt.MOST}")
    try:
        said = Prebuilt.loads(b"".join(store.read_blob(release, blob)))
    except ValueError as error:
        raise InputError(f"{path} {error}") from None
    for name, file in said.files.items():
        if files.get(blob_path(file.sha256)) != (file.sha256, file.length):
            raise InputError(f"{path} has a file {name}, which is not among the targets as {blob_path(file.sha256)}")


def _require_here(store: Store, release: str, files: Mapping[str, tuple[str, int]]) -> None:
    for path, (digest, length) in files.items():
        blob = store.blob(release, digest)
        if blob is None or not blob.whole or blob.length != length:
            raise InputError(
                f"{path} is a file of {length} bytes with SHA-256 {digest}, and is not here; send it first"
            )
