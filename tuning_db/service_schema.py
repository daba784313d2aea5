"""Statements of steps that only a service needs; like every step, never edited once released."""

from __future__ import annotations

SUBMISSIONS = (
    # No rowid: nothing here counts across vendors.
    """CREATE TABLE submission (
        batch TEXT PRIMARY KEY,        -- hash of its bytes
        vendor TEXT NOT NULL REFERENCES account (id),
        nonce TEXT NOT NULL,
        content TEXT NOT NULL,         -- hash of what is claimed
        log TEXT NOT NULL,             -- where its entry is, with what it held
        seq INTEGER NOT NULL,
        notes TEXT NOT NULL,           -- JSON: what the vendor was told of it
        UNIQUE (vendor, nonce),
        UNIQUE (vendor, content),
        FOREIGN KEY (log, seq) REFERENCES ledger_entry (log, seq)
    ) WITHOUT ROWID""",
    *(
        f"""CREATE TRIGGER submission_is_never_{done} BEFORE {event} ON submission
        BEGIN SELECT RAISE(ABORT, 'submissions are append-only'); END"""
        for event, done in (("UPDATE", "changed"), ("DELETE", "deleted"))
    ),
)

QUOTAS = (
    """CREATE TABLE quota (
        account TEXT PRIMARY KEY REFERENCES account (id),
        requests REAL,                 -- a second; NULL for what the service says, here and below
        claims INTEGER,                -- a day
        bytes INTEGER                  -- a day, of envelopes
    ) WITHOUT ROWID""",
    "ALTER TABLE submission RENAME TO submission_before",
    """CREATE TABLE submission (
        batch TEXT PRIMARY KEY,        -- hash of its bytes
        vendor TEXT NOT NULL REFERENCES account (id),
        key TEXT NOT NULL REFERENCES signing_key (id),
        nonce TEXT NOT NULL,
        content TEXT NOT NULL,         -- hash of what is claimed
        log TEXT NOT NULL,             -- where its entry is, with what it held
        seq INTEGER NOT NULL,
        notes TEXT NOT NULL,           -- JSON: what the vendor was told of it
        received REAL NOT NULL,        -- seconds since 1970
        claims INTEGER NOT NULL,       -- how many
        bytes INTEGER NOT NULL,        -- of its envelope; 0 where that is not known
        UNIQUE (vendor, nonce),
        UNIQUE (vendor, content),
        FOREIGN KEY (log, seq) REFERENCES ledger_entry (log, seq)
    ) WITHOUT ROWID""",
    "CREATE INDEX submission_of_vendor ON submission (vendor, received, claims, bytes)",
    "CREATE INDEX submission_of_key ON submission (key, received)",
)

WORDS = (
    # What publishers and vendors say of a thing is kept beside it, for each release: a row that all releases share
    # would tell in one what was said in another.
    """CREATE TABLE release_workload (
        release TEXT NOT NULL REFERENCES release (id),
        workload TEXT NOT NULL REFERENCES workload (id),
        operator TEXT NOT NULL,        -- these as in workload
        label TEXT NOT NULL,
        params TEXT NOT NULL,
        flops INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (release, workload)
    ) WITHOUT ROWID""",
    "CREATE INDEX words_of_workload ON release_workload (workload)",
    """CREATE TABLE declared_target (
        release TEXT NOT NULL REFERENCES release (id),
        vendor TEXT NOT NULL REFERENCES account (id),
        target TEXT NOT NULL REFERENCES target (fingerprint),
        spec TEXT NOT NULL,            -- JSON: Target.spec(), as its vendor first declared the chip there
        PRIMARY KEY (release, vendor, target)
    ) WITHOUT ROWID""",
    "CREATE INDEX words_of_target ON declared_target (target)",
    """INSERT INTO release_workload SELECT DISTINCT m.release, w.id, w.operator, w.label, w.params, w.flops, w.bytes
        FROM release_model m JOIN model_op o ON o.model = m.model JOIN workload w ON w.id = o.workload""",
    """INSERT INTO declared_target SELECT DISTINCT c.release, c.vendor, c.target, t.spec
        FROM claim c JOIN target t ON t.fingerprint = c.target""",
    # So that finding what is open to somebody does not take longer where more is shut to them.
    "CREATE INDEX opening_of_account ON opening (account)",
    "CREATE INDEX release_by_launch ON release (launch)",
)

MISSES = (
    # A workload that was missed need not be one of this database, and a row names none: nothing is to be found out.
    """CREATE TABLE miss (
        account TEXT NOT NULL,         -- id of who told it; empty for who has the file
        source TEXT NOT NULL,          -- the file that it was counted in, or where it was fetched from
        workload TEXT NOT NULL,        -- id, as it was told
        target TEXT NOT NULL,          -- fingerprint
        operator TEXT NOT NULL,
        params TEXT NOT NULL,          -- JSON
        count INTEGER NOT NULL,        -- the most that was told
        told REAL NOT NULL,            -- seconds since 1970, the last time
        PRIMARY KEY (account, source, workload, target)
    ) WITHOUT ROWID""",
    "CREATE INDEX miss_of_target ON miss (target, workload)",
    "ALTER TABLE quota ADD COLUMN misses INTEGER",
)

ARRIVALS = (
    # So that a list of the latest claims reads those, and not all that there are.
    "CREATE INDEX claim_of_release ON claim (release, received)",
    "CREATE INDEX claim_of_vendor ON claim (release, vendor, received)",
)
