"""Looking repositories over: do metadata, files and digests hold together, as a client would find them?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tuning_db.blobs import Blob
from tuning_db.repositories import CHAMPIONS, ROLES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from tuning_db.store import Store


def problems(store: Store) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with the repositories of a database: where, and what. Signatures are not looked at."""
    for release in sorted({row["release"] for row in store.rows("SELECT DISTINCT release FROM repository_metadata")}):
        for problem in _metadata(store, release):
            yield f"repository {release}", problem
    for row in store.rows("SELECT release, digest, length, whole FROM repository_blob ORDER BY release, digest"):
        blob = Blob(row["digest"], row["length"], bool(row["whole"]))
        if blob.whole and not store.is_what_it_says(row["release"], blob):
            yield f"repository {row['release']}", f"file {blob.digest} is not what it was, or not whole"


def _metadata(store: Store, release: str) -> Iterator[str]:
    wrong = False
    for row in store.rows(
        "SELECT role, version, content, digest FROM repository_metadata WHERE release = ? ORDER BY role, version",
        (release,),
    ):
        where = f"{row['role']} version {row['version']}"
        if hashlib.sha256(row["content"].encode()).hexdigest() != row["digest"]:
            wrong = True
            yield f"{where} does not have its digest"
        elif _signed(row["content"]).get("version") != row["version"]:
            yield f"{where} says that it is another version"
    last = {role: store.metadata(release, role) for role in ROLES}
    absent = [role for role, kept in last.items() if kept is None]
    if absent:
        yield f"it has no {', '.join(absent)}"
    if absent or wrong:
        return  # what was signed holds together; what was changed since may be anything
    said = {role: _signed(kept.content) for role, kept in last.items() if kept}
    for role, parts in ((TIMESTAMP, (SNAPSHOT,)), (SNAPSHOT, (TARGETS, CHAMPIONS))):
        for part in parts:
            kept, named = last[part], said[role].get("meta", {}).get(f"{part}.json", {})
            if kept and (named.get("version"), named.get("hashes")) != (kept.version, {"sha256": kept.digest}):
                yield f"the {role} does not name the last version of {part}"
    for role in (TARGETS, CHAMPIONS):
        named = {
            path: (file.get("hashes", {}).get("sha256"), file.get("length"))
            for path, file in said[role].get("targets", {}).items()
        }
        if named != store.targets_of(release, role):
            yield f"the files of {role} are not those that it names"
    numbers = [row["version"] for row in store.rows(
        "SELECT version FROM repository_metadata WHERE release = ? AND role = ? ORDER BY version", (release, ROOT)
    )]  # fmt: skip
    if numbers != list(range(1, len(numbers) + 1)):
        yield "a root is missing between the first and the last"


def _signed(content: str) -> dict[str, Any]:
    """What is signed, empty where that cannot be read."""
    try:
        signed = json.loads(content)["signed"]
    except (ValueError, TypeError, KeyError):
        return {}
    return signed if isinstance(signed, dict) else {}
