"""What files of a repository are called, in its metadata and in URLs."""

from __future__ import annotations

import re

from tuning_db.published import Address, blob_path
from tuning_db.repositories import CHAMPIONS, ROLES, TIMESTAMP

DIGEST = re.compile("[0-9a-f]{64}")
# What the role ``champions`` may name: model, step, target, toolchain, and policy with its ending. A star of a pattern
# stands for one part of a path.
CHAMPIONS_PATTERN = f"{CHAMPIONS}/*/*/*/*/*.json"
METADATA = re.compile(rf"(?:(?P<version>[1-9][0-9]{{0,9}})\.)?(?P<role>{'|'.join(ROLES)})\.json")


def path_problem(path: str) -> str | None:
    """What keeps a text from being the path of a file that people vouch for; None where nothing does."""
    name = path.rpartition("/")[2]
    address = Address.parse(path)
    if (DIGEST.fullmatch(name) and path == blob_path(name)) or (address is not None and path == address.prebuilt):
        return None
    return "is neither blobs/SHA256 nor bundles/MODEL/STEP/TARGET/TOOLCHAIN/POLICY.json"


def hashed(path: str, digest: str) -> str:
    """The path under which a version of a file is served: with its digest before its name."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{digest}.{name}"


def unhashed(served: str) -> tuple[str, str] | None:
    """Path and digest of a path under which a file is served; None where it is none."""
    folder, slash, last = served.rpartition("/")
    digest, dot, name = last.partition(".")
    if not (dot and name and DIGEST.fullmatch(digest)):
        return None
    return f"{folder}{slash}{name}", digest


def named_metadata(file: str) -> tuple[str, int | None] | None:
    """Role and version of a metadata file: of all but the timestamp a version is named. None where it is none."""
    found = METADATA.fullmatch(file)
    if found is None or (found["version"] is None) != (found["role"] == TIMESTAMP):
        return None
    return found["role"], int(found["version"]) if found["version"] else None
