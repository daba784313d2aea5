"""How fast is a long ledger? Fills one, and times what a server does with it.

    python -m tests.tuning_db.long_ledger [--entries 100000] [--folder FOLDER]

Entries are added in transactions of a thousand; then one at a time, commit and disk synchronisation included. Proofs
are of entries and sizes drawn at random. Medians and 99th percentiles of whole calls in process.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from cli._output import seconds, size, table
from tests.tuning_db.million import middle_and_tail, taken
from tuning_db.audit import problems
from tuning_db.note import SigningKey
from tuning_db.receipt import receipt
from tuning_db.store import Store

BATCH = 1000
CALLS = 500


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="Where to put the database; it goes at the end.")
    given = parser.parse_args()
    rng, many, key = random.Random(0), given.entries, SigningKey.new("headstart.example")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder, Store.open(Path(folder) / "x.db") as store:

        def add(n: int) -> None:
            digest = f"{rng.getrandbits(256):064x}"
            store.append("public", "vendor", "submitted", {"trials": n, "digest": digest})

        def fill() -> None:
            for first in range(0, many, BATCH):
                with store.transaction():
                    for n in range(first, min(first + BATCH, many)):
                        add(n)

        whole = taken(fill)
        calls = {
            "append, with its commit": lambda: add(many),
            "root": lambda: store.root("public", rng.randrange(many)),
            "inclusion proof": lambda: store.inclusion("public", rng.randrange(many), many),
            "consistency proof": lambda: store.consistency("public", rng.randrange(many), many),
            "receipt, signed": lambda: receipt(store, "public", rng.randrange(many), key),
        }
        rows = [[name, *middle_and_tail([taken(call) for _ in range(CALLS)])] for name, call in calls.items()]
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        table(f"{many:,} entries, {size(store.path.stat().st_size)}", ("what", "median", "p99"), rows)
        print(f"append in a transaction of {BATCH}: {seconds(whole / many)} an entry")
        start = time.perf_counter()
        found = list(problems(store, "public"))
        print(f"going over all of it: {time.perf_counter() - start:.1f} s, {len(found)} problems")


if __name__ == "__main__":
    main()
