"""Batches that were taken: what a retry or a replay is recognised by, and where the answer of then is to be found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from targets.digest import canonical_json
from tuning_db.batch import Batch
from tuning_db.connection import Connection
from tuning_db.entry import Entry


class Submissions(Connection):
    """The table ``submission``: one row a batch. What a batch held is in its entry of a ledger."""

    def add_submission(
        self, batch: Batch, vendor: str, key: str, bytes: int, entry: Entry, notes: Sequence[Any]
    ) -> None:
        """Note that a batch was taken, in the transaction of its claims.

        Args:
            batch: what was taken.
            vendor: id of whose it is.
            key: id of the key that signed it.
            bytes: of its envelope.
            entry: of a ledger, which says what it held.
            notes: JSON types: what the vendor is told of it besides.

        Raises:
            sqlite3.IntegrityError: the vendor has sent this batch, its nonce or its content before.
        """
        with self.transaction():
            self.execute(
                "INSERT INTO submission (batch, vendor, nonce, content, log, seq, notes, key, received, claims, bytes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(batch.id, vendor, batch.nonce, batch.content, entry.log, entry.seq),
                    *(canonical_json(list(notes)), key, entry.created, len(batch.claims), bytes),
                ),
            )

    def submission(self, vendor: str, nonce: str) -> dict[str, Any] | None:
        """What a vendor, by its id, sent with a nonce: ``batch``, ``log``, ``seq``, ``notes``; None where nothing."""
        rows = self.rows(
            "SELECT batch, log, seq, notes FROM submission WHERE vendor = ? AND nonce = ?", (vendor, nonce)
        )
        return {**rows[0], "notes": json.loads(rows[0]["notes"])} if rows else None

    def signed_since(self, key: str, since: float) -> list[dict[str, Any]]:
        """What a key, by its id, signed that came at a time or later: ``batch``, ``log`` and ``seq``, oldest first."""
        return self.rows(
            "SELECT batch, log, seq FROM submission WHERE key = ? AND received >= ? ORDER BY received, batch",
            (key, since),
        )

    def has_content(self, vendor: str, content: str) -> bool:
        """Whether a vendor, by its id, has sent a batch that claimed just this (``Batch.content``)."""
        found = self.value("SELECT 1 FROM submission WHERE vendor = ? AND content = ?", (vendor, content))
        return found is not None
