"""What the storage of a service may be, other than writable, in words that tell nothing of where it is."""

from __future__ import annotations

import sqlite3

FULL, READ_ONLY, FAILING = "full", "read-only", "failing"
# Parts of what SQLite says.
SAID = {
    "full": FULL,
    "readonly": READ_ONLY,
    "unable to open": READ_ONLY,
    "I/O": FAILING,
    "malformed": "damaged",
    "not a database": "damaged",
}


def storage_problem(error: BaseException) -> str | None:
    """What the storage is, where that is what an error comes from; None where it is something else."""
    cause = error if isinstance(error, sqlite3.Error) else error.__cause__
    if not isinstance(cause, sqlite3.Error):
        return None
    return next((problem for said, problem in SAID.items() if said in str(cause)), None)
