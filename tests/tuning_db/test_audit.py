"""What was done to a ledger by hand is found, by itself or by a checkpoint that was kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from targets.errors import HeadstartError
from tests.tuning_db.test_ledger import fill
from tuning_db.audit import audit
from tuning_db.check import check
from tuning_db.checkpoint import Checkpoint
from tuning_db.store import Store

# What somebody with another program may have done, and what is said of it.
HARM = {
    "UPDATE ledger_entry SET actor = 'me' WHERE seq = 4": ["entry 4 hashes to"],
    "UPDATE ledger_entry SET action = 'said' WHERE seq = 4": ["entry 4 hashes to"],
    "UPDATE ledger_entry SET payload = '{}' WHERE seq = 10": ["entry 10 hashes to"],
    "UPDATE ledger_entry SET payload = '{' WHERE seq = 0": ["entry 0 cannot be read"],
    "UPDATE ledger_entry SET payload = x'ff' WHERE seq = 0": ["entry 0 cannot be read"],
    "UPDATE ledger_entry SET actor = x'ff' WHERE seq = 0": ["entry 0 cannot be read"],
    "UPDATE ledger_entry SET created = created + 1 WHERE seq = 4": ["entry 4 hashes to"],
    "UPDATE ledger_entry SET created = 'late' WHERE seq = 4": ["entry 4 hashes to"],
    "UPDATE ledger_entry SET salt = '' WHERE seq = 4": ["entry 4 hashes to"],
    "UPDATE ledger_entry SET hashes = zeroblob(32) WHERE seq = 4": [
        "entry 4 hashes to",
        "entry 5 does not have the hashes",
        "entry 7 does not have the hashes",
    ],
    "UPDATE ledger_entry SET hashes = substr(hashes, 1, 64) WHERE seq = 7": ["entry 7 does not have the hashes"],
    "UPDATE ledger_entry SET hashes = CAST(hashes || zeroblob(32) AS BLOB) WHERE seq = 4": [
        "entry 4 does not have the hashes"
    ],
    "UPDATE ledger_entry SET hashes = 'text' WHERE seq = 10": ["entry 10 hashes to"],
    "DELETE FROM ledger_entry WHERE seq = 4": ["entry 4 is missing"],
    "DELETE FROM ledger_entry WHERE seq = 0": ["entry 0 is missing"],
    "DELETE FROM ledger_entry WHERE seq = 10": ["it has 10 entries, its size is said to be 11"],
    "DELETE FROM ledger_entry": ["it has 0 entries, its size is said to be 11"],
    "UPDATE ledger SET size = 10": ["it has 11 entries, its size is said to be 10"],
    "UPDATE ledger_entry SET seq = CASE seq WHEN 4 THEN 100 ELSE seq END": ["entry 4 is missing"],
    "UPDATE ledger_entry SET actor = CASE seq WHEN 4 THEN 'a' WHEN 9 THEN 'b' ELSE actor END": [
        "entry 4 hashes to",
        "entry 9 hashes to",
    ],
}


def harm(store: Store, *statements: str) -> None:
    """Change a file as another program would that knows of no guards."""
    guards = store.rows("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    store.execute("PRAGMA foreign_keys = OFF")
    for guard in guards:
        store.execute(f"DROP TRIGGER {guard['name']}")
    for sql in statements:
        store.execute(sql)
    for guard in guards:
        store.execute(guard["sql"])


@pytest.mark.parametrize("sql", HARM)
def test_harm_is_found(store: Store, sql: str) -> None:
    fill(store)
    harm(store, sql)
    findings = check(store)
    assert {finding.where for finding in findings} == {"ledger public"}
    said = [finding.problem for finding in findings]
    assert len(said) >= len(HARM[sql])
    for problem in HARM[sql]:
        assert [one for one in said if one.startswith(problem)], said
    assert audit(store, "public").root is None
    assert list(audit(store, "public").problems) == said


def test_entries_of_no_log_are_found(store: Store) -> None:
    fill(store, number=1)
    harm(store, "DELETE FROM ledger")
    assert [finding.problem for finding in check(store)] == ["names a ledger that is not there"]


def test_a_missing_guard_is_found(store: Store) -> None:
    store.execute("DROP TRIGGER ledger_entry_is_never_changed")
    assert [finding.where for finding in check(store)] == ["schema"]


def test_proofs_from_a_damaged_ledger_are_one_line(store: Store) -> None:
    fill(store)
    harm(store, "DELETE FROM ledger_entry WHERE seq = 7", "UPDATE ledger_entry SET payload = '{' WHERE seq = 3")
    for call in (
        lambda: store.root("public"),
        lambda: store.inclusion("public", 9),
        lambda: list(store.entries("public")),
    ):
        with pytest.raises(HeadstartError, match="headstart db check") as failure:
            call()
        assert "\n" not in str(failure.value)


def test_a_ledger_that_was_written_anew_is_found_by_a_checkpoint_alone(tmp_path: Path) -> None:
    with Store.open(tmp_path / "true.db") as true, Store.open(tmp_path / "forged.db") as forged:
        fill(true)
        kept = Checkpoint("headstart.example/public", 8, true.root("public", 8))
        assert audit(true, "public", kept).problems == ()
        assert audit(true, "public", kept).root == true.root("public")
        for entry in true.entries("public"):
            forged.append("public", "me" if entry.seq == 4 else entry.actor, "did", entry.payload, entry.created)
        assert check(forged) == []
        assert ["are not those" in one for one in audit(forged, "public", kept).problems] == [True]
        harm(true, "DELETE FROM ledger_entry WHERE seq > 6", "UPDATE ledger SET size = 7")
        assert check(true) == []
        assert ["were taken away" in one for one in audit(true, "public", kept).problems] == [True]


def test_text_that_is_none_is_one_line(store: Store) -> None:
    fill(store)
    harm(store, "UPDATE ledger_entry SET actor = CAST(x'ff0a' AS TEXT) WHERE seq = 4")
    assert ["not UTF-8" in finding.problem for finding in check(store)] == [True]
    for call in (lambda: audit(store, "public"), lambda: list(store.entries("public"))):
        with pytest.raises(HeadstartError, match=r"damaged .* is not UTF-8"):
            call()
