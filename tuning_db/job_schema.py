"""Statements of the step that made jobs a queue; like every step, never edited once released."""

from __future__ import annotations

# From which state a job may go to which. Whoever runs one takes it from the queue and gives it back after a while.
CHANGES = (
    ("queued", "running"),
    ("queued", "paused"),
    ("queued", "cancelled"),
    ("running", "queued"),
    ("running", "paused"),
    ("running", "cancelled"),
    ("running", "done"),
    ("running", "failed"),
    ("running", "interrupted"),
    ("paused", "queued"),
    ("paused", "cancelled"),
    ("failed", "queued"),
)
_LEGAL = ", ".join(f"'{old} to {new}'" for old, new in CHANGES)

JOBS = (
    "ALTER TABLE job RENAME TO job_before",
    """CREATE TABLE job (
        id TEXT PRIMARY KEY,
        spec TEXT NOT NULL,            -- JSON: what was asked for
        state TEXT NOT NULL,
        share REAL NOT NULL CHECK (share > 0),
        turn REAL NOT NULL,            -- whose is least is next: seconds spent over share, from where it joined
        spent REAL NOT NULL,           -- seconds that it was run for
        progress REAL,                 -- how much of what was asked for is done, 0 to 1; NULL where nobody can say
        queued REAL,                   -- seconds since 1970; NULL for a job that never was in the queue
        started REAL,                  -- seconds since 1970; NULL for one that was not begun
        heartbeat REAL,                -- seconds since 1970, of whoever runs it, or ran it last
        host TEXT NOT NULL,            -- of the process that runs it, or ran it last
        pid INTEGER
    )""",
    """INSERT INTO job (id, spec, state, share, turn, spent, started, heartbeat, host)
        SELECT id, spec, state, 1, 0, max(heartbeat - started, 0), started, heartbeat, '' FROM job_before""",
    "DROP TABLE job_before",
    f"""CREATE TRIGGER job_changes_as_it_may BEFORE UPDATE OF state ON job
        WHEN NEW.state <> OLD.state AND OLD.state || ' to ' || NEW.state NOT IN ({_LEGAL})
        BEGIN SELECT RAISE(ABORT, 'a job does not change from that state to this one'); END""",
    """CREATE TABLE job_log (
        seq INTEGER PRIMARY KEY,
        job TEXT NOT NULL REFERENCES job (id),
        at REAL NOT NULL,              -- seconds since 1970
        spent REAL NOT NULL,           -- seconds that the job had been run for by then
        event TEXT NOT NULL,
        data TEXT NOT NULL             -- JSON
    )""",
    "CREATE INDEX job_log_of_job ON job_log (job, seq)",
    *(
        f"""CREATE TRIGGER job_log_is_never_{done} BEFORE {event} ON job_log
        BEGIN SELECT RAISE(ABORT, 'logs of jobs are append-only'); END"""
        for event, done in (("UPDATE", "changed"), ("DELETE", "deleted"))
    ),
    "CREATE INDEX trial_of_job ON trial (job)",
)
