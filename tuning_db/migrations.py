"""The schema of the database, as steps that are never edited once released; to change the schema is to add a step."""

from __future__ import annotations

import json

import sqlite_utils
from sqlite_utils.migrations import Migrations

from tuning_db import claimed_schema, history_schema
from tuning_db.job_schema import JOBS
from tuning_db.repository_schema import REPOSITORIES
from tuning_db.service_schema import ARRIVALS, MISSES, QUOTAS, SUBMISSIONS, WORDS

migrations = Migrations("headstart")

# Written into the file's header ("Hdst"), so that another program's database is known without opening it.
APPLICATION_ID = 0x48647374

# SQL that every SQLite from 3.24 on reads: distributions of long support still ship old ones.
FIRST = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    """CREATE TABLE workload (
        id TEXT PRIMARY KEY,           -- hash of canonical
        operator TEXT NOT NULL,        -- family, or primfunc
        label TEXT NOT NULL,           -- for people
        params TEXT NOT NULL,          -- JSON: the operator's parameters
        canonical TEXT NOT NULL,       -- canonical text of the computation
        flops INTEGER NOT NULL,        -- operations of one call
        bytes INTEGER NOT NULL         -- bytes that one call must move
    )""",
    """CREATE TABLE target (
        fingerprint TEXT PRIMARY KEY,  -- hash of the fields of spec that change code or speed
        name TEXT NOT NULL,
        vendor TEXT NOT NULL,
        spec TEXT NOT NULL             -- JSON: Target.spec()
    )""",
    """CREATE TABLE toolchain (
        id TEXT PRIMARY KEY,           -- hash of versions
        versions TEXT NOT NULL         -- JSON: name to version
    )""",
    """CREATE TABLE policy (
        id TEXT PRIMARY KEY,           -- hash of the rest
        cache TEXT NOT NULL,
        threads INTEGER NOT NULL,
        clock TEXT NOT NULL
    )""",
    """CREATE TABLE schedule (
        id TEXT PRIMARY KEY,           -- hash of the rest
        space TEXT NOT NULL,
        version INTEGER NOT NULL,
        config TEXT NOT NULL           -- JSON
    )""",
    """CREATE TABLE model (
        id TEXT PRIMARY KEY,           -- hash of name, source, step and operators
        name TEXT NOT NULL,
        source TEXT NOT NULL,          -- file or catalogue entry, with revision where it has one
        step TEXT NOT NULL,            -- JSON: phase, tokens, ...
        used REAL NOT NULL             -- seconds since 1970 when it was last added
    )""",
    "CREATE INDEX model_name ON model (name, used)",
    """CREATE TABLE model_op (
        model TEXT NOT NULL REFERENCES model (id),
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        workload TEXT REFERENCES workload (id),  -- NULL where the operator is not known here
        operator TEXT NOT NULL,
        params TEXT NOT NULL,          -- JSON
        calls INTEGER NOT NULL,        -- calls in one step
        PRIMARY KEY (model, position)
    ) WITHOUT ROWID""",
    # seq is the order of arrival here; it is never shown and never leaves the file.
    """CREATE TABLE trial (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        workload TEXT NOT NULL REFERENCES workload (id),
        target TEXT NOT NULL REFERENCES target (fingerprint),
        toolchain TEXT NOT NULL REFERENCES toolchain (id),
        policy TEXT NOT NULL REFERENCES policy (id),
        schedule TEXT NOT NULL REFERENCES schedule (id),
        status TEXT NOT NULL,
        samples TEXT NOT NULL,         -- JSON: seconds
        median REAL,
        spread REAL,
        error TEXT NOT NULL,
        build_s REAL NOT NULL,
        evidence TEXT NOT NULL,        -- JSON
        machine TEXT NOT NULL,
        author TEXT NOT NULL,
        job TEXT NOT NULL,
        created REAL NOT NULL          -- seconds since 1970
    )""",
    "CREATE INDEX trial_workload ON trial (workload, target)",
    """CREATE TRIGGER trial_is_never_changed BEFORE UPDATE ON trial
        BEGIN SELECT RAISE(ABORT, 'trials are append-only'); END""",
    """CREATE TRIGGER trial_is_never_deleted BEFORE DELETE ON trial
        BEGIN SELECT RAISE(ABORT, 'trials are append-only'); END""",
    """CREATE TABLE champion (
        workload TEXT NOT NULL,
        target TEXT NOT NULL,
        toolchain TEXT NOT NULL,
        policy TEXT NOT NULL,
        trial TEXT NOT NULL REFERENCES trial (id),
        PRIMARY KEY (workload, target, toolchain, policy)
    ) WITHOUT ROWID""",
    *(
        f"""CREATE TRIGGER champion_{event.lower()}_is_right BEFORE {event} ON champion
        WHEN NOT EXISTS (
            SELECT 1 FROM trial WHERE id = NEW.trial AND status = 'ok' AND workload = NEW.workload
            AND target = NEW.target AND toolchain = NEW.toolchain AND policy = NEW.policy
        )
        BEGIN SELECT RAISE(ABORT, 'a champion is an ok trial of its own key'); END"""
        for event in ("INSERT", "UPDATE")
    ),
    """CREATE TABLE cost_model (
        id TEXT PRIMARY KEY,
        space TEXT NOT NULL,
        kind TEXT NOT NULL,            -- target kind: llvm, cuda, ...
        trained_on INTEGER NOT NULL,   -- trials
        metrics TEXT NOT NULL,         -- JSON
        blob BLOB NOT NULL,            -- xgboost's UBJ, never a pickle
        created REAL NOT NULL
    )""",
    "CREATE INDEX cost_model_latest ON cost_model (space, kind, created)",
    """CREATE TABLE job (
        id TEXT PRIMARY KEY,
        spec TEXT NOT NULL,            -- JSON
        state TEXT NOT NULL,
        started REAL NOT NULL,
        heartbeat REAL NOT NULL
    )""",
)

