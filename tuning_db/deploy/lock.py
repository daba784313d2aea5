"""``headstart.lock``: what was pulled, to the byte, and from where; to be kept with the code that depends on it.

It holds all that a bundle is made from, the schedules too, so that one can be built again from it alone. It has one
spelling and holds its own digest: a lock file that was changed by hand or accident is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.files import whole_file
from tuning_db.published import SHA256, Prebuilt
from tuning_db.readers import count, exactly, mapping, matching, optional, parse, record, table, text
from tuning_db.selection import TIERS, Selection

SCHEMA = "headstart-lock/1"
DEPTH = 28
THERE, HERE = "prebuilt", "here"


@dataclass(frozen=True)
class Origin:
    """Where something was pulled from.

    Attributes:
        where: URL of a service, or path of a database.
        release: whose repository of the service; empty of a database.
        root: SHA-256 of the root metadata that trust started from; empty of a database.
        versions: of each role's metadata that was trusted.
    """

    where: str
    release: str = ""
    root: str = ""
    versions: Mapping[str, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """It as JSON types."""
        return {**vars(self), "root": self.root or None, "versions": dict(self.versions or {})}


@dataclass(frozen=True)
class Lock:
    """What was pulled.

    Attributes:
        origin: from where.
        tier: how far a schedule had to be trusted at least.
        offered: digest of the selection that was offered.
        selection: what was chosen of it, one candidate a workload, or none where the default schedule was built.
        made: ``prebuilt`` where the repository had the bundle, ``here`` where it was built on the machine that pulled.
        bundle: its digest, and its files.
    """

    origin: Origin
    tier: str
    offered: str
    selection: Selection
    made: str
    bundle: Prebuilt

    def to_json(self) -> dict[str, Any]:
        """The lock file as JSON types, its own digest included."""
        whole = {
            "schema": SCHEMA,
            "origin": self.origin.to_json(),
            "tier": self.tier,
            "offered": self.offered,
            "selection": self.selection.to_json(),
            "made": self.made,
            "bundle": self.bundle.to_json(),
        }
        return {**whole, "digest": hashlib.sha256(canonical_json(whole).encode()).hexdigest()}

    def dumps(self) -> bytes:
        """The one text of the lock file."""
        return json.dumps(self.to_json(), indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"

    def same(self, other: Lock) -> bool:
        """Whether both come to the same bundle from the same place, whatever versions its metadata had."""
        return self.dumps() == replace(other, origin=replace(other.origin, versions=self.origin.versions)).dumps()

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        with whole_file(path) as part:
            part.write_bytes(self.dumps())

    @classmethod
    def loads(cls, data: bytes) -> Lock:
        """Read what ``dumps`` wrote, to the byte.

        Raises:
            ValueError: it is anything else; the message says where.
        """
        if len(data) > Selection.MOST:
            raise ValueError(f"is longer than {Selection.MOST >> 20} MiB")
        row = LOCK(parse(data, DEPTH))
        found = cls(
            origin=Origin(**{**row["origin"], "root": row["origin"]["root"] or ""}),
            tier=row["tier"],
            offered=row["offered"],
            selection=Selection.from_json(row["selection"]),
            made=row["made"],
            bundle=Prebuilt.from_json(row["bundle"]),
        )
        if any(len(kernel.candidates) > 1 for kernel in found.selection.kernels):
            raise ValueError("selection: has more than one candidate for a workload")
        if found.dumps() != data:
            raise ValueError("is not as it was written: its digest is another")
        return found


LOCK = record(
    {
        "schema": exactly(SCHEMA),
        "origin": record(
            {"where": text, "release": text, "root": optional(SHA256), "versions": table(text, count, 16)}
        ),
        "tier": matching("|".join(TIERS), f"one of {', '.join(TIERS)}"),
        "offered": SHA256,
        "selection": mapping,
        "made": matching(f"{THERE}|{HERE}", f"{THERE} or {HERE}"),
        "bundle": mapping,
        "digest": SHA256,
    }
)


def read_lock(path: Path) -> Lock | None:
    """The lock file of this path; None where there is none.

    Raises:
        InputError: it cannot be read, or was changed by anybody but a pull.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    try:
        return Lock.loads(data)
    except ValueError as error:
        raise InputError(
            f"{path} is no lock file as a pull writes it: {error}; take it from version control, or pull without it"
        ) from None


def needed_lock(path: Path) -> Lock:
    """The lock file of this path.

    Raises:
        InputError: there is none, or it was changed by anybody but a pull.
    """
    found = read_lock(path)
    if found is None:
        raise InputError(f"{path} is not there, so that nothing is pinned: headstart pull writes it")
    return found
