"""The statements of the step that keeps what was claimed; like every step, never edited once released."""

from __future__ import annotations

import sqlite3

CLAIMED = (
    # No rowid: nothing here counts across vendors.
    """CREATE TABLE claimed (
        vendor TEXT NOT NULL REFERENCES account (id),
        release TEXT NOT NULL REFERENCES release (id),
        what TEXT NOT NULL,            -- hash of key, schedule and samples, or of key and what of the schedule matters
        schedule TEXT NOT NULL REFERENCES schedule (id),  -- that was first claimed so
        PRIMARY KEY (vendor, release, what)
    ) WITHOUT ROWID""",
    *(
        f"""CREATE TRIGGER claimed_is_never_{done} BEFORE {event} ON claimed
        BEGIN SELECT RAISE(ABORT, 'what was claimed is append-only'); END"""
        for event, done in (("UPDATE", "changed"), ("DELETE", "deleted"))
    ),
)


def add(connection: sqlite3.Connection) -> None:
    """Add the table, and fill it from the claims that are there."""
    from tuning_db.claimed import fill

    for statement in CLAIMED:
        connection.execute(statement)
    fill(connection)
