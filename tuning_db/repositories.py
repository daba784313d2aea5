"""Repositories: signed metadata, and the files that it names, of each release that has one.

Metadata is only added, one version after the other. What clients may still be on their way to is kept for a while after
it was replaced: metadata refers to metadata and files by version and digest, so that old and new are never mixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from targets.errors import InputError
from targets.units import DAY
from tuning_db.blobs import Blob, Blobs
from tuning_db.windows import Viewer, open_repositories

ROOT, TARGETS, CHAMPIONS, SNAPSHOT, TIMESTAMP = "root", "targets", "champions", "snapshot", "timestamp"
ROLES = (ROOT, TARGETS, CHAMPIONS, SNAPSHOT, TIMESTAMP)
# Seconds for which metadata and files stay after they were replaced: by role, since a bundle may take days to be
# fetched over a bad line, and selections are small and change often.
GRACE_S = {TARGETS: 7 * DAY, CHAMPIONS: 3600.0, SNAPSHOT: 3600.0, TIMESTAMP: 3600.0}


@dataclass(frozen=True)
class Kept:
    """One version of one role's metadata.

    Attributes:
        role: one of ``ROLES``.
        version: from 1.
        content: JSON as it was signed.
        digest: SHA-256 of it, in hex.
        expires: seconds since 1970.
    """

    role: str
    version: int
    content: str
    digest: str
    expires: float

    @property
    def length(self) -> int:
        """Bytes of the content."""
        return len(self.content.encode())


class Repositories(Blobs):
    """The tables ``repository_metadata`` and ``repository_target``."""

    def repository(self, viewer: Viewer, name: str) -> str | None:
        """The id of a release, given by id or name, whose repository the viewer may read; None where there is none.

        Raises:
            InputError: several releases have the name; by its id each can be told.
        """
        found = self.rows(
            f"SELECT r.id FROM release r WHERE r.id IN {open_repositories()} AND :name IN (r.id, r.name) ORDER BY r.id",
            {**viewer.values, "name": name},
        )
        return _only(name, [row["id"] for row in found])

    def managed_repository(self, account: str, name: str, everything: bool) -> str | None:
        """The id of a release, given by id or name, into whose repository an account may publish.

        Args:
            account: id of an account.
            name: of the release, or its id.
            everything: whether the account may publish into all repositories, as operators may.
        """
        # Found without a look at those of others.
        whose = "TRUE" if everything else "publisher = :account AND :account <> ''"
        found = self.rows(
            f"SELECT id FROM release WHERE {whose} AND :name IN (id, name) ORDER BY id",
            {"name": name, "account": account},
        )
        return _only(name, [row["id"] for row in found])

    def metadata(self, release: str, role: str, version: int | None = None) -> Kept | None:
        """Metadata of a role, the last version unless said; None where it is not here."""
        which = "ORDER BY version DESC LIMIT 1" if version is None else "AND version = :version"
        rows = self.rows(
            "SELECT role, version, content, digest, expires FROM repository_metadata"
            f" WHERE release = :release AND role = :role {which}",
            {"release": release, "role": role, "version": version},
        )
        return Kept(**rows[0]) if rows else None

    def expiries(self, release: str) -> dict[str, float]:
        """When the last version of each role's metadata expires, in seconds since 1970."""
        # With max() alone, SQLite takes the other columns from the row that has it.
        rows = self.rows(
            "SELECT role, expires, max(version) FROM repository_metadata WHERE release = ? GROUP BY role", (release,)
        )
        return {row["role"]: row["expires"] for row in rows}

    def roots(self, release: str) -> list[str]:
        """The content of every root of a release, oldest first."""
        rows = self.rows(
            "SELECT content FROM repository_metadata WHERE release = ? AND role = ? ORDER BY version", (release, ROOT)
        )
        return [row["content"] for row in rows]

    def keep_metadata(self, release: str, role: str, content: str, expires: float, now: float) -> Kept:
        """Keep the next version of a role's metadata, which the caller has seen to be right."""
        with self.transaction():
            last = self.metadata(release, role)
            digest = hashlib.sha256(content.encode()).hexdigest()
            kept = Kept(role, last.version + 1 if last else 1, content, digest, expires)
            self.execute(
                "INSERT INTO repository_metadata (release, role, version, content, digest, expires, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (release, role, kept.version, content, digest, expires, now),
            )
        return kept

    def targets_of(self, release: str, role: str) -> dict[str, tuple[str, int]]:
        """Digest and length by path of the files that a role's metadata names now."""
        rows = self.rows(
            "SELECT t.path, b.digest, b.length FROM repository_target t JOIN repository_blob b"
            " ON b.release = t.release AND b.digest = t.digest"
            " WHERE t.release = ? AND t.role = ? AND t.gone IS NULL ORDER BY t.path",
            (release, role),
        )
        return {row["path"]: (row["digest"], row["length"]) for row in rows}

    def set_targets(self, release: str, role: str, targets: Mapping[str, tuple[str, int]], now: float) -> None:
        """Say which files a role's metadata names from now on, as ``targets_of`` has them; each is here whole."""
        key = "release = ? AND role = ? AND path = ? AND digest = ?"
        with self.transaction():
            before = self.targets_of(release, role)
            for path, (digest, length) in before.items():
                if targets.get(path) != (digest, length):
                    self.execute(
                        f"UPDATE repository_target SET gone = ? WHERE {key}", (now, release, role, path, digest)
                    )
            for path, (digest, length) in targets.items():
                if before.get(path) != (digest, length):
                    self.execute(
                        "INSERT INTO repository_target (release, role, path, digest, gone) VALUES (?, ?, ?, ?, NULL)"
                        " ON CONFLICT (release, role, path, digest) DO UPDATE SET gone = NULL",
                        (release, role, path, digest),
                    )

    def repository_file(self, release: str, path: str, digest: str) -> Blob | None:
        """A file that is under a path, or was until lately."""
        named = "SELECT 1 FROM repository_target WHERE release = ? AND path = ? AND digest = ? LIMIT 1"
        return self.blob(release, digest) if self.value(named, (release, path, digest)) else None

    def forget_replaced(self, release: str, now: float) -> None:
        """Forget metadata and files that were replaced long enough ago."""
        with self.transaction():
            for role, grace in GRACE_S.items():
                # A version was replaced when the next one came.
                self.execute(
                    "DELETE FROM repository_metadata WHERE release = ?1 AND role = ?2 AND version + 1 IN"
                    " (SELECT version FROM repository_metadata WHERE release = ?1 AND role = ?2 AND created < ?3)",
                    (release, role, now - grace),
                )
                self.execute(
                    "DELETE FROM repository_target WHERE release = ? AND role = ? AND gone < ?",
                    (release, role, now - grace),
                )
            self.forget_blobs(release, now)

    def repository_ids(self) -> list[str]:
        """Ids of all releases that have a repository."""
        rows = self.rows("SELECT DISTINCT release FROM repository_metadata WHERE role = ? AND version = 1", (ROOT,))
        return sorted(row["release"] for row in rows)

    def earliest_expiry(self) -> dict[str, float]:
        """For root and targets, which people sign, when the first one of any release expires; seconds since 1970."""
        rows = self.rows(
            "SELECT role, min(expires) AS expires FROM repository_metadata m WHERE role IN ('root', 'targets')"
            " AND version = (SELECT max(version) FROM repository_metadata l WHERE l.release = m.release"
            " AND l.role = m.role) GROUP BY role",
        )
        return {row["role"]: row["expires"] for row in rows}


def _only(name: str, ids: list[Any]) -> str | None:
    if len(ids) > 1 and name not in ids:
        raise InputError(f"{len(ids)} releases are called {name!r}; give one of the ids {', '.join(ids)}")
    return name if name in ids else next(iter(ids), None)
