"""The schema: what it is, how old files are upgraded, how newer ones are refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils.migrations import Migrations

import tuning_db.connection
import tuning_db.migrations
from schedules.essence import essence
from schedules.schedule import Schedule
from targets.errors import InputError
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN, add
from tests.tuning_db.race import LAUNCH
from tuning_db.batch import claim_id
from tuning_db.check import check, schema
from tuning_db.claim import Outcome, Verdict
from tuning_db.records import Key
from tuning_db.store import Store
from tuning_db.windows import Viewer

ASSETS = Path(__file__).parent / "assets"


def test_the_schema_is_the_golden_one(store: Store) -> None:
    """A released step is never edited. After adding one: write the new text into the file, and look at the change."""
    assert "\n\n".join(schema(store.connection)) + "\n" == (ASSETS / "schema.sql").read_text()


@pytest.mark.parametrize("old", sorted(ASSETS.glob("*.db")), ids=lambda path: path.stem)
def test_old_files_open_whole_and_take_new_trials(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(old, path)
    with Store.open(path) as store:
        assert check(store) == []
        trials = list(store.trials())
        assert [trial.status.value for trial in trials[:4]] == ["ok", "build_error", "ok", "ok"]
        key = Key(trials[0].key.workload, TARGET.fingerprint, TOOLCHAIN.id, POLICY.id)
        assert store.champion(key) == trials[2]
        assert [op["calls"] for op in store.model("tiny")["ops"]] == [61, 1, 61]
        assert store.champion(add(store, key, 9, 1e-4, crown=True).key).median == 1e-4


def test_the_release_of_everybody_is_there_from_the_start(store: Store) -> None:
    assert store.rows("SELECT id, publisher, launch FROM release") == [{"id": "public", "publisher": "", "launch": 0.0}]


def test_a_race_of_this_schema_is_read(tmp_path: Path) -> None:
    """The first schema with a race: what it held is there, and may be judged."""
    path = tmp_path / "old.db"
    shutil.copy(ASSETS / "schema_3.db", path)
    with Store.open(path) as store:
        (release,) = store.releases(Viewer(LAUNCH))
        assert store.release(Viewer(LAUNCH - 1), "v5") is None
        states = store.rows("SELECT state FROM claim WHERE release = ? ORDER BY state", (release.id,))
        assert [row["state"] for row in states] == ["refused", "standing", "standing", "withdrawn"]
        referee = store.account("second")
        (claim, *_) = store.pending(Viewer(LAUNCH, referee.id), TARGET.fingerprint, 9)
        store.add_verdict(Verdict(claim.trial.id, referee.id, Outcome.REFUSED, LAUNCH, "wrong"))
        assert check(store) == []


def test_submissions_of_before_know_their_key_and_size(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(ASSETS / "schema_4.db", path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE signing_key SET id = 'k1'")
        payload = '{"batch":"b1","claims":["t1","t2"],"content":"c","key":"k1","release":"public"}'
        (seq,) = connection.execute("SELECT size FROM ledger WHERE log = 'public'").fetchone()
        connection.execute(
            "INSERT INTO ledger_entry (log, seq, hashes, actor, action, payload, created, salt)"
            " VALUES ('public', ?, x'', 'early', 'submit', ?, 1e9, '')",
            (seq, payload),
        )
        (vendor,) = connection.execute("SELECT account FROM signing_key").fetchone()
        connection.execute("INSERT INTO submission VALUES ('b1', ?, 'n', 'c', 'public', ?, '[]')", (vendor, seq))
    connection.close()
    with Store.open(path) as store:
        (row,) = store.rows("SELECT * FROM submission")
        assert (row["key"], row["received"], row["claims"], row["bytes"]) == ("k1", 1e9, 2, 0)
        assert (row["batch"], row["vendor"], row["nonce"], row["content"], row["seq"]) == ("b1", vendor, "n", "c", seq)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            store.execute("UPDATE submission SET claims = 0")


def test_claims_of_before_are_known_again(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(ASSETS / "schema_7.db", path)
    with Store.open(path) as store:
        rows = store.rows(
            "SELECT c.release, c.vendor, t.id, s.space, s.version, s.config FROM claim c JOIN trial t ON t.id = c.trial"
            " JOIN schedule s ON s.id = t.schedule"
        )
        assert len(rows) == 5
        for row in rows:
            trial = store.trial(row["id"])
            earlier = store.claimed(row["release"], row["vendor"])
            plan = Schedule(row["space"], row["version"], json.loads(row["config"]))
            assert claim_id(trial.key, trial.schedule, trial.samples) in earlier
            assert earlier.get((trial.key, essence(plan))) == trial.schedule
            assert claim_id(trial.key, trial.schedule, trial.samples) not in store.claimed(row["release"], "another")
            assert claim_id(trial.key, trial.schedule, (1.0,)) not in earlier


@pytest.fixture
def one_step_more(monkeypatch: pytest.MonkeyPatch) -> Migrations:
    """Headstart as it will be when the schema has one more step; the step fails where ``broken`` is a table."""
    later = Migrations("headstart")
    for step in tuning_db.migrations.migrations._migrations:
        later(name=step.name)(step.fn)

    @later()
    def m999_later(db: object) -> None:
        db.conn.execute("CREATE TABLE later (x)")  # type: ignore[attr-defined]
        db.conn.execute("ALTER TABLE job ADD COLUMN later TEXT")  # type: ignore[attr-defined]
        if db["broken"].exists():  # type: ignore[index]
            raise RuntimeError("broken")

    monkeypatch.setattr(tuning_db.connection, "migrations", later)
    monkeypatch.setattr(tuning_db.migrations, "migrations", later)
    return later


def make(path: Path) -> Path:
    with Store.open(path):
        pass
    return path


def test_an_older_schema_is_upgraded(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = make(tmp_path / "x.db")
    request.getfixturevalue("one_step_more")
    with Store.open(path, create=False) as store:
        assert store.rows("SELECT later FROM job") == []


def test_an_older_schema_is_not_upgraded_by_reading(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = make(tmp_path / "x.db")
    before = path.read_bytes()
    request.getfixturevalue("one_step_more")
    with pytest.raises(InputError, match="older Headstart"):
        Store.open(path, read_only=True)
    assert path.read_bytes() == before


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = make(tmp_path / "x.db")
    with Store.open(path) as store:
        store.execute("CREATE TABLE broken (x)")
        before = schema(store.connection)
    request.getfixturevalue("one_step_more")
    with pytest.raises(RuntimeError, match="broken"):
        Store.open(path)
    with sqlite3.connect(path) as connection:
        assert schema(connection) == before
    connection.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_is_refused_untouched(tmp_path: Path, read_only: bool) -> None:
    path = make(tmp_path / "x.db")
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('headstart', 'm999_later', '')"
    )
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"newer Headstart .*m999_later.*upgrade"):
        Store.open(path, read_only=read_only)
    assert path.read_bytes() == before
