"""Metadata that people prepare and sign, each where their key is, before it is sent to a service.

A draft holds what is published, so that whoever signs next can see, from a root that they trust, what would change. It
believes the service nothing: what it calls the present state must be signed as a client would ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.keys import PrivateKey
from tuning_db.readers import entries, exactly, optional, parse, record, text
from tuning_db.repositories import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from tuning_db.repository.metadata import (
    MAX_METADATA,
    dumps,
    files_of,
    key_of,
    loads,
    name_of,
    require_signed,
    sign,
    signers_of,
)

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Targets

SCHEMA = "headstart-repository-draft/1"
MAX_DRAFT = 8 * MAX_METADATA
FORM = record(
    {
        "schema": exactly(SCHEMA),
        "release": text,
        "roots": entries(text, 10_000),
        "targets": optional(text),
        "next": record({ROOT: optional(text), TARGETS: optional(text)}),
    }
)


@dataclass
class Draft:
    """What is to be published, beside what is.

    Attributes:
        release: id of the release whose repository it is.
        roots: every root that is published, as text, oldest first.
        targets: what is published.
        next: metadata to come, by role; of those that change only.
    """

    release: str
    roots: list[str]
    targets: str | None
    next: dict[str, Metadata[Any]] = field(default_factory=dict)

    @property
    def root(self) -> Metadata[Root] | None:
        """The root that is published; None where none is."""
        return loads(ROOT, self.roots[-1]) if self.roots else None

    @property
    def next_root(self) -> Metadata[Root]:
        """The root that counts when this is published."""
        found = self.next.get(ROOT) or self.root
        if found is None:
            raise InputError("it has no root")
        return found

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        """Digest and length by path of the files that targets name now."""
        return files_of(loads(TARGETS, self.targets).signed) if self.targets else {}

    @property
    def texts(self) -> dict[str, str | None]:
        """What is to come, as it is sent to a service."""
        return {role: dumps(self.next[role]) if role in self.next else None for role in (ROOT, TARGETS)}

    def dumps(self) -> bytes:
        """The draft as a file."""
        whole = {"schema": SCHEMA, "release": self.release, "roots": self.roots, "targets": self.targets}
        return canonical_json({**whole, "next": self.texts}).encode() + b"\n"

    @classmethod
    def loads(cls, data: bytes) -> Draft:
        """Read what ``dumps`` wrote.

        Raises:
            InputError: it is anything else.
        """
        try:
            row = FORM(parse(data, 12))
        except ValueError as error:
            raise InputError(f"it is no draft: {error}") from None
        coming = {role: loads(role, said) for role, said in row["next"].items() if said is not None}
        return cls(row["release"], list(row["roots"]), row["targets"], coming)

    def require_trusted(self, trusted: str | None) -> None:
        """See that what is said to be published follows from a root that somebody trusts.

        Args:
            trusted: metadata of that root, of any version; None where there is to be nothing yet.

        Raises:
            InputError: it does not.
        """
        if trusted is None:
            if self.roots or self.targets:
                raise InputError("there is a repository already: --root names the root of it that you trust")
            return
        last: Metadata[Root] = loads(ROOT, trusted)
        version = last.signed.version
        if not 0 < version <= len(self.roots) or self.roots[version - 1] != trusted:
            raise InputError(f"its root of version {version} is not the one that you trust")
        for said in self.roots[version:]:
            following: Metadata[Root] = loads(ROOT, said)
            if following.signed.version != last.signed.version + 1:
                raise InputError("its roots do not follow one another")
            require_signed(last.signed, ROOT, following, "the root before it")
            require_signed(following.signed, ROOT, following, "it itself")
            last = following
        if self.targets is None:
            raise InputError("it has a root and no targets")
        require_signed(last.signed, TARGETS, loads(TARGETS, self.targets), "the root")

    def sign(self, keys: Sequence[PrivateKey]) -> None:
        """Sign what is to come with keys, each where it has to sign.

        Raises:
            InputError: a key has nothing to sign here.
        """
        for key in keys:
            id = key_of(key.public).keyid
            roles = [role for role in self.next if any(id in root.roles[role].keyids for root in self._signing(role))]
            if not roles:
                raise InputError(f"{key.public.name} is a key of none of the roles that change here")
            for role in roles:
                sign(self.next[role], key)

    def lacking(self) -> list[str]:
        """What signatures are still to come, a line for each role and whose keys; none where it can be published."""
        lines = []
        for role, metadata in self.next.items():
            for delegator in self._signing(role):
                signed, unsigned, threshold = signers_of(delegator, role, metadata)
                if len(signed) < threshold:
                    who = ", ".join(name_of(key) for key in unsigned)
                    lines.append(f"{role} has {len(signed)} of {threshold} signatures; {who} can sign")
        return list(dict.fromkeys(lines))

    def changes(self) -> Iterator[str]:
        """What would change, in lines for whoever signs it."""
        if ROOT in self.next:
            yield from self._root_changes(self.next[ROOT].signed)
        if TARGETS in self.next:
            made: Targets = self.next[TARGETS].signed
            yield f"targets version {made.version}, until {made.expires:%Y-%m-%d %H:%M:%S} UTC"
            before, after = self.files, files_of(made)
            for path in sorted(before.keys() | after.keys()):
                if before.get(path) != after.get(path):
                    word = "change" if path in before and path in after else "add" if path in after else "remove"
                    yield f"  {word} {path}"

    def _root_changes(self, new: Root) -> Iterator[str]:
        yield f"root version {new.version}, until {new.expires:%Y-%m-%d %H:%M:%S} UTC"
        old = self.root
        for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP):
            before = old.signed.roles[role] if old else None
            after = new.roles[role]
            for id in after.keyids:
                if before is None or id not in before.keyids:
                    yield f"  {role}: add key {name_of(new.keys[id])}"
            for id in before.keyids if before else ():
                if old and id not in after.keyids:
                    yield f"  {role}: remove key {name_of(old.signed.keys[id])}"
            if before is None or before.threshold != after.threshold:
                yield f"  {role}: {after.threshold} of {len(after.keyids)} must sign"

    def _signing(self, role: str) -> list[Root]:
        """Roots that say who must sign what is to come of a role."""
        roots = [self.next_root.signed]
        if role == ROOT and self.root is not None:
            roots.insert(0, self.root.signed)
        return roots
