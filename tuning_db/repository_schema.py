"""The statements of the step that keeps repositories; like every step, never edited once released."""

from __future__ import annotations

REPOSITORIES = (
    """CREATE TABLE repository_metadata (
        release TEXT NOT NULL REFERENCES release (id),
        role TEXT NOT NULL,            -- root, targets, champions, snapshot or timestamp
        version INTEGER NOT NULL,      -- from 1, for each role
        content TEXT NOT NULL,         -- JSON, to the byte as it is hashed and signed
        digest TEXT NOT NULL,          -- SHA-256 of content, in hex
        expires REAL NOT NULL,         -- seconds since 1970
        created REAL NOT NULL,
        PRIMARY KEY (release, role, version)
    ) WITHOUT ROWID""",
    """CREATE TRIGGER repository_metadata_comes_next BEFORE INSERT ON repository_metadata
        WHEN NEW.version <> 1 + coalesce((SELECT max(version) FROM repository_metadata
            WHERE release = NEW.release AND role = NEW.role), 0)
        BEGIN SELECT RAISE(ABORT, 'versions of metadata follow one another'); END""",
    """CREATE TRIGGER repository_metadata_is_never_changed BEFORE UPDATE ON repository_metadata
        BEGIN SELECT RAISE(ABORT, 'signed metadata is never changed'); END""",
    # Older ones of the other roles make room after a while.
    """CREATE TRIGGER repository_metadata_is_kept BEFORE DELETE ON repository_metadata
        WHEN OLD.role = 'root' OR OLD.version = (SELECT max(version) FROM repository_metadata
            WHERE release = OLD.release AND role = OLD.role)
        BEGIN SELECT RAISE(ABORT, 'every root and the last of each role are kept'); END""",
    # A file is of one release: that the same bytes are in another is not to be found out by sending them.
    """CREATE TABLE repository_blob (
        release TEXT NOT NULL REFERENCES release (id),
        digest TEXT NOT NULL,          -- SHA-256, in hex
        length INTEGER NOT NULL,       -- bytes
        whole INTEGER NOT NULL,        -- whether all of it is here and has the digest
        account TEXT NOT NULL,         -- who sent it; empty for the service itself
        created REAL NOT NULL,         -- seconds since 1970
        PRIMARY KEY (release, digest)
    ) WITHOUT ROWID""",
    "CREATE INDEX repository_blob_of_account ON repository_blob (account, created, length)",
    """CREATE TABLE repository_part (
        release TEXT NOT NULL,
        digest TEXT NOT NULL,
        number INTEGER NOT NULL,       -- from 0; all but the last are of one size
        content BLOB NOT NULL,
        PRIMARY KEY (release, digest, number),
        FOREIGN KEY (release, digest) REFERENCES repository_blob (release, digest)
    )""",
    """CREATE TABLE repository_target (
        release TEXT NOT NULL,
        role TEXT NOT NULL,            -- targets or champions
        path TEXT NOT NULL,
        digest TEXT NOT NULL,
        gone REAL,                     -- since when it is in the metadata no more, seconds since 1970; NULL while it is
        PRIMARY KEY (release, role, path, digest),
        FOREIGN KEY (release, digest) REFERENCES repository_blob (release, digest)
    ) WITHOUT ROWID""",
    "CREATE INDEX repository_target_of_blob ON repository_target (release, digest)",
    """CREATE TRIGGER repository_target_is_whole BEFORE INSERT ON repository_target
        WHEN NOT EXISTS (SELECT 1 FROM repository_blob
            WHERE release = NEW.release AND digest = NEW.digest AND whole = 1)
        BEGIN SELECT RAISE(ABORT, 'a target is a file that is here whole'); END""",
    # Of the one schedule that every other is compared with: "default", version 1.
    "CREATE INDEX trial_of_default ON trial (workload, target) WHERE schedule = 'sc229ca327b32462008e8648e'",
    "ALTER TABLE quota ADD COLUMN uploads INTEGER",
)
