"""Files of repositories, in parts: as they are sent, and as they are read again.

A file is named by its SHA-256, and each release has files of its own. One that is sent is whole once all of its parts
are there and hash to its name; until then nothing can refer to it, and after a day it is forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from targets.errors import InputError
from targets.units import DAY
from tuning_db.connection import Connection
from tuning_db.quotas import room_from
from tuning_db.reasons import Reason, Refused

# Bytes of each part but the last: what a reader holds of a file at a time, and what a writer waits for.
PART = 1 << 20
# Of a file. Libraries of a few hundred kernels have some tens of MiB.
MAX_BLOB = 1 << 30
# Seconds after which a file that was not sent whole is forgotten.
UNFINISHED_S = DAY


@dataclass(frozen=True)
class Blob:
    """A file of a release.

    Attributes:
        digest: SHA-256, in hex.
        length: bytes.
        whole: whether all of it is here and hashes to the digest.
    """

    digest: str
    length: int
    whole: bool

    @property
    def parts(self) -> int:
        """How many parts it has."""
        return parts_of(self.length)

    def part_length(self, number: int) -> int:
        """Bytes of a part, by its number from 0."""
        return min(PART, self.length - number * PART)


def parts_of(length: int) -> int:
    """How many parts a file of so many bytes has: an empty one has one, which is empty."""
    return max(1, -(-length // PART))


class Blobs(Connection):
    """The tables ``repository_blob`` and ``repository_part``."""

    def blob(self, release: str, digest: str) -> Blob | None:
        """A file, or as much of it as is here."""
        rows = self.rows(
            "SELECT digest, length, whole FROM repository_blob WHERE release = ? AND digest = ?", (release, digest)
        )
        return Blob(rows[0]["digest"], rows[0]["length"], bool(rows[0]["whole"])) if rows else None

    def missing_parts(self, release: str, blob: Blob) -> list[int]:
        """Numbers of the parts of a file that are not here."""
        rows = self.rows("SELECT number FROM repository_part WHERE release = ? AND digest = ?", (release, blob.digest))
        return sorted(set(range(blob.parts)) - {row["number"] for row in rows})

    def blob_part(self, release: str, digest: str, number: int) -> bytes | None:
        """A part of a file; None where it is not here."""
        sql = "SELECT content FROM repository_part WHERE release = ? AND digest = ? AND number = ?"
        found = self.value(sql, (release, digest, number))
        return None if found is None else bytes(found)

    def is_what_it_says(self, release: str, blob: Blob) -> bool:
        """Whether the parts of a file hash to its name."""
        total = hashlib.sha256()
        for number in range(blob.parts):
            part = self.blob_part(release, blob.digest, number)
            if part is None or len(part) != blob.part_length(number):
                return False
            total.update(part)
        return total.hexdigest() == blob.digest

    def add_part(
        self, release: str, of: Blob, number: int, content: bytes, account: str, most: int | None, now: float
    ) -> None:
        """Take a part of a file; one that is here stays as it is.

        Args:
            release: its id; the caller has seen to it that the account may do this.
            of: the file as whoever sends it says that it is.
            number: of the part, from 0.
            content: the part.
            account: id of who sends it.
            most: bytes of files that the account may begin to send in a day; None for any.
            now: seconds since 1970.

        Raises:
            InputError: it cannot be a part of such a file, or the file is known with another length.
            Refused: the account has sent too much.
        """
        if not 0 <= of.length <= MAX_BLOB:
            raise InputError(f"a file has at most {MAX_BLOB} bytes, and this one {of.length}")
        if not 0 <= number < of.parts or len(content) != of.part_length(number):
            raise InputError(f"part {number} of a file of {of.length} bytes is not one of {len(content)} bytes")
        with self.transaction():
            known = self.blob(release, of.digest)
            if known is None:
                self._require_uploads(account, most, of.length, now)
                self._begin(release, of, account, now)
            elif known.length != of.length:
                raise InputError(f"file {of.digest} has {known.length} bytes, and not {of.length}")
            self._add_part(release, of.digest, number, content)

    def finish_blob(self, release: str, blob: Blob, good: bool) -> None:
        """Note what a look at all parts of a file came to: it is whole, or it is forgotten."""
        with self.transaction():
            if good:
                self.execute(
                    "UPDATE repository_blob SET whole = 1 WHERE release = ? AND digest = ?", (release, blob.digest)
                )
            elif (known := self.blob(release, blob.digest)) and not known.whole:
                self._forget(release, blob.digest)

    def keep_blob(self, release: str, content: bytes, now: float) -> Blob:
        """Keep a file that the service itself made; what is here already stays."""
        blob = Blob(hashlib.sha256(content).hexdigest(), len(content), True)
        with self.transaction():
            known = self.blob(release, blob.digest)
            if known is None or not known.whole:
                if known:
                    self._forget(release, blob.digest)
                self._begin(release, blob, "", now)
                for number in range(blob.parts):
                    self._add_part(release, blob.digest, number, content[number * PART : (number + 1) * PART])
        return blob

    def forget_blobs(self, release: str, now: float) -> None:
        """Forget the files of a release that nothing refers to, but for those that are being sent."""
        rows = self.rows(
            "SELECT b.digest FROM repository_blob b WHERE b.release = ? AND (b.account = '' OR b.created < ?)"
            " AND NOT EXISTS (SELECT 1 FROM repository_target t WHERE t.release = b.release AND t.digest = b.digest)",
            (release, now - UNFINISHED_S),
        )
        for row in rows:
            self._forget(release, row["digest"])

    def read_blob(self, release: str, blob: Blob) -> Iterator[bytes]:
        """The parts of a whole file, in order."""
        for number in range(blob.parts):
            part = self.blob_part(release, blob.digest, number)
            if part is None:
                raise InputError(f"file {blob.digest} is damaged: part {number} is missing; run `headstart db check`")
            yield part

    def uploads(self, account: str, now: float) -> int:
        """Bytes of the files that an account, by its id, began to send in the day before ``now``."""
        sql = "SELECT coalesce(sum(length), 0) FROM repository_blob WHERE account = ? AND created > ?"
        return int(self.value(sql, (account, now - DAY)))

    def _require_uploads(self, account: str, most: int | None, length: int, now: float) -> None:
        sent = self.uploads(account, now)
        if most is None or sent + length <= most:
            return
        said = f"{sent} of {most} bytes of files in 24 hours are used, and this one has {length}"
        if length > most:
            raise Refused(Reason.OVER_QUOTA, f"{said}: it never fits")
        rows = self.rows(
            "SELECT created AS received, length AS sent FROM repository_blob WHERE account = ? AND created > ?"
            " ORDER BY created",
            (account, now - DAY),
        )
        raise Refused(Reason.OVER_QUOTA, f"{said}: it fits from {room_from(rows, most - length)} UTC on")

    def _begin(self, release: str, blob: Blob, account: str, now: float) -> None:
        self.execute(
            "INSERT INTO repository_blob (release, digest, length, whole, account, created) VALUES (?, ?, ?, ?, ?, ?)",
            (release, blob.digest, blob.length, blob.whole, account, now),
        )

    def _add_part(self, release: str, digest: str, number: int, content: bytes) -> None:
        self.execute(
            "INSERT INTO repository_part (release, digest, number, content) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (release, digest, number) DO NOTHING",
            (release, digest, number, content),
        )

    def _forget(self, release: str, digest: str) -> None:
        for table in ("repository_part", "repository_blob"):
            self.execute(f"DELETE FROM {table} WHERE release = ? AND digest = ?", (release, digest))
