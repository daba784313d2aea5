CREATE INDEX claim_of_key ON claim (release, workload, target, toolchain, policy)

CREATE INDEX claim_of_release ON claim (release, received)

CREATE INDEX claim_of_vendor ON claim (release, vendor, received)

CREATE INDEX claim_to_judge ON claim (target, state, received)

CREATE INDEX cost_model_latest ON cost_model (space, kind, created)

CREATE INDEX job_log_of_job ON job_log (job, seq)

CREATE INDEX lead_of_release ON lead (release)

CREATE INDEX miss_of_target ON miss (target, workload)

CREATE INDEX model_name ON model (name, used)

CREATE INDEX model_of_workload ON model_op (workload)

CREATE INDEX opening_of_account ON opening (account)

CREATE INDEX release_by_launch ON release (launch)

CREATE INDEX release_of_model ON release_model (model)

CREATE INDEX repository_blob_of_account ON repository_blob (account, created, length)

CREATE INDEX repository_target_of_blob ON repository_target (release, digest)

CREATE INDEX submission_of_key ON submission (key, received)

CREATE INDEX submission_of_vendor ON submission (vendor, received, claims, bytes)

CREATE INDEX trial_of_default ON trial (workload, target) WHERE schedule = 'sc229ca327b32462008e8648e'

CREATE INDEX trial_of_job ON trial (job)

CREATE INDEX trial_workload ON trial (workload, target)

CREATE INDEX verdict_of_claim ON verdict (trial, judge)

CREATE INDEX words_of_target ON declared_target (target)

CREATE INDEX words_of_workload ON release_workload (workload)

CREATE TABLE account (
        id TEXT PRIMARY KEY,           -- random
        name TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        created REAL NOT NULL,
        closed REAL                    -- from then on it opens nothing
    ) WITHOUT ROWID

CREATE TABLE champion (
        workload TEXT NOT NULL,
        target TEXT NOT NULL,
        toolchain TEXT NOT NULL,
        policy TEXT NOT NULL,
        trial TEXT NOT NULL REFERENCES trial (id),
        PRIMARY KEY (workload, target, toolchain, policy)
    ) WITHOUT ROWID

CREATE TABLE claim (
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
    ) WITHOUT ROWID

CREATE TABLE claimed (
        vendor TEXT NOT NULL REFERENCES account (id),
        release TEXT NOT NULL REFERENCES release (id),
        what TEXT NOT NULL,            -- hash of key, schedule and samples, or of key and what of the schedule matters
        schedule TEXT NOT NULL REFERENCES schedule (id),  -- that was first claimed so
        PRIMARY KEY (vendor, release, what)
    ) WITHOUT ROWID

CREATE TABLE cost_model (
        id TEXT PRIMARY KEY,
        space TEXT NOT NULL,
        kind TEXT NOT NULL,            -- target kind: llvm, cuda, ...
        trained_on INTEGER NOT NULL,   -- trials
        metrics TEXT NOT NULL,         -- JSON
        blob BLOB NOT NULL,            -- xgboost's UBJ, never a pickle
        created REAL NOT NULL
    )

CREATE TABLE declared_target (
        release TEXT NOT NULL REFERENCES release (id),
        vendor TEXT NOT NULL REFERENCES account (id),
        target TEXT NOT NULL REFERENCES target (fingerprint),
        spec TEXT NOT NULL,            -- JSON: Target.spec(), as its vendor first declared the chip there
        PRIMARY KEY (release, vendor, target)
    ) WITHOUT ROWID

CREATE TABLE dispute (
        release TEXT NOT NULL REFERENCES release (id),
        trial TEXT NOT NULL REFERENCES claim (trial),
        number INTEGER NOT NULL,       -- from 0, for each claim
        since REAL NOT NULL,           -- seconds since 1970
        disputed INTEGER NOT NULL,     -- whether referees disagreed from then on
        PRIMARY KEY (release, trial, number)
    ) WITHOUT ROWID

CREATE TABLE job (
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
    )

CREATE TABLE job_log (
        seq INTEGER PRIMARY KEY,
        job TEXT NOT NULL REFERENCES job (id),
        at REAL NOT NULL,              -- seconds since 1970
        spent REAL NOT NULL,           -- seconds that the job had been run for by then
        event TEXT NOT NULL,
        data TEXT NOT NULL             -- JSON
    )

