"""The statements of the step that keeps the history of leads; like every step, never edited once released."""

from __future__ import annotations

import sqlite3

VERDICT_IS_KEPT = """CREATE TRIGGER verdict_is_never_changed BEFORE UPDATE ON verdict
        BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END"""

LEAD_IS_RIGHT = tuple(
    f"""CREATE TRIGGER lead_{event.lower()}_is_right BEFORE {event} ON lead
        WHEN NOT EXISTS (
            SELECT 1 FROM claim c JOIN trial t ON t.id = c.trial WHERE c.trial = NEW.trial
            AND c.release = NEW.release AND NEW.vendor IN ('', c.vendor) AND c.workload = NEW.workload
            AND c.target = NEW.target AND c.toolchain = NEW.toolchain AND c.policy = NEW.policy
            AND c.state = 'standing' AND t.status = 'ok' AND c.vendor = NEW.holder AND c.tier = NEW.tier
            AND t.median = NEW.median AND t.spread = NEW.spread
        )
        BEGIN SELECT RAISE(ABORT, 'a leader is a standing ok claim of its own key'); END"""
    for event in ("INSERT", "UPDATE")
)

HISTORY = (
    "DROP TRIGGER verdict_is_never_changed",
    # seq of the last trial before it: the order of arrival of claims and verdicts together; it is never shown.
    "ALTER TABLE verdict ADD COLUMN after INTEGER NOT NULL DEFAULT 0",
    # Made anew: a board reads what is needed of a leading claim here.
    "DROP TABLE lead",
    """CREATE TABLE lead (
        workload TEXT NOT NULL,
        target TEXT NOT NULL,
        toolchain TEXT NOT NULL,
        policy TEXT NOT NULL,
        release TEXT NOT NULL REFERENCES release (id),
        vendor TEXT NOT NULL,          -- empty for the best of all vendors
        trial TEXT NOT NULL REFERENCES claim (trial),
        holder TEXT NOT NULL,          -- whose claim it is
        tier TEXT NOT NULL,            -- of the claim
        median REAL NOT NULL,          -- seconds, of the trial
        spread REAL NOT NULL,
        PRIMARY KEY (workload, target, toolchain, policy, release, vendor)
    ) WITHOUT ROWID""",
    "CREATE INDEX lead_of_release ON lead (release)",
    *LEAD_IS_RIGHT,
    # No rowid: nothing here counts across vendors.
    """CREATE TABLE lead_history (
        release TEXT NOT NULL REFERENCES release (id),
        workload TEXT NOT NULL,
        target TEXT NOT NULL,
        toolchain TEXT NOT NULL,
        policy TEXT NOT NULL,
        vendor TEXT NOT NULL,          -- as in lead
        number INTEGER NOT NULL,       -- from 0, for each vendor's key
        since REAL NOT NULL,           -- seconds since 1970
        trial TEXT REFERENCES claim (trial),  -- NULL, as all that follows: nobody led
        holder TEXT,
        tier TEXT,                     -- as it was then
        median REAL,
        spread REAL,
        verdict TEXT REFERENCES verdict (id),  -- that brought it about; NULL where it was the claim's arrival
        PRIMARY KEY (release, target, workload, toolchain, policy, vendor, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE dispute (
        release TEXT NOT NULL REFERENCES release (id),
        trial TEXT NOT NULL REFERENCES claim (trial),
        number INTEGER NOT NULL,       -- from 0, for each claim
        since REAL NOT NULL,           -- seconds since 1970
        disputed INTEGER NOT NULL,     -- whether referees disagreed from then on
        PRIMARY KEY (release, trial, number)
    ) WITHOUT ROWID""",
)

HISTORY_IS_KEPT = (
    VERDICT_IS_KEPT,
    *(
        f"""CREATE TRIGGER {table}_is_never_{done} BEFORE {event} ON {table}
        BEGIN SELECT RAISE(ABORT, '{what} append-only'); END"""
        for table, what in (("lead_history", "histories are"), ("dispute", "disputes are"))
        for event, done in (("UPDATE", "changed"), ("DELETE", "deleted"))
    ),
)


def add(connection: sqlite3.Connection) -> None:
    """Add the tables, and fill them from the claims and verdicts that are there."""
    from tuning_db.history import fill

    for statement in HISTORY:
        connection.execute(statement)
    fill(connection)
    for statement in HISTORY_IS_KEPT:
        connection.execute(statement)