LEDGER = (
    """CREATE TABLE ledger (
        log TEXT PRIMARY KEY,
        size INTEGER NOT NULL          -- entries; says so when the last ones are missing
    ) WITHOUT ROWID""",
    # No rowid: nothing here counts across logs.
    """CREATE TABLE ledger_entry (
        log TEXT NOT NULL REFERENCES ledger (log),
        seq INTEGER NOT NULL,          -- from 0, within its log
        hashes BLOB NOT NULL,          -- of its leaf, then of each perfect subtree that ends with it; 32 bytes each
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        payload TEXT NOT NULL,         -- JSON
        created REAL NOT NULL,         -- seconds since 1970
        salt TEXT NOT NULL,
        PRIMARY KEY (log, seq)
    ) WITHOUT ROWID""",
    # The way of REPLACE to change a row is to add one.
    """CREATE TRIGGER ledger_begins_once BEFORE INSERT ON ledger
        WHEN NEW.size <> 0 OR EXISTS (SELECT 1 FROM ledger WHERE log = NEW.log)
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END""",
    """CREATE TRIGGER ledger_only_grows BEFORE UPDATE ON ledger
        WHEN NEW.log <> OLD.log OR NEW.size <> OLD.size + 1
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END""",
    """CREATE TRIGGER ledger_is_never_deleted BEFORE DELETE ON ledger
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END""",
    """CREATE TRIGGER ledger_entry_comes_last BEFORE INSERT ON ledger_entry
        WHEN NEW.seq IS NOT (SELECT size FROM ledger WHERE log = NEW.log)
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END""",
    """CREATE TRIGGER ledger_entry_is_never_changed BEFORE UPDATE ON ledger_entry
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END""",
    """CREATE TRIGGER ledger_entry_is_never_deleted BEFORE DELETE ON ledger_entry
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END""",
)