CREATE TABLE lead (
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
    ) WITHOUT ROWID

CREATE TABLE lead_history (
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
    ) WITHOUT ROWID

CREATE TABLE ledger (
        log TEXT PRIMARY KEY,
        size INTEGER NOT NULL          -- entries; says so when the last ones are missing
    ) WITHOUT ROWID

CREATE TABLE ledger_entry (
        log TEXT NOT NULL REFERENCES ledger (log),
        seq INTEGER NOT NULL,          -- from 0, within its log
        hashes BLOB NOT NULL,          -- of its leaf, then of each perfect subtree that ends with it; 32 bytes each
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        payload TEXT NOT NULL,         -- JSON
        created REAL NOT NULL,         -- seconds since 1970
        salt TEXT NOT NULL,
        PRIMARY KEY (log, seq)
    ) WITHOUT ROWID

CREATE TABLE miss (
        account TEXT NOT NULL,         -- id of who told it; empty for who has the file
        source TEXT NOT NULL,          -- the file that it was counted in, or where it was fetched from
        workload TEXT NOT NULL,        -- id, as it was told
        target TEXT NOT NULL,          -- fingerprint
        operator TEXT NOT NULL,
        params TEXT NOT NULL,          -- JSON
        count INTEGER NOT NULL,        -- the most that was told
        told REAL NOT NULL,            -- seconds since 1970, the last time
        PRIMARY KEY (account, source, workload, target)
    ) WITHOUT ROWID

CREATE TABLE model (
        id TEXT PRIMARY KEY,           -- hash of name, source, step and operators
        name TEXT NOT NULL,
        source TEXT NOT NULL,          -- file or catalogue entry, with revision where it has one
        step TEXT NOT NULL,            -- JSON: phase, tokens, ...
        used REAL NOT NULL             -- seconds since 1970 when it was last added
    )

CREATE TABLE model_op (
        model TEXT NOT NULL REFERENCES model (id),
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        workload TEXT REFERENCES workload (id),  -- NULL where the operator is not known here
        operator TEXT NOT NULL,
        params TEXT NOT NULL,          -- JSON
        calls INTEGER NOT NULL,        -- calls in one step
        PRIMARY KEY (model, position)
    ) WITHOUT ROWID

CREATE TABLE opening (
        release TEXT NOT NULL REFERENCES release (id),
        account TEXT NOT NULL REFERENCES account (id),
        target TEXT NOT NULL,          -- fingerprint; empty for every target
        opens REAL NOT NULL,
        PRIMARY KEY (release, account, target)
    ) WITHOUT ROWID

CREATE TABLE policy (
        id TEXT PRIMARY KEY,           -- hash of the rest
        cache TEXT NOT NULL,
        threads INTEGER NOT NULL,
        clock TEXT NOT NULL
    )

CREATE TABLE public_workload (
        workload TEXT PRIMARY KEY REFERENCES workload (id)
    ) WITHOUT ROWID

CREATE TABLE quota (
        account TEXT PRIMARY KEY REFERENCES account (id),
        requests REAL,                 -- a second; NULL for what the service says, here and below
        claims INTEGER,                -- a day
        bytes INTEGER                  -- a day, of envelopes
    , misses INTEGER, uploads INTEGER) WITHOUT ROWID

CREATE TABLE release (
        id TEXT PRIMARY KEY,           -- random; or public
        name TEXT NOT NULL,
        publisher TEXT NOT NULL,       -- id of an account; empty for public
        launch REAL NOT NULL,          -- seconds since 1970
        sealed INTEGER NOT NULL,       -- whether rivals see nothing of each other before the launch
        withdraw_s REAL,               -- seconds from receipt; NULL for no deadline
        object_s REAL,                 -- seconds from launch; NULL for no deadline
        created REAL NOT NULL,
        UNIQUE (publisher, name)
    ) WITHOUT ROWID

CREATE TABLE release_model (
        release TEXT NOT NULL REFERENCES release (id),
        model TEXT NOT NULL REFERENCES model (id),
        PRIMARY KEY (release, model)
    ) WITHOUT ROWID

