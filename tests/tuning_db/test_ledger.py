"""Ledgers in a database: only ever added to, each by itself, and what was done to one by hand is found."""

from __future__ import annotations

import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.digest import canonical_json
from targets.errors import HeadstartError, InputError
from tests.tuning_db.test_merkle import naive_root
from tuning_db.check import check
from tuning_db.entry import Entry
from tuning_db.merkle import EMPTY_ROOT, leaf_hash, verify_consistency, verify_inclusion
from tuning_db.statistics import statistics
from tuning_db.store import Store

ASSETS = Path(__file__).parent / "assets"


def fill(store: Store, log: str = "public", number: int = 11) -> list[Entry]:
    with store.transaction():
        return [store.append(log, "someone", "did", {"n": n}, 1e9 + n) for n in range(number)]


def leaves(entries: list[Entry]) -> list[bytes]:
    return [entry.content.encode() for entry in entries]


def test_an_entry_is_kept_as_it_was_hashed(store: Store) -> None:
    made = store.append("public", "vendor", "submitted", {"b": [1, None], "a": "\N{GREEK SMALL LETTER ALPHA}"}, 7)
    assert made.content == (
        '{"action":"submitted","actor":"vendor","created":7.0,"log":"public",'
        f'"payload":{{"a":"\\u03b1","b":[1,null]}},"salt":"{made.salt}","seq":0}}'
    )
    assert store.entry("public", 0) == made == Entry.loads(made.content.encode())
    assert store.root("public") == made.leaf == leaf_hash(made.content.encode())
    before = time.time()
    assert before <= store.append("public", "a", "b", {}).created <= time.time()


def test_proofs_of_every_entry_at_every_size(store: Store) -> None:
    entries = fill(store)
    assert store.size("public") == 11
    assert list(store.entries("public")) == entries
    roots = [naive_root(leaves(entries[:size])) for size in range(12)]
    for size in range(12):
        assert store.root("public", size) == roots[size]
        for entry in entries[:size]:
            proof = store.inclusion("public", entry.seq, size)
            assert verify_inclusion(entry.leaf, entry.seq, size, proof, roots[size])
        for old in range(size + 1):
            assert verify_consistency(old, size, roots[old], roots[size], store.consistency("public", old, size))
    assert store.root("public") == roots[11]
    assert store.inclusion("public", 3) == store.inclusion("public", 3, 11)
    assert store.consistency("public", 3) == store.consistency("public", 3, 11)


