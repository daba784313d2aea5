"""Power that fails again and again: ``python -m tests.tuner.nights.power 10`` kills whoever runs a night ten times.

Two jobs of a small decoder share a night. At random moments the runner is killed with all that it started, which leaves
what a loss of power leaves but for what the disk had not yet been asked to keep; each commit asks it. Then the night is
run again. In the end both jobs are done, with every trial that anybody had seen, each schedule once.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.tuner.test_kill import TINY, headstart, trials
from tuner.frontend.load import step_for
from tuner.nights.request import Request
from tuning_db.check import check
from tuning_db.store import Store


@dataclass(frozen=True)
class Told:
    """How it went: losses of power, trials seen before one and kept, and the time that was spent and that went by."""

    losses: int
    seen: int
    kept: int
    doubled: int
    states: tuple[str, ...]
    spent_s: float
    ran_s: float
    logged: int
    problems: int
    reasons: tuple[str, ...]


def fail(
    folder: Path, times: int, jobs: Sequence[int], most: int, say: Callable[[str], None] = lambda line: None
) -> Told:
    """Run jobs to their end, and kill whoever runs them so often on the way.

    Args:
        folder: where the database is made.
        times: how often.
        jobs: tokens of each job's step.
        most: trials of each of its workloads; enough for something to be lost each time.
        say: told in a line of each loss.
    """
    db, model, lucky = folder / "x.db", folder / "config.json", random.Random()
    model.write_text(json.dumps(TINY))
    with Store.open(db) as store:
        for tokens in jobs:
            step = step_for(str(model), tokens=tokens)
            store.queue_job(Request(str(model), (step,), trials=most).checked(db))
    run = headstart("jobs", "run", "--slice", "10s", "--db", str(db), "--json")
    seen: list[tuple[str, str, str, str]] = []
    ran = 0.0
    for loss in range(1, times + 1):
        begun = time.monotonic()
        runner = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if loss % 3:
            # Not before it has added something, so that there is something to lose.
            while len(trials(db)) <= len(seen) and time.monotonic() < begun + 120 and runner.poll() is None:
                time.sleep(0.05)
            time.sleep(lucky.uniform(0, 0.3))
        else:
            time.sleep(lucky.uniform(0, 8))
        before, seen = len(seen), trials(db)
        assert runner.poll() is None, "it was done, or died by itself, before its power failed"
        assert loss % 3 == 0 or len(seen) > before, "nothing was lost"
        everything = [psutil.Process(runner.pid), *psutil.Process(runner.pid).children(recursive=True)]
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        runner.wait()
        ran += time.monotonic() - begun
        psutil.wait_procs(everything, timeout=30)
        after = trials(db)
        assert after[: len(seen)] == seen, "a trial that was seen is gone"
        say(f"{loss}: power lost with {len(seen)} trials, {len(after)} are there")
    begun = time.monotonic()
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    ran += time.monotonic() - begun
    every = trials(db)
    ids = {trial for trial, *_ in every}
    repeated = Counter((workload, schedule) for _, workload, schedule, _ in every)
    with Store.open(db) as store:
        rows = store.jobs()
        return Told(
            losses=times,
            seen=len(seen),
            kept=sum(trial in ids for trial, *_ in seen),
            doubled=sum(count - 1 for count in repeated.values()),
            states=tuple(row["state"] for row in rows),
            spent_s=sum(row["spent"] for row in rows),
            ran_s=ran,
            logged=sum(line["event"] == "lost" for line in store.job_log()),
            problems=len(check(store)),
            reasons=tuple(str(line["data"]["reason"]) for line in store.job_log() if "reason" in line["data"]),
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
        told = fail(Path(made), count, (4, 8), count // 2 + 1, print)
    print(json.dumps(asdict(told), indent=2))
