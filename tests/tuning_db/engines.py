"""The same trials in other engines: how large, how fast in, how fast out? For docs/scaling.md.

    python -m tests.tuning_db.engines [--trials 1000000] [--folder FOLDER] [--postgres "host=... dbname=..."]

Makes the rows of ``growth``, and loads them into SQLite (as Headstart has them), DuckDB, a Parquet file that DuckDB
reads, and PostgreSQL where a server is given. None of these is a dependency: take ``pip install duckdb``, and for
PostgreSQL ``psycopg[binary]``, in a venv that is thrown away. Each question is asked seven times, the engines in turn.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from cli._output import seconds, size, table
from tests.tuning_db.growth import begin, grow, rows
from tuning_db.store import Store
from tuning_db.trials import COLUMNS

KEY = ("workload", "target", "toolchain", "policy")
COMMAS = ", ".join(KEY)
OF_KEY = " AND ".join(f"{name} = '{{{name}}}'" for name in KEY)
KINDS = {"median": "float8", "spread": "float8", "build_s": "float8", "created": "float8"}
DEFINITION = ", ".join(f"{name} {KINDS.get(name, 'text')}" for name in COLUMNS)
# What the product asks, and what somebody would like to ask of a billion.
QUESTIONS = {
    "a trial by its id": "SELECT * FROM trial WHERE id = '{id}'",
    "all trials of a key": f"SELECT * FROM trial WHERE {OF_KEY}",
    "trials by status": "SELECT status, count(*) FROM trial GROUP BY status",
    "the best of every key": f"SELECT {COMMAS}, min(median) FROM trial WHERE status = 'ok' GROUP BY {COMMAS}",
    "all of one kind of chip": "SELECT workload, schedule, median FROM trial WHERE target = '{target}'",
}
CALLS = 7


class Engine:
    """Somewhere trials are kept.

    Attributes:
        name: for the table.
        ask: runs a query and returns its rows.
        add: adds rows in one transaction, which is on disk when this returns; None where rows are never added.
        bytes: that it takes.
        loaded: seconds that loading everything took.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[str], list[Any]],
        add: Callable[[list[tuple[Any, ...]]], None] | None,
        bytes: Callable[[], int],
        loaded: float,
    ) -> None:
        self.name, self.ask, self.add, self.bytes, self.loaded = name, ask, add, bytes, loaded


def engines(folder: Path, trials: int, postgres: str | None) -> Iterator[Engine]:
    """Each engine, filled."""
    path, text = folder / "trials.db", folder / "trials.csv"
    store = Store.open(path)
    keys = begin(store)
    took = grow(store, keys, 0, trials, random.Random(0))
    store.close()
    store = Store.open(path)
    insert = f"INSERT INTO trial ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"

    def add(some: list[tuple[Any, ...]]) -> None:
        with store.transaction():
            # Only the trials themselves, as in the other engines.
            store.connection.executemany(insert, some)

    store.connection.execute("PRAGMA foreign_keys = OFF")
    kept = store.value("SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE AND name LIKE '%trial%'")
    yield Engine("SQLite", lambda sql: store.connection.execute(sql).fetchall(), add, lambda: kept, took)
    with text.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(store.connection.execute(f"SELECT {', '.join(COLUMNS)} FROM trial ORDER BY seq"))
    yield duck(folder / "trials.duckdb", text)
    yield parquet(folder / "trials.parquet", text)
    if postgres:
        yield elephant(postgres, text)


def duck(path: Path, text: Path) -> Engine:
    """DuckDB's own file, with the same two indices."""
    made = duckdb.connect(str(path))
    made.execute(f"CREATE TABLE trial ({DEFINITION}, PRIMARY KEY (id))")
    began = time.perf_counter()
    made.execute(f"COPY trial FROM '{text}' (HEADER false)")
    made.execute("CREATE INDEX trial_workload ON trial (workload, target)")
    made.execute("CHECKPOINT")
    took = time.perf_counter() - began

    def add(some: list[tuple[Any, ...]]) -> None:
        made.execute("BEGIN")
        made.executemany(f"INSERT INTO trial VALUES ({', '.join('?' * len(COLUMNS))})", some)
        made.execute("COMMIT")

    return Engine("DuckDB", lambda sql: made.execute(sql).fetchall(), add, lambda: path.stat().st_size, took)


