"""What a repository publishes for a model: where its selections are, and which bundle was built of one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from targets.errors import InputError
from tuning_db.readers import exactly, matching, record, table, whole
from tuning_db.selection import Selection, step_key
from tuning_db.spelled import Spelled

SCHEMA = "headstart-prebuilt/1"
# Files of a bundle, and bytes of one.
MAX_FILES = 16
LARGEST_FILE = 4 << 30
PIECE = 1 << 20

# A part of a path and of a URL, on every system; never one that leads elsewhere.
SEGMENT = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FILE_NAME = "[A-Za-z0-9][A-Za-z0-9_-]*([.][A-Za-z0-9_-]+)*"
SHA256 = matching("[0-9a-f]{64}", "a SHA-256: 64 hexadecimal digits")


@dataclass(frozen=True)
class Address:
    """Where a repository has what it knows of a model at a step: on which chip, by which toolchain and policy.

    Attributes:
        model: name.
        step: as ``step_key`` says it.
        target, toolchain, policy: ids.
    """

    model: str
    step: str
    target: str
    toolchain: str
    policy: str

    @classmethod
    def of(cls, selection: Selection) -> Address:
        """Where a selection belongs.

        Raises:
            InputError: the model's name can be no part of a path.
        """
        key = (selection.target, selection.toolchain.id, selection.policy.id)
        return cls.named(selection.model, selection.step, *key)

    @classmethod
    def named(cls, model: str, step: Mapping[str, Any], target: str, toolchain: str, policy: str) -> Address:
        """Where something belongs that is of a model, a step, and ids of the rest.

        Raises:
            InputError: as ``of``.
        """
        if not SEGMENT.fullmatch(model):
            raise InputError(
                f"a model called {model!a} can have no place in a repository: "
                "its name may have letters, digits, '.', '_' and '-', and starts with a letter or digit"
            )
        return cls(model, step_key(step), target, toolchain, policy)

    @classmethod
    def parse(cls, path: str) -> Address | None:
        """The address whose ``selection`` or ``prebuilt`` is this path; None where it is no such path."""
        parts = path.removesuffix(".json").split("/")[1:]
        if len(parts) != 5 or not all(map(SEGMENT.fullmatch, parts)):
            return None
        found = cls(*parts)
        return found if path in (found.selection, found.prebuilt) else None

    @property
    def selection(self) -> str:
        """Path of the selection."""
        return f"champions/{self._path}"

    @property
    def prebuilt(self) -> str:
        """Path of what says which bundle was built of it."""
        return f"bundles/{self._path}"

    @property
    def _path(self) -> str:
        return f"{self.model}/{self.step}/{self.target}/{self.toolchain}/{self.policy}.json"


def blob_path(sha256: str) -> str:
    """Path of a file of a bundle."""
    return f"blobs/{sha256}"


@dataclass(frozen=True)
class BundleFile:
    """A file of a bundle: SHA-256 in hex, and length in bytes."""

    sha256: str
    length: int

    @classmethod
    def of(cls, path: Path) -> BundleFile:
        """What a file is.

        Raises:
            OSError: it cannot be read.
        """
        digest, length = hashlib.sha256(), 0
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                length += len(piece)
        return cls(digest.hexdigest(), length)


@dataclass(frozen=True)
class Prebuilt(Spelled):
    """A bundle that was built: the digest that names it, and its files by name."""

    MOST: ClassVar[int] = 1 << 20
    DEPTH: ClassVar[int] = 8

    bundle: str
    files: Mapping[str, BundleFile]

    def to_json(self) -> dict[str, Any]:
        """It as JSON types."""
        return {"schema": SCHEMA, "bundle": self.bundle, "files": {name: vars(f) for name, f in self.files.items()}}

    @classmethod
    def from_json(cls, value: Any) -> Prebuilt:
        row = PREBUILT(value)
        return cls(row["bundle"], {name: BundleFile(**file) for name, file in row["files"].items()})


PREBUILT = record(
    {
        "schema": exactly(SCHEMA),
        "bundle": SHA256,
        "files": table(
            matching(FILE_NAME, "a plain file name"),
            record({"sha256": SHA256, "length": whole(0, LARGEST_FILE)}),
            MAX_FILES,
        ),
    }
)