def test_pages_of_entries(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuning_db.ledger.PAGE", 4)
    entries = fill(store)
    for start in range(13):
        for count in (0, 1, 3, 4, 5, 20, None):
            stop = None if count is None else start + count
            assert list(store.entries("public", start, count)) == entries[start:stop]


def test_what_is_not_there(store: Store) -> None:
    assert (store.size("public"), store.root("public"), store.logs()) == (0, EMPTY_ROOT, [])
    assert list(store.entries("public")) == store.consistency("public", 0) == []
    fill(store, number=3)
    for call in (
        lambda: store.entry("public", 3),
        lambda: store.entry("other", 0),
        lambda: store.root("public", 4),
        lambda: store.root("public", -1),
        lambda: store.inclusion("public", 3),
        lambda: store.inclusion("public", 2, 2),
        lambda: store.inclusion("public", -1),
        lambda: store.inclusion("public", 1, 4),
        lambda: store.inclusion("other", 0),
        lambda: store.consistency("public", 4),
        lambda: store.consistency("public", -1),
        lambda: store.consistency("public", 1, 4),
    ):
        with pytest.raises(InputError, match=r"ledger (public|other)"):
            call()


def test_a_log_looks_the_same_whatever_happens_in_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuning_db.ledger.os.urandom", bytes)
    with Store.open(tmp_path / "alone.db") as alone, Store.open(tmp_path / "busy.db") as busy:
        fill(alone)
        for n in range(11):
            fill(busy, "r0123", n)
            busy.append("public", "someone", "did", {"n": n}, 1e9 + n)
            fill(busy, "a", 2)

        def seen(store: Store) -> list[Any]:
            proofs = [(store.inclusion("public", n), store.consistency("public", n)) for n in range(11)]
            return [store.size("public"), store.root("public"), list(store.ledger_rows("public")), proofs]

        assert seen(alone) == seen(busy)
        assert busy.logs() == ["a", "public", "r0123"]
        assert [entry.seq for entry in busy.entries("r0123")] == list(range(55))
        assert check(busy) == []
    # Nothing in the file counts across logs.
    with sqlite3.connect(tmp_path / "busy.db") as connection, pytest.raises(sqlite3.OperationalError, match="rowid"):
        connection.execute("SELECT rowid FROM ledger_entry")
    connection.close()


def test_what_a_salt_is_for(store: Store) -> None:
    one, two = (store.append("public", "a", "b", {}, 0) for _ in range(2))
    assert re.fullmatch("[0-9a-f]{32}", one.salt)
    assert one.salt != two.salt


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"log": ""}, "log: the name of a log"),
        ({"log": "a/b"}, "log: the name of a log"),
        ({"actor": ""}, "actor: must be 1 to 200"),
        ({"actor": "a\x1b[2J"}, "actor: must be 1 to 200"),
        ({"actor": "a\N{RIGHT-TO-LEFT OVERRIDE}"}, "actor: must be 1 to 200"),
        ({"actor": "\N{CYRILLIC SMALL LETTER A}"}, "actor: must be 1 to 200"),
        ({"actor": "\ud83d"}, "actor: holds a character"),
        ({"action": "x" * 201}, "action: must be 1 to 200"),
        ({"action": "two\nlines"}, "action: must be 1 to 200"),
        ({"payload": {"a": float("nan")}}, "JSON"),
        ({"payload": {1: "one", 10: "ten", 2: "two"}}, "canonical"),
        ({"payload": {"\ud83d\ude00": 1, "\uffff": 2}}, "canonical"),
        ({"created": float("inf")}, "JSON"),
        ({"created": -1.0}, "created: must be seconds"),
        ({"created": 1e12}, "created: must be seconds"),
    ],
)
def test_entries_that_are_refused(store: Store, words: dict[str, Any], why: str) -> None:
    good = {"log": "public", "actor": "someone", "action": "did", "payload": {}, "created": 0.0}
    with pytest.raises(ValueError, match=f"an entry of a ledger .*{why}"):
        store.append(**(good | words))
    assert store.value("SELECT count(*) FROM ledger") == 0
    with pytest.raises(TypeError):
        store.append(**(good | {"payload": {"a": object()}}))


def test_a_payload_without_end(store: Store) -> None:
    payload: dict[str, Any] = {}
    for _ in range(100_000):
        payload = {"": payload}
    with pytest.raises(ValueError, match="an entry of a ledger"):
        store.append("public", "someone", "did", payload)
    assert check(store) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Store.open(tmp_path_factory.mktemp("shared") / "x.db") as opened:
        yield opened


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3), st.floats(0, 2e11) | st.just(-0.0))
def test_any_payload_and_moment_survive(shared: Store, payload: dict[str, Any], created: float) -> None:
    made = shared.append("public", "someone", "did", payload, created)
    kept = shared.entry("public", made.seq)
    assert kept.content == made.content
    assert kept.payload == payload
    assert kept.created == created
    assert leaf_hash(kept.content.encode()) == next(shared.ledger_rows("public", made.seq))["hashes"][:32]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger_entry SET actor = 'somebody else'",
        "UPDATE ledger_entry SET seq = 11 WHERE seq = 10",
        "DELETE FROM ledger_entry",
        "DELETE FROM ledger_entry WHERE seq = 10",
        "DELETE FROM ledger",
        "UPDATE ledger SET size = 10",
        "UPDATE ledger SET size = 11",
        "UPDATE ledger SET log = 'other'",
        "UPDATE ledger SET log = 'other', size = 12",
        "REPLACE INTO ledger VALUES ('public', 0)",
        "REPLACE INTO ledger VALUES ('public', 11)",
        "INSERT INTO ledger VALUES ('other', 1)",
        "REPLACE INTO ledger_entry SELECT * FROM ledger_entry WHERE seq = 10",
        "REPLACE INTO ledger_entry SELECT log, 12, hashes, actor, action, payload, created, salt FROM ledger_entry"
        " WHERE seq = 10",
        "INSERT OR IGNORE INTO ledger_entry SELECT 'other', 0, hashes, actor, action, payload, created, salt"
        " FROM ledger_entry WHERE seq = 10",
    ],
)
def test_the_schema_refuses_to_change_a_ledger(store: Store, sql: str) -> None:
    fill(store)
    before = list(store.connection.iterdump())
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store.execute(sql)
    assert list(store.connection.iterdump()) == before


