"""Going over a stored ledger: do its rows hash to its tree, and does it continue what was signed before?

The first finds rows that were changed, added or taken away by another program. A file whose rows, hashes and sizes were
all written anew to fit each other looks whole by itself: what tells it from the true one is a checkpoint that somebody
else has kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tuning_db.checkpoint import Checkpoint
from tuning_db.ledger import Ledgers, entry_of
from tuning_db.merkle import HASH_BYTES, Frontier, leaf_hash


@dataclass(frozen=True)
class Audit:
    """What going over a log came to.

    Attributes:
        log: its name.
        size: number of its entries.
        root: their root hash; None where there are problems.
        problems: what is wrong, one line each.
    """

    log: str
    size: int
    root: bytes | None
    problems: tuple[str, ...]


def audit(ledgers: Ledgers, log: str, older: Checkpoint | None = None) -> Audit:
    """Go over a log, all of it.

    Args:
        ledgers: the database.
        log: its name.
        older: a checkpoint of the log, verified, which its beginning must still fit.
    """
    with ledgers.snapshot():
        size = ledgers.size(log)
        found = list(problems(ledgers, log))
        if older and older.size > size:
            found.append(f"it has {size} entries, the older checkpoint signs {older.size}: some were taken away")
        elif older and not found and ledgers.root(log, older.size) != older.root:
            found.append(f"its first {older.size} entries are not those that the older checkpoint signs")
        return Audit(log, size, None if found else ledgers.root(log, size), tuple(found))


def problems(ledgers: Ledgers, log: str) -> Iterator[str]:
    """What is wrong with the rows of a log, each in one line that names the entry; nothing where nothing is."""
    frontier = Frontier()
    for row in ledgers.ledger_rows(log):
        if row["seq"] != frontier.size:
            yield f"entry {frontier.size} is missing"
            return
        hashes = row["hashes"] if isinstance(row["hashes"], bytes) else b""
        try:
            leaf = leaf_hash(entry_of(row).content.encode())
            if leaf != hashes[:HASH_BYTES]:
                yield f"entry {row['seq']} hashes to {leaf.hex()}, not to its leaf"
        except (TypeError, ValueError, RecursionError) as error:
            yield f"entry {row['seq']} cannot be read: {error}"
        # From the leaf as it is stored, so that what is wrong with the content of one entry is said of that one alone.
        if b"".join(frontier.append(hashes[:HASH_BYTES])) != hashes:
            yield f"entry {row['seq']} does not have the hashes of the subtrees that end with it"
    if frontier.size != ledgers.size(log):
        yield f"it has {frontier.size} entries, its size is said to be {ledgers.size(log)}"
