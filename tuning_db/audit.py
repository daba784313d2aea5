"""Going over a stored ledger: do its rows hash to its tree?

This finds rows that were changed, added or taken away by another program. A file whose rows, hashes and sizes were all
written anew to fit each other looks whole: only a checkpoint that somebody else has kept tells it from the true one.
"""

from __future__ import annotations

from collections.abc import Iterator

from tuning_db.ledger import Ledgers, entry_of
from tuning_db.merkle import Frontier, leaf_hash


def audit(ledgers: Ledgers, log: str) -> Iterator[str]:
    """What is wrong with a log, each in one line that names the entry; nothing where nothing is."""
    frontier = Frontier()
    for row in ledgers.ledger_rows(log):
        if row["seq"] != frontier.size:
            yield f"entry {frontier.size} is missing"
            return
        try:
            leaf = leaf_hash(entry_of(row).content.encode())
        except (TypeError, ValueError, RecursionError) as error:
            yield f"entry {row['seq']} cannot be read: {error}"
            leaf = b""
        hashes = row["hashes"] if isinstance(row["hashes"], bytes) else b""
        if leaf and leaf != hashes[:32]:
            yield f"entry {row['seq']} hashes to {leaf.hex()}, not to its leaf"
        # From the leaf as it is stored, so that what is wrong with one entry is said of that one alone.
        if b"".join(frontier.append(hashes[:32])) != hashes:
            yield f"entry {row['seq']} has hashes of subtrees that are not those of the entries before it"
    if frontier.size != ledgers.size(log):
        yield f"{frontier.size} entries, not {ledgers.size(log)} as the table ledger has it"
