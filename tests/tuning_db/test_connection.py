"""Opening files that are not what they should be, and what goes wrong while writing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from targets.errors import HeadstartError, InputError
from tests.tuning_db.example import add, fill
from tuning_db.connection import explained
from tuning_db.store import Store


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()


@pytest.mark.parametrize("how", [{}, {"create": False}, {"read_only": True}], ids=["create", "update", "read"])
@pytest.mark.parametrize(
    "content",
    [b"not a database, but long enough to hold a header" * 10, b"short", b"SQLite format 3\0", foreign],
    ids=["text", "short", "cut", "foreign"],
)
def test_a_file_that_is_not_ours_is_refused_untouched(tmp_path: Path, content: object, how: dict[str, bool]) -> None:
    path = tmp_path / "x.db"
    if callable(content):
        content(path)
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    before = listing(tmp_path)
    with pytest.raises(InputError, match="not a Headstart database"):
        Store.open(path, **how)
    assert listing(tmp_path) == before


def test_places_where_no_database_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, why in (
        (tmp_path / "no" / "x.db", "is not a folder; make it"),
        (tmp_path / "file" / "x.db", "is not a folder"),
        (tmp_path, "it is a folder"),
    ):
        with pytest.raises(InputError, match=why):
            Store.open(place)
    for how in ({"create": False}, {"read_only": True}):
        with pytest.raises(InputError, match="no database at"):
            Store.open(tmp_path / "x.db", **how)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_empty_file_becomes_a_database_only_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    with pytest.raises(InputError, match="not a Headstart database"):
        Store.open(path, create=False)
    with Store.open(path) as store:
        assert store.workloads() == []


def test_odd_file_names(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=ro#c%20.db"
    with Store.open(path) as store:
        fill(store)
    assert path.exists()
    with Store.open(path, read_only=True) as store:
        assert len(store.workloads()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store.open(path):
        pass
    path.chmod(0o444)
    with pytest.raises(InputError, match="cannot write"):
        Store.open(path)
    with Store.open(path, create=False) as store, pytest.raises(InputError, match="cannot write"):
        fill(store)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(InputError, match="cannot write"):
            Store.open(tmp_path / "y.db")
    finally:
        tmp_path.chmod(0o755)


def test_reading_only_refuses_to_write(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store.open(path):
        pass
    with Store.open(path, read_only=True) as store, pytest.raises(InputError, match="cannot write"):
        fill(store)


def test_a_locked_database(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db") as one, Store.open(tmp_path / "x.db") as other:
        other.execute("PRAGMA busy_timeout = 50")
        with one.transaction():
            fill(one)
            assert other.workloads() == []
            with pytest.raises(HeadstartError, match="locked"):
                fill(other)
        assert len(other.workloads()) == 1


def test_a_full_disk_undoes_the_transaction_and_the_store_goes_on(store: Store) -> None:
    key = fill(store)[0]
    kept = add(store, key, 0)
    pages = store.value("PRAGMA page_count")
    store.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HeadstartError, match="no space left") as failure:
        for knob in range(1, 1000):
            add(store, key, knob, error="", machine="m" * 1000)
    assert "\n" not in str(failure.value)
    whole = list(store.trials())
    assert whole[0] == kept
    assert len(store.tried(key)) == len(whole)
    store.execute("PRAGMA max_page_count = 1000000")
    assert add(store, key, 1000) in list(store.trials())


def test_damage_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with Store.open(path) as store:
        key = fill(store)[0]
        for knob in range(100):
            add(store, key, knob)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    with pytest.raises(HeadstartError, match="damaged"), Store.open(path) as store:
        list(store.trials())


def test_other_errors_of_sqlite_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"), explained(tmp_path):
        raise sqlite3.OperationalError("no such table: x")


def test_an_error_inside_undoes_everything_nested(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.transaction():
        fill(store, 3)
        raise KeyboardInterrupt
    assert store.workloads() == []
    assert not store.connection.in_transaction


def test_many_processes_may_make_the_same_database_at_once(tmp_path: Path) -> None:
    code = "import sys; from tuning_db.store import Store; input(); Store.open(sys.argv[1]).close()"
    path = tmp_path / "x.db"
    racers = [
        subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    assert [racer.communicate()[1] for racer in racers] == [""] * 4
    with Store.open(path, create=False) as store:
        assert store.value("PRAGMA journal_mode") == "wal"


def test_works_where_tvm_is_not_installed(tmp_path: Path) -> None:
    code = """
import sys
for name in ("tvm", "tvm_ffi", "torch"):
    sys.modules[name] = None
from tests.tuning_db.example import populate
from tuning_db.backup import backup
from tuning_db.check import check
from tuning_db.exchange import export, import_lines
from tuning_db.statistics import statistics
from tuning_db.store import Store
with Store.open(sys.argv[1]) as store:
    key = populate(store)[0]
    assert store.champion(key) and not check(store) and statistics(store)
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, tmp_path / "x.db"], check=True, cwd=root)


def test_opening_a_file_once_more_takes_no_locks_from_this_process(tmp_path: Path) -> None:
    """Another process that closes the file last would remove the write-ahead log, and what is written then is lost."""
    path = tmp_path / "x.db"
    with Store.open(path) as store:
        store.start_job({})
        with Store.open(path, create=False):
            pass
        code = (
            "import sys; from tuning_db.store import Store\n"
            "with Store.open(sys.argv[1], create=False) as other: other.start_job({})"
        )
        subprocess.run([sys.executable, "-c", code, path], check=True, cwd=Path(__file__).parents[2])
        assert Path(f"{path}-wal").exists()
        store.start_job({})
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as reader:
            assert reader.execute("SELECT count(*) FROM job").fetchone() == (3,)
