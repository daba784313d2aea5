"""What drafts are made of: a first root, other files, other keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from targets.errors import InputError
from tuning_db.keys import PublicKey
from tuning_db.repositories import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from tuning_db.repository.draft import Draft
from tuning_db.repository.metadata import dumps, expiry, key_of, loads, name_of, new_root, new_targets

if TYPE_CHECKING:
    from tuf.api.metadata import Root


def begin(
    release: str,
    online: PublicKey,
    keys: Mapping[str, Sequence[PublicKey]],
    thresholds: Mapping[str, int],
    lifetimes_s: Mapping[str, float],
    now: float,
) -> Draft:
    """The first root and targets of a repository, not signed.

    Args:
        release: its id.
        online: what the service signs this repository with.
        keys: of the people who sign for the roles ``root`` and ``targets``.
        thresholds: how many of them must, by role.
        lifetimes_s: seconds that what they sign lives, by role.
        now: seconds since 1970.

    Raises:
        InputError: a role has fewer keys than must sign, one key twice, or that of the service.
    """
    for role in (ROOT, TARGETS):
        distinct = {key.raw for key in keys[role]}
        if len(distinct) != len(keys[role]):
            raise InputError(f"a key is given twice for the role {role}")
        if not 1 <= thresholds[role] <= len(distinct):
            raise InputError(f"{thresholds[role]} keys of {role} must sign, and there are {len(distinct)}")
        if online.raw in distinct:
            raise InputError(f"{online.name} is what the service signs with; nobody holds it who signs for {role}")
    of_people = {role: [key_of(key) for key in keys[role]] for role in (ROOT, TARGETS)}
    root = new_root(1, expiry(now, lifetimes_s[ROOT]), of_people, thresholds, key_of(online))
    targets = new_targets(1, expiry(now, lifetimes_s[TARGETS]), {}, key_of(online))
    return Draft(release, [], None, {ROOT: root, TARGETS: targets})


def next_targets(draft: Draft, files: Mapping[str, tuple[str, int]], lifetime_s: float, now: float) -> None:
    """Have a draft name these files from then on: digest and length by path."""
    said = draft.next_root.signed
    online = said.keys[said.roles[TIMESTAMP].keyids[0]]
    before = loads(TARGETS, draft.targets).signed.version if draft.targets else 0
    draft.next[TARGETS] = new_targets(before + 1, expiry(now, lifetime_s), files, online)


def rotate(
    draft: Draft,
    role: str,
    add: Sequence[PublicKey],
    remove: Sequence[str],
    threshold: int | None,
    lifetimes_s: Mapping[str, float],
    now: float,
) -> None:
    """Have a draft change who signs for a role: by the next root, and the next targets where these must follow.

    Args:
        draft: changed in place; nothing is to come in it yet.
        role: ``root`` or ``targets``.
        add: keys to add.
        remove: names of keys, or the start of their ids.
        threshold: how many must sign from then on; as before unless said.
        lifetimes_s: seconds that what is signed lives, by role.
        now: seconds since 1970.

    Raises:
        InputError: there is no such key, one is there already, or fewer are left than must sign.
    """
    root = _copied(draft)
    for named in remove:
        root.revoke_key(_found(root, role, named), role)
    for public in add:
        key = key_of(public)
        if key.keyid in root.roles[role].keyids:
            raise InputError(f"{name_of(key)} signs for {role} already")
        root.add_key(key, role)
    of = root.roles[role]
    of.threshold = threshold or of.threshold
    if len(of.keyids) < of.threshold:
        raise InputError(f"{of.threshold} keys of {role} must sign, and {len(of.keyids)} would be left")
    _take(draft, root, lifetimes_s, now)
    if role == TARGETS:
        next_targets(draft, draft.files, lifetimes_s[TARGETS], now)


def rotate_online(draft: Draft, online: PublicKey, lifetimes_s: Mapping[str, float], now: float) -> None:
    """Have a draft say that a service signs with another key; arguments as of ``rotate``.

    Raises:
        InputError: it does so already.
    """
    root, key = _copied(draft), key_of(online)
    if root.roles[TIMESTAMP].keyids == [key.keyid]:
        raise InputError(f"the service signs with {name_of(key)} already: start it with the new key first")
    for role in (SNAPSHOT, TIMESTAMP):
        for id in list(root.roles[role].keyids):
            root.revoke_key(id, role)
        root.add_key(key, role)
    _take(draft, root, lifetimes_s, now)
    next_targets(draft, draft.files, lifetimes_s[TARGETS], now)


def _copied(draft: Draft) -> Root:
    if draft.root is None:
        raise InputError("there is no repository yet; `headstart repository init` begins it")
    root: Root = loads(ROOT, dumps(draft.root)).signed
    return root


def _take(draft: Draft, root: Root, lifetimes_s: Mapping[str, float], now: float) -> None:
    from tuf.api.metadata import Metadata

    root.version += 1
    root.expires = expiry(now, lifetimes_s[ROOT])
    draft.next[ROOT] = Metadata(root)


def _found(root: Root, role: str, named: str) -> str:
    """The id of a key of a role, by its name or the start of its id."""
    ids = [
        id
        for id in root.roles[role].keyids
        if name_of(root.keys[id]).rpartition(" (")[0] == named or (len(named) >= 8 and id.startswith(named))
    ]
    if len(ids) != 1:
        there = ", ".join(name_of(root.keys[id]) for id in root.roles[role].keyids)
        raise InputError(f"{role} has {len(ids)} keys called {named!r}; it has {there}")
    return ids[0]
