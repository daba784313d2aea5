"""What the service signs by itself: which selections there are, which metadata go together, what is the latest.

It is signed anew when it is asked for and half of its time is over, or something changed. Nothing has to run meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from targets.errors import InputError
from tuning_db.keys import PrivateKey
from tuning_db.repositories import CHAMPIONS, ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from tuning_db.repository.metadata import (
    LIFETIMES,
    MAX_METADATA,
    dumps,
    expires_at,
    key_of,
    loads,
    new_champions,
    new_snapshot,
    new_timestamp,
    sign,
)
from tuning_db.repository.selections import basis, selections
from tuning_db.store import Store


@dataclass(frozen=True)
class Champions:
    """What the service says of champions, signed but not kept yet.

    Attributes:
        version: of the metadata.
        content: the metadata.
        expires: seconds since 1970.
        files: digest and length by path.
        new: those files that are not here yet.
    """

    version: int
    content: str
    expires: float
    files: Mapping[str, tuple[str, int]]
    new: Sequence[bytes]


@dataclass(frozen=True)
class Due:
    """What is to be signed anew.

    Attributes:
        champions: where it is not what is there.
        snapshot: whether the snapshot is, where champions are not.
        timestamp: whether the timestamp is, where neither is.
        basis: ``Basis.digest`` of the selections that there are then; None where they were not looked at.
        too_many: whether there are more selections than clients read of: what was said of them stays.
    """

    champions: Champions | None = None
    snapshot: bool = False
    timestamp: bool = False
    basis: str | None = None
    too_many: bool = False

    def __bool__(self) -> bool:
        return self.champions is not None or self.snapshot or self.timestamp


def due(store: Store, release: str, key: PrivateKey, now: float, look: bool, before: str | None = None) -> Due:
    """What of a repository is to be signed anew; nothing where the service cannot.

    What takes time is done here, where it holds up nobody who writes.

    Args:
        store: what is there.
        release: its id.
        key: what the service signs this repository with.
        now: seconds since 1970.
        look: whether to look at what champions there are.
        before: ``Due.basis`` of the last look, whose selections are those that are there.
    """
    old = stale(store, release, now)
    if not (old or look) or not can_sign(store, release, key):
        return Due()
    champions, of = None, basis(store, release, now) if look else None
    there = files = store.targets_of(release, CHAMPIONS) if look or CHAMPIONS in old else {}
    texts: dict[str, bytes] = {}
    too_many = False
    if of is not None and of.digest != before:
        texts = selections(store, of)
        files = {path: (hashlib.sha256(text).hexdigest(), len(text)) for path, text in texts.items()}
    if files != there or CHAMPIONS in old:
        new = [texts[path] for path, file in files.items() if there.get(path) != file]
        champions = said(store, release, key, now, files, new)
        too_many = len(champions.content) > MAX_METADATA
        if too_many:  # and with that clients could not read anything else of the repository either
            champions = said(store, release, key, now, there) if CHAMPIONS in old else None
    return Due(champions, SNAPSHOT in old, TIMESTAMP in old, of.digest if of else None, too_many)


def stale(store: Store, release: str, now: float) -> set[str]:
    """Roles that the service signs of which half of the time is over, or more; none where there is no repository."""
    expires = store.expiries(release)
    return {role for role, life in LIFETIMES.items() if role in expires and expires[role] - now < life / 2}


def can_sign(store: Store, release: str, key: PrivateKey) -> bool:
    """Whether there is a repository whose root says that the service's key is the one to sign it with."""
    root = store.metadata(release, ROOT)
    return root is not None and loads(ROOT, root.content).signed.roles[TIMESTAMP].keyids == [key_of(key.public).keyid]


def said(
    store: Store,
    release: str,
    key: PrivateKey,
    now: float,
    files: Mapping[str, tuple[str, int]],
    new: Sequence[bytes] = (),
) -> Champions:
    """The next version of what the service says of champions; ``files`` and ``new`` as ``Champions`` has them."""
    metadata = new_champions(_next(store, release, CHAMPIONS), now, files)
    sign(metadata, key)
    return Champions(metadata.signed.version, dumps(metadata), expires_at(metadata.signed), files, new)


def renew(store: Store, release: str, key: PrivateKey, now: float, champions: Champions | None, snapshot: bool) -> None:
    """Sign the service's part of a repository, all in one transaction, and forget what was replaced long ago.

    Args:
        store: where.
        release: its id.
        key: what the service signs this repository with; its root says so.
        now: seconds since 1970.
        champions: what is new of them; None where nothing is.
        snapshot: whether to sign the snapshot anew where champions are as they were.

    Raises:
        InputError: champions were signed anew meanwhile.
    """
    with store.transaction():
        if champions is not None:
            if champions.version != _next(store, release, CHAMPIONS):
                raise InputError("champions were signed anew meanwhile; ask again")
            for content in champions.new:
                store.keep_blob(release, content, now)
            store.set_targets(release, CHAMPIONS, champions.files, now)
            store.keep_metadata(release, CHAMPIONS, champions.content, champions.expires, now)
        if champions is not None or snapshot:
            parts = [kept for role in (TARGETS, CHAMPIONS) if (kept := store.metadata(release, role))]
            made = new_snapshot(_next(store, release, SNAPSHOT), now, parts)
            sign(made, key)
            store.keep_metadata(release, SNAPSHOT, dumps(made), expires_at(made.signed), now)
        last = store.metadata(release, SNAPSHOT)
        assert last is not None
        latest = new_timestamp(_next(store, release, TIMESTAMP), now, last)
        sign(latest, key)
        store.keep_metadata(release, TIMESTAMP, dumps(latest), expires_at(latest.signed), now)
        store.forget_replaced(release, now)


def _next(store: Store, release: str, role: str) -> int:
    last = store.metadata(release, role)
    return last.version + 1 if last else 1
