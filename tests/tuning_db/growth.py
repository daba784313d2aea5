"""What changes as a database of trials grows to ten million? Fills one, and stops at each size to time its use.

    python -m tests.tuning_db.growth [--sizes 100000,1000000,10000000] [--seconds 1.0] [--rounds 3] [--folder FOLDER]

Rows are those of many chips: 20 kinds of them, 2,000 workloads each, a new schedule a trial, a quarter of the trials
failed, as long as those of a real search. They are written in bulk, through the same schema, triggers and indices;
their ids are drawn and not hashed, which is nothing to any query. What is timed goes through ``Store``. A file of
10,000 trials takes turns with the large one, since the machine may be busy: its figures are in the rows that say so.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli._output import seconds, size, table
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN, fill, schedule, trial
from tests.tuning_db.million import middle_and_tail, taken
from tuning_db.backup import backup
from tuning_db.find import find
from tuning_db.records import Key, new_id
from tuning_db.statistics import statistics
from tuning_db.store import Store
from tuning_db.trials import COLUMNS

BATCH = 50_000
CHIPS, WORKLOADS, SMALL = 20, 2_000, 10_000
CONFIG = '{"block":%d,"fetch":0,"mr":4,"panels":2,"rows_outer":1,"split":8,"tiles":3,"unroll":16,"vectors":2}'
TRANSACTIONS = (1, 8, 64, 512)
LOOKUPS = 300


def begin(store: Store) -> list[Key]:
    """Everything that trials name but schedules, and a key for each workload on each kind of chip."""
    keys = fill(store, WORKLOADS)
    chips = [replace(TARGET, name=f"chip-{n}", cores=2 + n) for n in range(CHIPS)]
    with store.transaction():
        for chip in chips:
            store.add_target(chip.fingerprint, chip.name, chip.vendor, chip.spec())
    return [replace(key, target=chip.fingerprint) for chip in chips for key in keys]


def rows(keys: list[Key], start: int, stop: int, rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Trials number ``start`` to ``stop`` as they lie in the table, each of a schedule of its own."""
    for n in range(start, stop):
        key = keys[rng.randrange(len(keys))]
        id, plan = f"t{1_700_000_000_000 + n:012x}{rng.getrandbits(64):016x}", f"s{rng.getrandbits(96):024x}"
        where = (id, key.workload, key.target, TOOLCHAIN.id, POLICY.id, plan)
        if n % 4 == 3:
            how: tuple[Any, ...] = ("build_error", "[]", None, None, "the tiles do not fit into the cache", 0.12, "{}")
        else:
            median = 1e-4 + 1e-2 * rng.random()
            samples = ",".join(repr(median * (1 + 0.01 * at)) for at in range(-3, 4))
            evidence = f'{{"incumbent":"s{n:024x}","prepare_s":0.0{n},"ratios":[1.1{n},1.2{n}],"settled":true}}'
            how = ("ok", f"[{samples}]", median, median * 0.02, "", 0.12, evidence)
        yield (*where, *how, "node-17.cluster", "tuner", f"j{n // 2000:028x}", 1.7e9 + n * 1e-3)


def grow(store: Store, keys: list[Key], start: int, stop: int, rng: random.Random) -> float:
    """Add trials number ``start`` to ``stop``, fast; returns the seconds that it took."""
    insert = f"INSERT INTO trial ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
    for pragma in ("synchronous = OFF", "cache_size = -2000000"):
        store.execute(f"PRAGMA {pragma}")
    began = time.perf_counter()
    for first in range(start, stop, BATCH):
        made = list(rows(keys, first, min(first + BATCH, stop), rng))
        with store.transaction():
            plans = [(row[5], "panels", 2, CONFIG % (first + at)) for at, row in enumerate(made)]
            store.connection.executemany("INSERT INTO schedule VALUES (?, ?, ?, ?)", plans)
            store.connection.executemany(insert, made)
            if first == 0:
                for row in made:
                    if row[6] == "ok":
                        store.crown(Key(*row[1:5]), row[0])
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return time.perf_counter() - began


def shares(store: Store) -> dict[str, float]:
    """Bytes a trial of each table and index that takes more than one."""
    count = store.value("SELECT count(*) FROM trial")
    found = store.rows("SELECT name, sum(pgsize) AS bytes FROM dbstat WHERE aggregate = TRUE GROUP BY name")
    return {row["name"]: row["bytes"] / count for row in found if row["bytes"] > count}