CREATE TABLE release_workload (
        release TEXT NOT NULL REFERENCES release (id),
        workload TEXT NOT NULL REFERENCES workload (id),
        operator TEXT NOT NULL,        -- these as in workload
        label TEXT NOT NULL,
        params TEXT NOT NULL,
        flops INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (release, workload)
    ) WITHOUT ROWID

CREATE TABLE repository_blob (
        release TEXT NOT NULL REFERENCES release (id),
        digest TEXT NOT NULL,          -- SHA-256, in hex
        length INTEGER NOT NULL,       -- bytes
        whole INTEGER NOT NULL,        -- whether all of it is here and has the digest
        account TEXT NOT NULL,         -- who sent it; empty for the service itself
        created REAL NOT NULL,         -- seconds since 1970
        PRIMARY KEY (release, digest)
    ) WITHOUT ROWID

CREATE TABLE repository_metadata (
        release TEXT NOT NULL REFERENCES release (id),
        role TEXT NOT NULL,            -- root, targets, champions, snapshot or timestamp
        version INTEGER NOT NULL,      -- from 1, for each role
        content TEXT NOT NULL,         -- JSON, to the byte as it is hashed and signed
        digest TEXT NOT NULL,          -- SHA-256 of content, in hex
        expires REAL NOT NULL,         -- seconds since 1970
        created REAL NOT NULL,
        PRIMARY KEY (release, role, version)
    ) WITHOUT ROWID

CREATE TABLE repository_part (
        release TEXT NOT NULL,
        digest TEXT NOT NULL,
        number INTEGER NOT NULL,       -- from 0; all but the last are of one size
        content BLOB NOT NULL,
        PRIMARY KEY (release, digest, number),
        FOREIGN KEY (release, digest) REFERENCES repository_blob (release, digest)
    )

CREATE TABLE repository_target (
        release TEXT NOT NULL,
        role TEXT NOT NULL,            -- targets or champions
        path TEXT NOT NULL,
        digest TEXT NOT NULL,
        gone REAL,                     -- since when it is in the metadata no more, seconds since 1970; NULL while it is
        PRIMARY KEY (release, role, path, digest),
        FOREIGN KEY (release, digest) REFERENCES repository_blob (release, digest)
    ) WITHOUT ROWID

CREATE TABLE schedule (
        id TEXT PRIMARY KEY,           -- hash of the rest
        space TEXT NOT NULL,
        version INTEGER NOT NULL,
        config TEXT NOT NULL           -- JSON
    )

CREATE TABLE signing_key (
        id TEXT PRIMARY KEY,           -- hash of public
        account TEXT NOT NULL REFERENCES account (id),
        public TEXT NOT NULL,
        created REAL NOT NULL,
        revoked REAL                   -- what it signed from then on is not believed
    ) WITHOUT ROWID

CREATE TABLE submission (
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
    ) WITHOUT ROWID

CREATE TABLE target (
        fingerprint TEXT PRIMARY KEY,  -- hash of the fields of spec that change code or speed
        name TEXT NOT NULL,
        vendor TEXT NOT NULL,
        spec TEXT NOT NULL             -- JSON: Target.spec()
    )

CREATE TABLE token (
        id TEXT PRIMARY KEY,
        account TEXT NOT NULL REFERENCES account (id),
        hash TEXT NOT NULL,            -- SHA-256; the token is not kept
        scopes TEXT NOT NULL,          -- separated by spaces
        created REAL NOT NULL,
        expires REAL NOT NULL,
        revoked REAL
    ) WITHOUT ROWID

CREATE TABLE toolchain (
        id TEXT PRIMARY KEY,           -- hash of versions
        versions TEXT NOT NULL         -- JSON: name to version
    )

CREATE TABLE trial (
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
    )

CREATE TABLE verdict (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        trial TEXT NOT NULL REFERENCES claim (trial),
        judge TEXT NOT NULL REFERENCES account (id),
        outcome TEXT NOT NULL,
        created REAL NOT NULL,
        reason TEXT NOT NULL,
        evidence TEXT NOT NULL         -- JSON
    , after INTEGER NOT NULL DEFAULT 0)

CREATE TABLE workload (
        id TEXT PRIMARY KEY,           -- hash of canonical
        operator TEXT NOT NULL,        -- family, or primfunc
        label TEXT NOT NULL,           -- for people
        params TEXT NOT NULL,          -- JSON: the operator's parameters
        canonical TEXT NOT NULL,       -- canonical text of the computation
        flops INTEGER NOT NULL,        -- operations of one call
        bytes INTEGER NOT NULL         -- bytes that one call must move
    )