def parquet(path: Path, text: Path) -> Engine:
    """A Parquet file in the order of keys: never added to, as a day's file would be."""
    made = duckdb.connect()
    columns = ", ".join(f"'{name}': '{KINDS.get(name, 'varchar')}'" for name in COLUMNS)
    began = time.perf_counter()
    made.execute(
        f"COPY (SELECT * FROM read_csv('{text}', header = false, columns = {{{columns}}})"
        f" ORDER BY {', '.join(KEY)}, created) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
    )
    took = time.perf_counter() - began
    made.execute(f"CREATE VIEW trial AS SELECT * FROM '{path}'")
    return Engine("Parquet", lambda sql: made.execute(sql).fetchall(), None, lambda: path.stat().st_size, took)


def elephant(where: str, text: Path) -> Engine:
    """PostgreSQL, with the same two indices and its own settings."""
    import psycopg

    made = psycopg.connect(where, autocommit=True)
    made.execute("DROP TABLE IF EXISTS trial")
    made.execute(f"CREATE TABLE trial ({DEFINITION}, PRIMARY KEY (id))")
    began = time.perf_counter()
    with made.cursor() as cursor, cursor.copy("COPY trial FROM STDIN (FORMAT csv)") as copy, text.open("rb") as file:
        while part := file.read(1 << 20):
            copy.write(part)
    made.execute("CREATE INDEX trial_workload ON trial (workload, target)")
    made.execute("ANALYZE trial")
    took = time.perf_counter() - began

    def add(some: list[tuple[Any, ...]]) -> None:
        with made.transaction(), made.cursor() as cursor:
            cursor.executemany(f"INSERT INTO trial VALUES ({', '.join(['%s'] * len(COLUMNS))})", some)

    def bytes() -> int:
        row = made.execute("SELECT pg_total_relation_size('trial')").fetchone()
        return int(row[0]) if row else 0

    return Engine("PostgreSQL", lambda sql: made.execute(sql.encode()).fetchall(), add, bytes, took)


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--postgres", help="How to reach a server, as psycopg takes it.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        made = list(engines(folder, given.trials, given.postgres))
        lines = [
            [one.name, size(one.bytes()), f"{one.bytes() / given.trials:.0f}", f"{one.loaded:.1f} s"] for one in made
        ]
        table("Size", ("engine", "trials and their indices", "bytes a trial", "loaded in"), lines)
        asking(made, folder)
        adding(made, folder, given.trials)


def asking(made: list[Engine], folder: Path) -> None:
    """Ask all of them the same, in turns, and see that they answer the same."""
    with Store.open(folder / "trials.db", read_only=True) as store:
        some = store.rows("SELECT * FROM trial WHERE seq % 9973 = 1 LIMIT ?", (CALLS,))
    lines = []
    for name, sql in QUESTIONS.items():
        times: dict[str, list[float]] = {one.name: [] for one in made}
        for row in some:
            whole = sql.format(**row)
            counts = set()
            for one in made:
                began = time.perf_counter()
                counts.add(len(one.ask(whole)))
                times[one.name].append(time.perf_counter() - began)
            assert len(counts) == 1, (whole, counts)
        lines.append([name, *(seconds(statistics.median(times[one.name])) for one in made)])
    table("Asking", ("what", *(one.name for one in made)), lines)


def adding(made: list[Engine], folder: Path, start: int) -> None:
    """Trials a second, by how many are added in a transaction."""
    with Store.open(folder / "trials.db", read_only=True) as store:
        keys = begin_keys(store)
    lines, rng = [], random.Random(3)
    for together in (1, 64, 512):
        rates: dict[str, list[float]] = {one.name: [] for one in made if one.add}
        for _ in range(5):
            for one in made:
                if one.add is None:
                    continue
                parts = []
                for _ in range(max(2, 100 // together)):
                    parts.append(list(rows(keys, start, start + together, rng)))
                    start += together
                began = time.perf_counter()
                for part in parts:
                    one.add(part)
                rates[one.name].append(len(parts) * together / (time.perf_counter() - began))
        lines.append([str(together), *(f"{min(of):,.0f} to {max(of):,.0f}" for of in rates.values())])
    table("Trials a second", ("in a transaction", *rates), lines, left=1)


def begin_keys(store: Store) -> list[Any]:
    """Some keys."""
    from tuning_db.records import Key

    return [Key(**row) for row in store.rows("SELECT workload, target, toolchain, policy FROM champion LIMIT 5000")]


if __name__ == "__main__":
    main()