class Adding:
    """How many trials a second go in, by so many in a transaction: wall clock and processor."""

    def __init__(self, store: Store, keys: list[Key]) -> None:
        self.store, self.keys, self.rng = store, keys, random.Random(1)
        self.spent: dict[tuple[str, int], list[tuple[float, float]]] = {}

    def block(self, synchronous: str, together: int, length: float) -> None:
        """Add for a while."""
        self.store.execute(f"PRAGMA synchronous = {synchronous}")
        wall, processor, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - wall < length:
            with self.store.transaction():
                for _ in range(together):
                    self._one()
            done += together
        of = self.spent.setdefault((synchronous, together), [])
        of.append(((time.perf_counter() - wall) / done, (time.process_time() - processor) / done))

    def _one(self) -> None:
        """A trial as a job keeps it: with a schedule that is new."""
        plan = schedule(self.rng.getrandbits(60))
        with self.store.transaction():
            self.store.add_schedule(plan.id, plan.space, plan.version, plan.config)
            made = trial(self.rng.choice(self.keys), 0, 1e-3 + self.rng.random())
            self.store.add_trial(replace(made, schedule=plan.id, id=new_id("t")))


def asked(store: Store, rng: random.Random) -> dict[str, Callable[[], object]]:
    """What is asked of a database, by name."""
    some = store.value("SELECT schedule FROM trial WHERE seq = 5000")
    led = [Key(**row) for row in store.rows("SELECT workload, target, toolchain, policy FROM champion LIMIT 5000")]

    def one() -> Key:
        return rng.choice(led)

    return {
        "champion of a key": lambda: store.champion(one()),
        "all trials of a key": lambda: list(store.trials(*vars(one()).values())),
        "schedules tried for a key": lambda: store.tried(one()),
        "the latest 20,000, to learn from": lambda: sum(1 for _ in store.training_rows(newest=20_000)),
        "headstart show SCHEDULE": lambda: find(store, some),
        "headstart db stats": lambda: statistics(store),
    }


def main() -> None:
    """Print tables, one after each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100000,1000000,10000000")
    parser.add_argument("--seconds", type=float, default=1.0, help="of adding, for each kind of transaction and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="Where to put the databases; they go at the end.")
    given = parser.parse_args()
    rng, done = random.Random(0), 0
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        with Store.open(folder / "small.db") as store:
            grow(store, begin(store), 0, SMALL, rng)
        for number in map(int, given.sizes.split(",")):
            with Store.open(folder / "large.db") as store:
                keys = begin(store)
                took = grow(store, keys, done, number, rng)
                print(f"\n{number:,} trials; {number - done:,} of them added in bulk in {took:.0f} s", flush=True)
                print({name: round(each) for name, each in shares(store).items()}, "bytes a trial", flush=True)
            measure(folder, number, keys, given.seconds, given.rounds)
            done = number


def measure(folder: Path, number: int, keys: list[Key], length: float, rounds: int) -> None:
    """Time both files in turns, opened as a search opens them."""
    opened = taken(lambda: Store.open(folder / "large.db").close())
    with Store.open(folder / "small.db") as small, Store.open(folder / "large.db") as large:
        counts, stores = (SMALL, number), (small, large)
        questions = [asked(store, random.Random(2)) for store in stores]
        lines = []
        for name in questions[0]:
            count = 1 if name.startswith("headstart") else 3 if "20,000" in name else LOOKUPS
            times: list[list[float]] = [[], []]
            spent: list[list[float]] = [[], []]
            for _ in range(3):
                for which, of in enumerate(questions):
                    for _ in range(count):
                        processor = time.process_time()
                        times[which].append(taken(of[name]))
                        spent[which].append(time.process_time() - processor)
            for n, whole, own in zip(counts, times, spent, strict=True):
                lines.append([name, f"{n:,}", *middle_and_tail(whole), middle_and_tail(own)[0]])
        table("Asking", ("what", "trials", "median", "p99", "processor, median"), lines)
        adding = [Adding(store, keys) for store in stores]
        for _ in range(rounds):
            for synchronous in ("FULL", "NORMAL"):
                for together in TRANSACTIONS:
                    for one in adding:
                        one.block(synchronous, together, length)
        lines = []
        for kind in adding[0].spent:
            for n, one in zip(counts, adding, strict=True):
                walls, processors = (sorted(of) for of in zip(*one.spent[kind], strict=True))
                rates = f"{1 / walls[-1]:,.0f} to {1 / walls[0]:,.0f}"
                lines.append([kind[0], f"{kind[1]}", f"{n:,}", rates, seconds(processors[len(processors) // 2])])
        columns = ("synchronous", "in a transaction", "trials", "trials a second", "processor, each")
        table("Adding", columns, lines, left=1)
        path = folder / "copy.db"
        copied = taken(lambda: backup(folder / "large.db", path))
        print(f"open: {seconds(opened)}; backup of {size(path.stat().st_size)}: {copied:.1f} s", flush=True)
        path.unlink()


if __name__ == "__main__":
    main()
