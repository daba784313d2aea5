"""Two hundred vendors at once, and a server that is killed while they send. Is everything there, and how fast was it?

    python -m tests.tuning_db.service.load [--vendors 200] [--seconds 60] [--kills 5] [--trials 20] [--batches 100]

``headstart serve`` runs for real, on a file in the temporary folder or another, and is ended by SIGKILL and started
again; between two kills it takes requests for equal times, ``--seconds`` in all. Vendors have accounts, keys, tokens
and openings of their own in one of several releases that are not launched; each sends the next batch when the last was
acknowledged, and sends the very same bytes again where no answer came. Batches are signed before anything is timed. At
the end every acknowledged trial must be there once and nothing else, every receipt must verify against the last
checkpoint, and ``db check`` must find nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tuning_db.crowd import WORKLOADS, computation, model
from tests.tuning_db.service import load_client
from tests.tuning_db.service.load_client import Result, Sent, Vendor
from tuning_db.check import check
from tuning_db.checkpoint import Checkpoint, key_of_log
from tuning_db.keyfile import read_key, write_key
from tuning_db.keys import PrivateKey
from tuning_db.note import SigningKey
from tuning_db.receipt import verify_growth, verify_receipt
from tuning_db.releases import DAY, Rules
from tuning_db.store import Store

SERVICE = "load.example"
ROOT = Path(__file__).parents[3]


@dataclass
class Server:
    """``headstart serve`` on a file, started again after each kill on the port that the system chose first.

    Attributes:
        options: more of its command line.
        cpu_s, peak_kib: processor time of all its lives, and the most memory of one.
    """

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    cpu_s: float = 0.0
    peak_kib: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        options = [
            *self.options,
            f"--port={self.port}",
            f"--db={self.folder / 'race.db'}",
            f"--ledger-key={self.folder / 'key'}",
        ]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "serve", *options],
                stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            )  # fmt: skip
        assert self.process.stdout
        self.port = json.loads(self.process.stdout.readline())["port"]

    def end(self, how: signal.Signals) -> None:
        """End it by a signal."""
        assert self.process and self.process.stdout
        self.process.send_signal(how)
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.process.stdout.close()
        assert self.process.returncode == (0 if how is signal.SIGTERM else -how)
        self.cpu_s += used.ru_utime + used.ru_stime
        self.peak_kib = max(self.peak_kib, used.ru_maxrss)


@dataclass
class Run:
    """What happened.

    Attributes:
        began, seconds: when vendors began, of the clock of ``Sent``, and how long until the last was answered.
        kills: when each came and when the next server took requests.
        server_s, clients_s: processor time.
        peak_kib: memory of the server.
        idle: vendors that ran out of batches.
    """

    began: float
    seconds: float
    sent: list[Sent]
    kills: list[tuple[float, float]]
    server_s: float
    clients_s: float
    peak_kib: int
    idle: int
    problems: list[str] = field(default_factory=list)


def prepare(folder: Path, vendors: int, releases: int) -> list[Vendor]:
    """A database with everybody in it, and the key of its service."""
    write_key(folder / "key", SigningKey.new(SERVICE))
    now = time.time()
    made = []
    with Store.open(folder / "race.db") as store, store.transaction():
        lab = store.add_account("lab", "publisher", now)
        races = []
        for n in range(releases):
            for at in range(WORKLOADS):
                store.add_workload(**computation(n, at))
            races.append(store.add_release(f"release-{n}", lab, now + 30 * DAY, Rules(), [model(n)], now))
        for n in range(vendors):
            account = store.add_account(f"vendor-{n}", "vendor", now)
            key = PrivateKey.new(f"vendor-{n}-1")
            store.add_key(account, key.public.id, key.public.line, now)
            store.invite(races[n % releases], account, now)
            token = store.issue_token(account, now, DAY)[1]
            made.append(Vendor(n, account.name, token, n % releases, key.write(folder)[0]))
    return made


def run(folder: Path, vendors: Sequence[Vendor], seconds: float, kills: int, trials: int, count: int) -> Run:
    """Let the vendors loose on a server that is killed again and again."""
    spawn = multiprocessing.get_context("spawn")
    pipes, over = [], spawn.Event()
    for part in (vendors[::2], vendors[1::2]):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=load_client.run, args=(theirs, over, part, count, trials))
        process.start()
        pipes.append((ours, process))
    for ours, _ in pipes:
        assert ours.recv() == "ready"
    server = Server(folder)
    server.start()
    began = time.perf_counter()
    for ours, _ in pipes:
        ours.send(server.port)
    lives = []
    for _ in range(kills):
        time.sleep(seconds / (kills + 1))
        killed = time.perf_counter()
        server.end(signal.SIGKILL)
        server.start()
        lives.append((killed, time.perf_counter()))
    time.sleep(seconds / (kills + 1))
    over.set()
    results: list[Result] = []
    for ours, process in pipes:
        results.append(ours.recv())
        process.join()
    server.end(signal.SIGTERM)
    sent = sorted((one for result in results for one in result.sent), key=lambda one: one.ended)
    return Run(
        began, sent[-1].ended - began, sent, lives, server.cpu_s, sum(result.cpu_s for result in results),
        server.peak_kib, sum(result.idle for result in results),
    )  # fmt: skip


def problems(folder: Path, sent: Sequence[Sent]) -> list[str]:
    """What is wrong with the database after all that, in lines; nothing where nothing is."""
    found = []
    key = read_key(folder / "key")
    with Store.open(folder / "race.db", create=False) as store:
        found += [f"{finding.where}: {finding.problem}" for finding in check(store)]
        there = Counter(row["trial"] for row in store.rows("SELECT trial FROM claim"))
        acknowledged = Counter(id for one in sent for id in one.answer["claims"])
        if there != acknowledged:
            found.append(
                f"{(acknowledged - there).total()} acknowledged trials are missing or others', "
                f"{(there - acknowledged).total()} are there that nobody was told of"
            )
        for one in sent:
            if len(one.answer["claims"]) != one.trials:
                found.append(f"batch {one.answer['batch']} has {len(one.answer['claims'])} of {one.trials} trials")
        batches = store.value("SELECT count(*) FROM submission")
        if batches != len(sent):
            found.append(f"{batches} submissions, {len(sent)} acknowledged")
        for one in sent:
            document = json.dumps(one.answer["receipt"]).encode()
            log = json.loads(one.answer["receipt"]["entry"])["log"]
            try:
                entry, then = verify_receipt(document, key_of_log(key, log).verifier)
                size = store.size(log)
                last = Checkpoint(then.origin, size, store.root(log))
                verify_growth(then, last, store.consistency(log, then.size))
                if entry.payload["claims"] != one.answer["claims"]:
                    found.append(f"the receipt of batch {one.answer['batch']} is for other trials")
            except ValueError as error:
                found.append(f"the receipt of batch {one.answer['batch']}: {error}")
    return found


def report(made: Run) -> dict[str, Any]:
    """Figures of a run: rates a second, times in milliseconds."""
    times = sorted((one.ended - one.began) * 1e3 for one in made.sent)
    whole = sorted((one.ended - one.began) * 1e3 for one in made.sent if one.tries == 1)
    ends = [one.ended for one in made.sent]
    back = [min((end for end in ends if end > up), default=up) - killed for killed, up in made.kills]
    return {
        "submissions": len(made.sent),
        "trials": sum(one.trials for one in made.sent),
        "sent_again": sum(one.tries - 1 for one in made.sent),
        "vendors_without_work": made.idle,
        "seconds": made.seconds,
        "submissions_per_s": len(made.sent) / made.seconds,
        "trials_per_s": sum(one.trials for one in made.sent) / made.seconds,
        "latency_ms": quantiles(times),
        "latency_ms_unkilled": quantiles(whole),
        "restart_s": [up - killed for killed, up in made.kills],
        "recovery_s": back,
        "server_cpu": made.server_s / made.seconds,
        "client_cpu": made.clients_s / made.seconds,
        "server_peak_mib": made.peak_kib / 1024,
        "problems": made.problems,
    }


def quantiles(ordered: Sequence[float]) -> dict[str, float]:
    """Of sorted figures."""
    named = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] for name, part in named.items()}


def main() -> int:
    """Print the figures as JSON; the exit code is 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vendors", type=int, default=200)
    parser.add_argument("--releases", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20, help="in a batch")
    parser.add_argument("--batches", type=int, default=100, help="signed beforehand for each vendor")
    parser.add_argument("--folder", type=Path, help="Where to put the database; it goes at the end.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = Path(temporary)
        vendors = prepare(folder, given.vendors, given.releases)
        made = run(folder, vendors, given.seconds, given.kills, given.trials, given.batches)
        made.problems = problems(folder, made.sent)
    print(json.dumps(report(made), indent=1))
    return 1 if made.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