def test_a_transaction_that_fails_leaves_the_tree_as_it_was(store: Store) -> None:
    fill(store, number=5)
    root = store.root("public")
    with pytest.raises(KeyboardInterrupt), store.transaction():
        fill(store, number=4)
        fill(store, "new", 2)
        assert store.size("public") == 9
        raise KeyboardInterrupt
    assert (store.size("public"), store.root("public"), store.logs()) == (5, root, ["public"])
    fill(store, number=4)
    assert check(store) == []


def test_one_entry_that_is_refused_leaves_the_others_of_its_transaction(store: Store) -> None:
    with store.transaction():
        fill(store, number=3)
        with pytest.raises(ValueError, match="actor"):
            store.append("public", "", "did", {})
        fill(store, number=3)
    assert store.size("public") == 6
    assert check(store) == []


def test_a_full_disk_leaves_the_tree_as_it_was(store: Store) -> None:
    store.execute(f"PRAGMA max_page_count = {store.value('PRAGMA page_count') + 3}")
    with pytest.raises(HeadstartError, match="no space left"):
        for _ in range(1000):
            store.append("public", "someone", "did", {"text": "x" * 500})
    assert store.size("public") > 0
    assert check(store) == []


WRITER = """
import itertools, os, sys
from tuning_db.store import Store
with Store.open(sys.argv[1]) as store:
    for n in itertools.count():
        with store.transaction():
            made = [store.append("public", "someone", "did", {"n": n}), store.append("r0", "someone", "did", {"n": n})]
        os.write(1, f"{made[0].seq} {made[0].leaf.hex()}\\n".encode())
"""


@pytest.mark.parametrize("seed", range(3))
def test_acknowledged_entries_survive_sigkill(tmp_path: Path, seed: int) -> None:
    path, lucky = tmp_path / "x.db", random.Random(seed)
    acknowledged: list[str] = []
    for _ in range(2):
        command = [sys.executable, "-c", WRITER, path]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert writer.stdout
        acknowledged.append(writer.stdout.readline().strip())
        time.sleep(lucky.uniform(0, 0.2))
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.stdout.read().splitlines()
        writer.wait()
    with Store.open(path, create=False) as store:
        assert check(store) == []
        assert store.size("public") == store.size("r0")
        kept = [f"{entry.seq} {entry.leaf.hex()}" for entry in store.entries("public")]
        assert set(acknowledged) <= set(kept)
        assert len(kept) <= len(acknowledged) + 2


@pytest.mark.parametrize("old", sorted(ASSETS.glob("*.db")), ids=lambda path: path.stem)
def test_old_files_take_entries(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(old, path)
    with Store.open(path) as store:
        before = store.size("public")
        assert before == {"schema_1": 0, "schema_5": 3}.get(old.stem, 2)
        fill(store)
        assert store.size("public") == before + 11
        assert check(store) == []


def test_entries_are_counted(full: Store) -> None:
    assert statistics(full)["ledger_entries"] == 3
    assert canonical_json([entry.payload for entry in full.entries("public")]).startswith("[{")
