"""How fast is a service with a million claims behind it? Fills a file, serves it, and asks over one warm connection.

    python -m tests.tuning_db.service.million [--trials 1000000] [--vendors 200] [--calls 1000] [--db FILE]

With ``--db`` the file is kept, and used again where it is there. The server is ``headstart serve``, a process of its
own; times are of whole calls as a client sees them.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.tuning_db.crowd import POLICY, TOOLCHAIN, WORKLOADS, chip, claim, computation
from tests.tuning_db.crowded import NOW, Crowd, bulk, gather, parcels
from tests.tuning_db.service.load import SERVICE, Server, quantiles
from tests.tuning_db.service.publishing import Hands
from tests.tuning_db.service.running import Service
from tuning_db.accounts import Account
from tuning_db.batch import Batch
from tuning_db.check import check
from tuning_db.claim import Outcome, Verdict
from tuning_db.keyfile import write_key
from tuning_db.keys import PrivateKey
from tuning_db.note import SigningKey
from tuning_db.store import Store
from tuning_db.submission import sign_batch

# Verdicts of the referee on leading claims.
VERDICTS = 2000


def make(path: Path, trials: int, vendors: int) -> None:
    """Fill a file."""
    with Store.open(path) as store:
        crowd = gather(store, vendors)
        bulk(store, parcels(crowd, trials))
        judge(store, crowd)


def judge(store: Store, crowd: Crowd) -> None:
    """Let the referee find leading claims right, but every tenth."""
    rows = store.rows("SELECT DISTINCT trial FROM lead WHERE vendor <> '' ORDER BY trial LIMIT ?", (VERDICTS,))
    with store.transaction():
        for n, row in enumerate(rows):
            outcome = Outcome.REFUSED if n % 10 == 9 else Outcome.REPRODUCED
            store.add_verdict(Verdict(row["trial"], crowd.referee.id, outcome, NOW, "it is wrong"))


class Asking:
    """A connection that stays open, and the times of what was asked."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self.figures: dict[str, dict[str, float]] = {}

    def ask(self, path: str, token: str | None = None, body: bytes | None = None) -> bytes:
        """The body of an answer, which must be good."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.connection.request("POST" if body else "GET", path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (path, answer.status, data[:200])
        return data

    def time(self, name: str, calls: int, one: Callable[[int], bytes]) -> None:
        """Milliseconds of calls, after a first one that is not counted, and the bytes of an answer."""
        size = len(one(0))
        taken = []
        for n in range(1, calls + 1):
            began = time.perf_counter()
            one(n)
            taken.append((time.perf_counter() - began) * 1e3)
        self.figures[name] = {"calls": calls, **quantiles(sorted(taken)), "bytes": size}
        print(name, json.dumps({key: round(value, 2) for key, value in self.figures[name].items()}), flush=True)


def measure(folder: Path, calls: int) -> None:
    """Serve a file and ask."""
    now = time.time()
    with Store.open(folder / "race.db") as store, store.transaction():
        tokens = {}
        for name in ("lab", "referee"):
            tokens[name] = store.issue_token(store.account(name), now, 86400)[1]
        vendors: list[Account] = [store.account(row["name"]) for row in store.accounts() if row["role"] == "vendor"]
        releases = {row["name"]: row["id"] for row in store.rows("SELECT name, id FROM release WHERE id <> 'public'")}
        secret = len(releases) - 1
        racing = next(one for one in vendors if int(one.name.removeprefix("vendor-")) % len(releases) == secret)
        tokens["vendor"] = store.issue_token(racing, now, 86400)[1]
        number = int(racing.name.removeprefix("vendor-"))
        key = PrivateKey.new(f"{racing.name}-2")
        store.add_key(racing, key.public.id, key.public.line, now)
        # As if it were launched a month from now, whenever this is run.
        store.connection.execute(
            "UPDATE release SET launch = ? WHERE id = ?", (now + 3e6, releases[f"release-{secret}"])
        )
        store.connection.execute(
            "UPDATE release SET launch = ? WHERE launch BETWEEN ? AND ?", (now - 1, now, now + 2e6)
        )
        some = store.rows("SELECT trial FROM claim WHERE release = ? LIMIT 1000", (releases["release-0"],))
        root = store.add_account("publishing", "operator", now)
        tokens["root"] = store.issue_token(root, now, 86400)[1]
    ledger = SigningKey.new(SERVICE)
    write_key(folder / "key", ledger)
    repository_key, _ = PrivateKey.new("service").write(folder)
    began = time.perf_counter()
    server = Server(folder, options=(
        *("--rate=0", "--anonymous-rate=0", "--claims-per-day=100000000"), f"--repository-key={repository_key}"
    ))  # fmt: skip
    server.start()
    print(f"start: {time.perf_counter() - began:.2f} s", flush=True)
    rng = random.Random(1)
    asking = Asking(server.port)
    rest = f"&toolchain={TOOLCHAIN.id}&policy={POLICY.id}"

    def champion(of: int, whose: int) -> str:
        work = computation(of, rng.randrange(WORKLOADS))["id"]
        return f"/v1/champion?workload={work}&target={chip(whose).fingerprint}{rest}"

    public = [int(one.name.removeprefix("vendor-")) for one in vendors]
    public = [one for one in public if one % len(releases) != secret]

    def launched(_: int) -> str:
        whose = rng.choice(public)
        return champion(whose % len(releases), whose)

    asking.time("champion, anybody", calls, lambda n: asking.ask(launched(n)))
    asking.time(
        "champion, vendor before launch", calls, lambda n: asking.ask(champion(secret, number), tokens["vendor"])
    )
    asking.time("claim, anybody", calls, lambda n: asking.ask(f"/v1/claims/{rng.choice(some)['trial']}"))
    hidden, open_ = releases[f"release-{secret}"], releases["release-0"]
    few = max(10, calls // 20)
    for part in ("", "/standings", "/board"):
        asking.time(f"release{part}, anybody", few, lambda n, part=part: asking.ask(f"/v1/releases/{open_}{part}"))
        for who in ("vendor", "lab"):
            token = tokens[who]
            path = f"/v1/releases/{hidden}{part}"
            asking.time(
                f"release{part} before launch, {who}", few, lambda n, path=path, token=token: asking.ask(path, token)
            )
    _repositories(asking, Service(folder / "race.db", ledger, server.port, now, tokens=tokens), open_, calls)
    mine = chip(number).fingerprint
    asking.time("pending, referee", few, lambda n: asking.ask(f"/v1/pending?target={mine}", tokens["referee"]))
    _submissions(asking, rng, racing.name, secret, key, tokens["vendor"])
    server.end(signal.SIGTERM)
    print(f"server: {server.peak_kib / 1024:.0f} MiB at most", flush=True)


def _submissions(asking: Asking, rng: random.Random, vendor: str, secret: int, key: PrivateKey, token: str) -> None:
    """Send batches of several sizes."""
    number = int(vendor.removeprefix("vendor-"))
    for trials in (1, 50, 500):
        sent = []
        for at in range(11):
            first = 10**6 + at * trials
            claims = tuple(
                claim(rng, computation(secret, n % WORKLOADS), chip(number, n // WORKLOADS % 2), n + trials * 10**5)
                for n in range(first, first + trials)
            )
            made = Batch(vendor, claims, f"release-{secret}", created=NOW)
            sent.append(sign_batch(made, key).dumps())
        asking.time(f"submission of {trials}", 10, lambda n, sent=sent: asking.ask("/v1/submissions", token, sent[n]))


def _repositories(asking: Asking, service: Service, launched: str, calls: int) -> None:
    """Begin the repositories of everything and of one release, and ask them for what is the latest."""
    for release in ("public", launched):
        Hands(service, release).begin()
        where = f"/v1/repositories/{release}/metadata/timestamp.json"
        _looked_at(asking, service.db, release, where)
        asking.time("timestamp, anybody", calls, lambda n, where=where: asking.ask(where))


def _looked_at(asking: Asking, db: Path, release: str, where: str) -> None:
    """Ask for a timestamp, for which selections are made and signed, and say what came of it."""
    began = time.perf_counter()
    asking.ask(where)
    took = time.perf_counter() - began
    with Store.open(db, read_only=True) as store:
        said = store.targets_of(release, "champions")
        last = store.metadata(release, "champions")
    assert last
    size = sum(length for _, length in said.values())
    print(f"{len(said)} selections of {size >> 10} KiB, told of in {last.length >> 10} KiB: {took:.2f} s", flush=True)


def main() -> None:
    """Print what was measured, a line each, times in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--vendors", type=int, default=200)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--db", type=Path, help="Keep the file here.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kept = given.db or folder / "made.db"
        if not kept.exists():
            began = time.perf_counter()
            make(kept, given.trials, given.vendors)
            print(f"filled: {time.perf_counter() - began:.0f} s, {os.path.getsize(kept) / 2**20:.0f} MiB", flush=True)
        shutil.copy(kept, folder / "race.db")
        measure(folder, given.calls)
        with Store.open(folder / "race.db") as store:
            began = time.perf_counter()
            findings = check(store)
            print(f"db check: {time.perf_counter() - began:.0f} s, {len(findings)} findings")


if __name__ == "__main__":
    main()