CREATE TRIGGER champion_insert_is_right BEFORE INSERT ON champion
        WHEN NOT EXISTS (
            SELECT 1 FROM trial WHERE id = NEW.trial AND status = 'ok' AND workload = NEW.workload
            AND target = NEW.target AND toolchain = NEW.toolchain AND policy = NEW.policy
        )
        BEGIN SELECT RAISE(ABORT, 'a champion is an ok trial of its own key'); END

CREATE TRIGGER champion_update_is_right BEFORE UPDATE ON champion
        WHEN NOT EXISTS (
            SELECT 1 FROM trial WHERE id = NEW.trial AND status = 'ok' AND workload = NEW.workload
            AND target = NEW.target AND toolchain = NEW.toolchain AND policy = NEW.policy
        )
        BEGIN SELECT RAISE(ABORT, 'a champion is an ok trial of its own key'); END

CREATE TRIGGER claim_is_never_changed
        BEFORE UPDATE OF trial, release, vendor, batch, workload, target, toolchain, policy, received ON claim
        BEGIN SELECT RAISE(ABORT, 'claims are append-only'); END

CREATE TRIGGER claim_is_never_deleted BEFORE DELETE ON claim
        BEGIN SELECT RAISE(ABORT, 'claims are append-only'); END

CREATE TRIGGER claim_is_of_its_trial BEFORE INSERT ON claim
        WHEN NOT EXISTS (
            SELECT 1 FROM trial WHERE id = NEW.trial AND workload = NEW.workload
            AND target = NEW.target AND toolchain = NEW.toolchain AND policy = NEW.policy
        )
        BEGIN SELECT RAISE(ABORT, 'a claim has the key of its trial'); END

CREATE TRIGGER claimed_is_never_changed BEFORE UPDATE ON claimed
        BEGIN SELECT RAISE(ABORT, 'what was claimed is append-only'); END

CREATE TRIGGER claimed_is_never_deleted BEFORE DELETE ON claimed
        BEGIN SELECT RAISE(ABORT, 'what was claimed is append-only'); END

CREATE TRIGGER dispute_is_never_changed BEFORE UPDATE ON dispute
        BEGIN SELECT RAISE(ABORT, 'disputes are append-only'); END

CREATE TRIGGER dispute_is_never_deleted BEFORE DELETE ON dispute
        BEGIN SELECT RAISE(ABORT, 'disputes are append-only'); END

CREATE TRIGGER job_changes_as_it_may BEFORE UPDATE OF state ON job
        WHEN NEW.state <> OLD.state AND OLD.state || ' to ' || NEW.state NOT IN ('queued to running', 'queued to paused', 'queued to cancelled', 'running to queued', 'running to paused', 'running to cancelled', 'running to done', 'running to failed', 'running to interrupted', 'paused to queued', 'paused to cancelled', 'failed to queued')
        BEGIN SELECT RAISE(ABORT, 'a job does not change from that state to this one'); END

CREATE TRIGGER job_log_is_never_changed BEFORE UPDATE ON job_log
        BEGIN SELECT RAISE(ABORT, 'logs of jobs are append-only'); END

CREATE TRIGGER job_log_is_never_deleted BEFORE DELETE ON job_log
        BEGIN SELECT RAISE(ABORT, 'logs of jobs are append-only'); END

CREATE TRIGGER lead_history_is_never_changed BEFORE UPDATE ON lead_history
        BEGIN SELECT RAISE(ABORT, 'histories are append-only'); END

CREATE TRIGGER lead_history_is_never_deleted BEFORE DELETE ON lead_history
        BEGIN SELECT RAISE(ABORT, 'histories are append-only'); END

CREATE TRIGGER lead_insert_is_right BEFORE INSERT ON lead
        WHEN NOT EXISTS (
            SELECT 1 FROM claim c JOIN trial t ON t.id = c.trial WHERE c.trial = NEW.trial
            AND c.release = NEW.release AND NEW.vendor IN ('', c.vendor) AND c.workload = NEW.workload
            AND c.target = NEW.target AND c.toolchain = NEW.toolchain AND c.policy = NEW.policy
            AND c.state = 'standing' AND t.status = 'ok' AND c.vendor = NEW.holder AND c.tier = NEW.tier
            AND t.median = NEW.median AND t.spread = NEW.spread
        )
        BEGIN SELECT RAISE(ABORT, 'a leader is a standing ok claim of its own key'); END

