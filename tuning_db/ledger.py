"""Ledgers: logs that are only ever added to, each with the Merkle tree that proves it.

There is one for the public, and others for each release until its launch. An entry has a number within its own log and
nothing else counts it, so that a log looks the same whatever happens in the others.

An entry lies there with the hashes of all perfect subtrees that end with it, two on average. Those never change, and
each of them is found by the number of its last entry: the next entry's hashes, the root at any size and every proof
take O(log n) lookups by primary key, however large the log is.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from targets.digest import canonical_json
from targets.errors import HeadstartError, InputError
from tuning_db.connection import Connection
from tuning_db.entry import SALT_BYTES, Entry
from tuning_db.merkle import HASH_BYTES, Node, completed, consistency_proof, inclusion_proof, leaf_hash, root_hash

COLUMNS = ("log", "seq", "actor", "action", "payload", "created", "salt")
# Rows read at once, as in ``Store``.
PAGE = 1000


class Ledgers(Connection):
    """The tables ``ledger`` and ``ledger_entry``. A log begins with its first entry; before that its size is 0.

    Wherever a size may be left out, it is that of the log as it is now.
    """

    def append(
        self, log: str, actor: str, action: str, payload: Mapping[str, Any], created: float | None = None
    ) -> Entry:
        """Add an entry to the end of a log, in the caller's transaction where there is one.

        Args:
            log: its name: 1 to 100 ASCII letters, digits, dots, dashes and underscores.
            actor, action: who did what, each 1 to 200 printable ASCII characters.
            payload: what it was done to: a JSON object whose keys are text.
            created: seconds since 1970; now where it is left out.

        Raises:
            ValueError: a part of it is not that.
            TypeError: the payload is not made of JSON types.
        """
        # Adding zero turns -0.0, which SQLite does not keep, into 0.0.
        moment = (time.time() if created is None else float(created)) + 0.0
        salt = os.urandom(SALT_BYTES).hex()
        with self.transaction():
            size = self.size(log)
            try:
                content = Entry(log, size, actor, action, payload, moment, salt).content.encode()
                # What cannot be read back as the same text must not become part of the tree.
                entry = Entry.loads(content)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"an entry of a ledger {error}") from None
            node = self._node(log)
            hashes = completed(lambda level: node(level, (size >> level) - 1), size, leaf_hash(content))
            if not size:
                self.execute("INSERT INTO ledger VALUES (?, 0)", (log,))
            self.execute(
                f"INSERT INTO ledger_entry ({', '.join(COLUMNS)}, hashes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (log, size, actor, action, canonical_json(entry.payload), moment, salt, b"".join(hashes)),
            )
            self.execute("UPDATE ledger SET size = size + 1 WHERE log = ?", (log,))
        return entry

    def logs(self) -> list[str]:
        """Names of the logs that have an entry, sorted."""
        return [row["log"] for row in self.rows("SELECT log FROM ledger WHERE size > 0 ORDER BY log")]

    def size(self, log: str) -> int:
        """Number of entries of a log."""
        return self.value("SELECT size FROM ledger WHERE log = ?", (log,)) or 0

    def root(self, log: str, size: int | None = None) -> bytes:
        """Root hash of the first ``size`` entries of a log, 32 bytes.

        Raises:
            InputError: it has fewer.
        """
        return root_hash(self._node(log), self._size(log, size))

    def inclusion(self, log: str, seq: int, size: int | None = None) -> list[bytes]:
        """Hashes that prove that entry ``seq`` is among the first ``size`` (``merkle.verify_inclusion``).

        Raises:
            InputError: it is not, or the log has fewer entries than that.
        """
        whole = self._size(log, size)
        if not 0 <= seq < whole:
            raise InputError(f"ledger {log} has no entry {seq} among its first {whole}")
        return inclusion_proof(self._node(log), seq, whole)

    def consistency(self, log: str, old: int, new: int | None = None) -> list[bytes]:
        """Hashes that prove that the first ``new`` entries begin with the first ``old`` (``verify_consistency``).

        Raises:
            InputError: ``new`` is less than ``old``, or the log has fewer entries than one of them.
        """
        whole = self._size(log, new)
        if not 0 <= old <= whole:
            raise InputError(f"the first {whole} entries of ledger {log} do not begin with {old}")
        return consistency_proof(self._node(log), old, whole)

    def entry(self, log: str, seq: int) -> Entry:
        """One entry of a log.

        Raises:
            InputError: it has none of that number.
        """
        for entry in self.entries(log, seq, 1):
            if entry.seq == seq:
                return entry
        raise InputError(f"ledger {log} has no entry {seq}; it has {self.size(log)}, counted from 0")

    def entries(self, log: str, start: int = 0, count: int | None = None) -> Iterator[Entry]:
        """Entries of a log from number ``start`` on, ``count`` of them, or as many as there are.

        Raises:
            HeadstartError: one cannot be read.
        """
        for row in self.ledger_rows(log, start, count):
            try:
                yield entry_of(row)
            except ValueError as error:
                where = f"entry {row['seq']} of ledger {log} in {self.path}"
                raise HeadstartError(f"{where} cannot be read: {error}; run `headstart db check`") from None

    def ledger_rows(self, log: str, start: int = 0, count: int | None = None) -> Iterator[dict[str, Any]]:
        """The rows of a log as they lie there, ``hashes`` included, a page at a time."""
        sql = f"SELECT {', '.join(COLUMNS)}, hashes FROM ledger_entry WHERE log = ? AND seq >= ? ORDER BY seq LIMIT ?"
        left = count
        while left is None or left > 0:
            page = self.rows(sql, (log, start, PAGE if left is None else min(PAGE, left)))
            if not page:
                return
            yield from page
            start = page[-1]["seq"] + 1
            left = None if left is None else left - len(page)

    def _size(self, log: str, size: int | None) -> int:
        there = self.size(log)
        if size is not None and not 0 <= size <= there:
            raise InputError(f"ledger {log} has {there} entries, not {size}")
        return there if size is None else size

    def _node(self, log: str) -> Node:
        """Hashes of the log's perfect subtrees, by level and index."""

        def node(level: int, index: int) -> bytes:
            last = ((index + 1) << level) - 1
            found = self.value(
                "SELECT substr(hashes, ?, ?) FROM ledger_entry WHERE log = ? AND seq = ?",
                (HASH_BYTES * level + 1, HASH_BYTES, log, last),
            )
            if not isinstance(found, bytes) or len(found) != HASH_BYTES:
                raise HeadstartError(
                    f"ledger {log} in {self.path} is damaged: a hash of entry {last} is missing; "
                    "run `headstart db check`"
                )
            return found

        return node


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The entry of a stored row.

    Raises:
        ValueError: its payload is not JSON.
    """
    return Entry(**{name: json.loads(row[name]) if name == "payload" else row[name] for name in COLUMNS})
