"""How fast are boards of a big database? Fills one, serves it, and asks over HTTP.

    python -m tests.tuning_db.board_speed [--trials 1000000] [--asks 200] [--folder FOLDER]

A release of 30 operators, raced for by 20 vendors on 5 chips, each of whom improved each of its claims four times; half
of the trials behind it are slower claims in that race. What is timed are whole requests on one open connection.
"""

from __future__ import annotations

import argparse
import http.client
import random
import tempfile
import threading
import time
from pathlib import Path

from cli._output import size, table
from targets.catalogue import target
from targets.digest import digest
from tests.tuning_db.example import POLICY, TOOLCHAIN, fill, schedule, trial
from tests.tuning_db.million import BATCH, grow, middle_and_tail, taken
from tuning_db.check import check
from tuning_db.claim import Claim, Outcome, Verdict
from tuning_db.note import SigningKey
from tuning_db.records import Key
from tuning_db.releases import DAY, Rules
from tuning_db.service.config import Config
from tuning_db.service.server import listen, make_server
from tuning_db.store import Store
from tuning_db.trials import COLUMNS, to_row

CHIPS = tuple(target(name) for name in ("zen4", "zen5", "h100", "b200", "mi300x"))
OPERATORS, VENDORS, IMPROVEMENTS = 30, 20, 4
START = 1e9
LAUNCH = START + 30 * DAY


def race(store: Store, behind: int, rng: random.Random) -> tuple[str, list[Key], dict[str, str]]:
    """The race; its id, its keys, and tokens by name."""
    for chip in CHIPS:
        store.add_target(chip.fingerprint, chip.name, chip.vendor, chip.spec())
    lab = store.add_account("lab", "publisher", START)
    judge = store.add_account("judge", "referee", START)
    vendors = [store.add_account(f"vendor-{n}", "vendor", START) for n in range(VENDORS)]
    described = [
        {
            "canonical": f"raced {n}",
            "operator": "linear",
            "label": f"raced {n}",
            "params": {"m": 16, "n": 4096, "k": 512 * (n + 1), "dtype": "bfloat16", "out": "bfloat16"},
            "flops": 2 * 16 * 4096 * 512 * (n + 1),
            "bytes": 2 * 4096 * 512 * (n + 1),
        }
        for n in range(OPERATORS)
    ]
    ops = [
        {"name": f"layer.{n}", "operator": "linear", "params": {}, "calls": 61, "workload": digest("w", f"raced {n}")}
        for n in range(OPERATORS)
    ]
    model = {"name": "raced", "source": "lab", "step": {"phase": "decode"}, "ops": ops}
    release = store.add_release("raced", lab, LAUNCH, Rules(), [model], START, described)
    for account in (judge, *vendors):
        store.invite(release, account, START)
    keys = [Key(op["workload"], chip.fingerprint, TOOLCHAIN.id, POLICY.id) for op in ops for chip in CHIPS]  # type: ignore[arg-type]
    at = START
    for better in range(IMPROVEMENTS):
        with store.transaction():
            for key in keys:
                for vendor in vendors:
                    at += 60
                    made = trial(key, 0, rng.uniform(1.0, 1.2) * 0.5**better, author=vendor.name)
                    store.add_schedule(made.schedule, "example", 1, schedule(0).config)
                    store.add_claim(Claim(made, release.id, vendor.id, "b0", at))
                    if better == IMPROVEMENTS - 1 and rng.random() < 0.5:
                        outcome = Outcome.REPRODUCED if rng.random() < 0.5 else Outcome.REPLAYED
                        store.add_verdict(Verdict(made.id, judge.id, outcome, at))
    slower(store, release.id, keys, [vendor.id for vendor in vendors], behind, at, rng)
    tokens = {who.name: store.issue_token(who, LAUNCH - DAY, 3650 * DAY - 1)[1] for who in (lab, judge, vendors[0])}
    return release.id, keys, tokens


def slower(
    store: Store, release: str, keys: list[Key], vendors: list[str], number: int, at: float, rng: random.Random
) -> None:
    """Claims that change nothing, added in bulk."""
    into_trials = f"INSERT INTO trial ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
    into_claims = "INSERT INTO claim VALUES (?, ?, ?, 'b1', ?, ?, ?, ?, ?, 'claimed', 'standing', '')"
    for first in range(0, number, BATCH):
        made = [trial(rng.choice(keys), 0, rng.uniform(3, 9)) for _ in range(first, min(first + BATCH, number))]
        with store.transaction():
            store.connection.executemany(into_trials, map(to_row, made))
            store.connection.executemany(
                into_claims, [(t.id, release, rng.choice(vendors), *vars(t.key).values(), at) for t in made]
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--asks", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="Where to put the database; it goes at the end.")
    parser.add_argument("--check", action="store_true", help="Go over the whole database at the end.")
    given = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "race.db"
        with Store.open(path) as store:
            store.execute("PRAGMA synchronous = OFF")
            grow(store, fill(store, 2000), 0, given.trials // 2, rng)
            release, keys, tokens = race(store, given.trials // 2, rng)
            trials = store.value("SELECT count(*) FROM trial")
        print(f"{trials:,} trials, {size(path.stat().st_size)}")
        ask(path, release, keys, tokens, given.asks, rng)
        if given.check:
            with Store.open(path) as store:
                start = time.perf_counter()
                print(f"db check: {len(check(store))} findings in {time.perf_counter() - start:.0f} s")


def ask(path: Path, release: str, keys: list[Key], tokens: dict[str, str], asks: int, rng: random.Random) -> None:
    """Serve the database at three moments, and time what is asked."""
    now = LAUNCH - 3600
    ready, rows = threading.Event(), []
    config = Config(path, SigningKey.new("race.example"), lambda: now)
    with listen("127.0.0.1", 0) as bound:
        server = make_server(config, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        ready.wait(60)
        connection = http.client.HTTPConnection("127.0.0.1", bound.getsockname()[1], timeout=60)

        def get(path: str, who: str | None) -> int:
            connection.request("GET", path, headers={"Authorization": f"Bearer {tokens[who]}"} if who else {})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return len(body)

        for when, eyes in ((LAUNCH - 3600, ("lab", "judge", "vendor-0")), (LAUNCH + DAY, (None,))):
            now = when
            for who in eyes:
                paths = {name: f"/v1/releases/{release}/{name}" for name in ("board", "readiness", "timeline")}
                paths["board, ten days before"] = f"{paths['board']}?at={LAUNCH - 20 * DAY}"
                if who is None:
                    paths["headstart"] = f"/v1/releases/{release}/headstart"
                for name, wanted in paths.items():
                    number = asks if name in ("board", "readiness") else max(5, asks // 20)
                    length = get(wanted, who)
                    times = [taken(lambda: get(wanted, who)) for _ in range(number)]  # noqa: B023
                    rows.append([name, who or "anybody, launched", size(length), *middle_and_tail(times)])
                if who in ("judge", None):
                    queries = [
                        f"/v1/champion?workload={key.workload}&target={key.target}&toolchain={key.toolchain}"
                        f"&policy={key.policy}"
                        for key in rng.choices(keys, k=asks)
                    ]
                    times = [taken(lambda: get(query, who)) for query in queries]  # noqa: B023
                    rows.append(["champion", who or "anybody, launched", "", *middle_and_tail(times)])
        connection.close()
        server.should_exit = True
        thread.join(60)
    table("Requests", ("what", "who", "answer", "median", "p99"), rows, left=2)


if __name__ == "__main__":
    main()