CREATE TRIGGER lead_update_is_right BEFORE UPDATE ON lead
        WHEN NOT EXISTS (
            SELECT 1 FROM claim c JOIN trial t ON t.id = c.trial WHERE c.trial = NEW.trial
            AND c.release = NEW.release AND NEW.vendor IN ('', c.vendor) AND c.workload = NEW.workload
            AND c.target = NEW.target AND c.toolchain = NEW.toolchain AND c.policy = NEW.policy
            AND c.state = 'standing' AND t.status = 'ok' AND c.vendor = NEW.holder AND c.tier = NEW.tier
            AND t.median = NEW.median AND t.spread = NEW.spread
        )
        BEGIN SELECT RAISE(ABORT, 'a leader is a standing ok claim of its own key'); END

CREATE TRIGGER ledger_begins_once BEFORE INSERT ON ledger
        WHEN NEW.size <> 0 OR EXISTS (SELECT 1 FROM ledger WHERE log = NEW.log)
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END

CREATE TRIGGER ledger_entry_comes_last BEFORE INSERT ON ledger_entry
        WHEN NEW.seq IS NOT (SELECT size FROM ledger WHERE log = NEW.log)
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END

CREATE TRIGGER ledger_entry_is_never_changed BEFORE UPDATE ON ledger_entry
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END

CREATE TRIGGER ledger_entry_is_never_deleted BEFORE DELETE ON ledger_entry
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END

CREATE TRIGGER ledger_is_never_deleted BEFORE DELETE ON ledger
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END

CREATE TRIGGER ledger_only_grows BEFORE UPDATE ON ledger
        WHEN NEW.log <> OLD.log OR NEW.size <> OLD.size + 1
        BEGIN SELECT RAISE(ABORT, 'ledgers are append-only'); END

CREATE TRIGGER repository_metadata_comes_next BEFORE INSERT ON repository_metadata
        WHEN NEW.version <> 1 + coalesce((SELECT max(version) FROM repository_metadata
            WHERE release = NEW.release AND role = NEW.role), 0)
        BEGIN SELECT RAISE(ABORT, 'versions of metadata follow one another'); END

CREATE TRIGGER repository_metadata_is_kept BEFORE DELETE ON repository_metadata
        WHEN OLD.role = 'root' OR OLD.version = (SELECT max(version) FROM repository_metadata
            WHERE release = OLD.release AND role = OLD.role)
        BEGIN SELECT RAISE(ABORT, 'every root and the last of each role are kept'); END

CREATE TRIGGER repository_metadata_is_never_changed BEFORE UPDATE ON repository_metadata
        BEGIN SELECT RAISE(ABORT, 'signed metadata is never changed'); END

CREATE TRIGGER repository_target_is_whole BEFORE INSERT ON repository_target
        WHEN NOT EXISTS (SELECT 1 FROM repository_blob
            WHERE release = NEW.release AND digest = NEW.digest AND whole = 1)
        BEGIN SELECT RAISE(ABORT, 'a target is a file that is here whole'); END

CREATE TRIGGER submission_is_never_changed BEFORE UPDATE ON submission
        BEGIN SELECT RAISE(ABORT, 'submissions are append-only'); END

CREATE TRIGGER submission_is_never_deleted BEFORE DELETE ON submission
        BEGIN SELECT RAISE(ABORT, 'submissions are append-only'); END

CREATE TRIGGER trial_is_never_changed BEFORE UPDATE ON trial
        BEGIN SELECT RAISE(ABORT, 'trials are append-only'); END

CREATE TRIGGER trial_is_never_deleted BEFORE DELETE ON trial
        BEGIN SELECT RAISE(ABORT, 'trials are append-only'); END

CREATE TRIGGER verdict_is_never_changed BEFORE UPDATE ON verdict
        BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END

CREATE TRIGGER verdict_is_never_deleted BEFORE DELETE ON verdict
        BEGIN SELECT RAISE(ABORT, 'verdicts are append-only'); END