RACE = (
    """CREATE TABLE account (
        id TEXT PRIMARY KEY,           -- random
        name TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        created REAL NOT NULL,
        closed REAL                    -- from then on it opens nothing
    ) WITHOUT ROWID""",
    """CREATE TABLE token (
        id TEXT PRIMARY KEY,
        account TEXT NOT NULL REFERENCES account (id),
        hash TEXT NOT NULL,            -- SHA-256; the token is not kept
        scopes TEXT NOT NULL,          -- separated by spaces
        created REAL NOT NULL,
        expires REAL NOT NULL,
        revoked REAL
    ) WITHOUT ROWID""",
    """CREATE TABLE signing_key (
        id TEXT PRIMARY KEY,           -- hash of public
        account TEXT NOT NULL REFERENCES account (id),
        public TEXT NOT NULL,
        created REAL NOT NULL,
        revoked REAL                   -- what it signed from then on is not believed
    ) WITHOUT ROWID""",
    """CREATE TABLE release (
        id TEXT PRIMARY KEY,           -- random; or public
        name TEXT NOT NULL,
        publisher TEXT NOT NULL,       -- id of an account; empty for public
        launch REAL NOT NULL,          -- seconds since 1970
        sealed INTEGER NOT NULL,       -- whether rivals see nothing of each other before the launch
        withdraw_s REAL,               -- seconds from receipt; NULL for no deadline
        object_s REAL,                 -- seconds from launch; NULL for no deadline
        created REAL NOT NULL,
        UNIQUE (publisher, name)
    ) WITHOUT ROWID""",
    "INSERT INTO release VALUES ('public', 'public', '', 0, 0, NULL, NULL, 0)",
    """CREATE TABLE release_model (
        release TEXT NOT NULL REFERENCES release (id),
        model TEXT NOT NULL REFERENCES model (id),
        PRIMARY KEY (release, model)
    ) WITHOUT ROWID""",
    "CREATE INDEX release_of_model ON release_model (model)",
    "CREATE INDEX model_of_workload ON model_op (workload)",
    # Workloads of no model that were known before a release had them: it must not hide what people have seen.
    """CREATE TABLE public_workload (
        workload TEXT PRIMARY KEY REFERENCES workload (id)
    ) WITHOUT ROWID""",
    """CREATE TABLE opening (
        release TEXT NOT NULL REFERENCES release (id),
        account TEXT NOT NULL REFERENCES account (id),
        target TEXT NOT NULL,          -- fingerprint; empty for every target
        opens REAL NOT NULL,
        PRIMARY KEY (release, account, target)
    ) WITHOUT ROWID""",
    """CREATE TABLE claim (
        trial TEXT PRIMARY KEY REFERENCES trial (id),
        release TEXT NOT NULL REFERENCES release (id),
        vendor TEXT NOT NULL REFERENCES account (id),
        batch TEXT NOT NULL,
        workload TEXT NOT NULL,        -- as in its trial, for the indices
        target TEXT NOT NULL,
        toolchain TEXT NOT NULL,
        policy TEXT NOT NULL,
        received REAL NOT NULL,
        tier TEXT NOT NULL,            -- what its verdicts come to
        state TEXT NOT NULL,
        reason TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX claim_of_key ON claim (release, workload, target, toolchain, policy)",
    "CREATE INDEX claim_to_judge ON claim (target, state, received)",
    """CREATE TRIGGER claim_is_of_its_trial BEFORE INSERT ON claim
        WHEN NOT EXISTS (
            SELECT 1 FROM trial WHERE id = NEW.trial AND workload = NEW.workload
            AND target = NEW.target AND toolchain = NEW.toolchain AND policy = NEW.policy
        )
        BEGIN SELECT RAISE(ABORT, 'a claim has the key of its trial'); END""",
    """CREATE TRIGGER claim_is_never_changed
        BEFORE UPDATE OF trial, release, vendor, batch, workload, target, toolchain, policy, received ON claim
        BEGIN SELECT RAISE(ABORT, 'claims are append-only'); END""",
    """CREATE TRIGGER claim_is_never_deleted BEFORE DELETE ON claim
        BEGIN SELECT RAISE(ABORT, 'claims are append-only'); END""",
    # seq is the order of arrival here, which decides whose word is the last; it is never shown.
    """CREATE TABLE verdict (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        trial TEXT NOT NULL REFERENCES claim (trial),
        judge TEXT NOT NULL REFERENCES account (id),
        outcome TEXT NOT NULL,
        created REAL NOT NULL,
        reason TEXT NOT NULL,
        evidence TEXT NOT NULL         -- JSON
    )""",
    "CREATE INDEX verdict_of_claim ON verdict (trial, judge)",
    *(
        f"""CREATE TRIGGER verdict_is_never_{done} BEFORE {event} ON verdict
        BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END"""
        for event, done in (("UPDATE", "changed"), ("DELETE", "deleted"))
    ),
    """CREATE TABLE lead (
        workload TEXT NOT NULL,
        target TEXT NOT NULL,
        toolchain TEXT NOT NULL,
        policy TEXT NOT NULL,
        release TEXT NOT NULL REFERENCES release (id),
        vendor TEXT NOT NULL,          -- empty for the best of all vendors
        trial TEXT NOT NULL REFERENCES claim (trial),
        PRIMARY KEY (workload, target, toolchain, policy, release, vendor)
    ) WITHOUT ROWID""",
    "CREATE INDEX lead_of_release ON lead (release)",
    *(
        f"""CREATE TRIGGER lead_{event.lower()}_is_right BEFORE {event} ON lead
        WHEN NOT EXISTS (
            SELECT 1 FROM claim c JOIN trial t ON t.id = c.trial WHERE c.trial = NEW.trial
            AND c.release = NEW.release AND NEW.vendor IN ('', c.vendor) AND c.workload = NEW.workload
            AND c.target = NEW.target AND c.toolchain = NEW.toolchain AND c.policy = NEW.policy
            AND c.state = 'standing' AND t.status = 'ok'
        )
        BEGIN SELECT RAISE(ABORT, 'a leader is a standing ok claim of its own key'); END"""
        for event in ("INSERT", "UPDATE")
    ),
)


@migrations()
def m001_first(db: sqlite_utils.Database) -> None:
    """Every table of the first release."""
    for statement in FIRST:
        db.conn.execute(statement)


@migrations()
def m002_ledger(db: sqlite_utils.Database) -> None:
    """Logs that are only ever added to, with the hashes of their Merkle trees."""
    for statement in LEDGER:
        db.conn.execute(statement)


@migrations()
def m003_race(db: sqlite_utils.Database) -> None:
    """Accounts, releases with windows, claims and what is said of them."""
    for statement in RACE:
        db.conn.execute(statement)


@migrations()
def m004_submissions(db: sqlite_utils.Database) -> None:
    """Batches that were taken, so that a retry gets the answer of then."""
    for statement in SUBMISSIONS:
        db.conn.execute(statement)


@migrations()
def m005_quotas(db: sqlite_utils.Database) -> None:
    """What accounts may do, and of each submission what counts towards it and which key signed it."""
    for statement in QUOTAS:
        db.conn.execute(statement)
    # The key, the time and the number of claims are in the entry that a submission has in a ledger.
    rows = db.conn.execute(
        "SELECT s.batch, s.vendor, s.nonce, s.content, s.log, s.seq, s.notes, e.created, e.payload"
        " FROM submission_before s JOIN ledger_entry e ON e.log = s.log AND e.seq = s.seq"
    ).fetchall()
    for *same, created, payload in rows:
        told = json.loads(payload)
        db.conn.execute(
            "INSERT INTO submission (batch, vendor, nonce, content, log, seq, notes, key, received, claims, bytes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (*same, told["key"], created, len(told["claims"])),
        )
    db.conn.execute("DROP TABLE submission_before")
    for trigger in SUBMISSIONS[1:]:
        db.conn.execute(trigger)


@migrations()
def m006_words(db: sqlite_utils.Database) -> None:
    """What is said of workloads and chips, for each release."""
    for statement in WORDS:
        db.conn.execute(statement)


@migrations()
def m007_history(db: sqlite_utils.Database) -> None:
    """Who led from when to when, also before this step."""
    history_schema.add(db.conn)


@migrations()
def m008_claimed(db: sqlite_utils.Database) -> None:
    """What claims are known again by, also of those before this step."""
    claimed_schema.add(db.conn)


@migrations()
def m009_misses(db: sqlite_utils.Database) -> None:
    """What deployments wanted and had no kernel for."""
    for statement in MISSES:
        db.conn.execute(statement)


@migrations()
def m010_repositories(db: sqlite_utils.Database) -> None:
    """Signed metadata and files of repositories, and how much of them accounts may send."""
    for statement in REPOSITORIES:
        db.conn.execute(statement)


@migrations()
def m011_jobs(db: sqlite_utils.Database) -> None:
    """Jobs that wait, take turns and are watched, with a log of what happened to each."""
    for statement in JOBS:
        db.conn.execute(statement)


@migrations()
def m012_arrivals(db: sqlite_utils.Database) -> None:
    """The order in which claims arrived, of a release and of a vendor in it."""
    for statement in ARRIVALS:
        db.conn.execute(statement)


def unknown_steps(db: sqlite_utils.Database) -> list[str]:
    """Steps that were applied to the file by a newer Headstart than this one."""
    known = {step.name for step in migrations.pending(sqlite_utils.Database(memory=True, execute_plugins=False))}
    return [step.name for step in migrations.applied(db) if step.name not in known]
