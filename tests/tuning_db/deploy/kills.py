"""End a pull at random moments, again and again: what is there is the old bundle or the new one, whole.

``python -m tests.tuning_db.deploy.kills [PULLS]`` does it 50 times and prints what was seen.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.tuning_db.deploy.depot import Depot, library, pull
from tests.tuning_db.selecting import SELECTION, candidate, kernel
from tuning_db.deploy.lock import needed_lock
from tuning_db.selection import Selection

PULL = """
import sys, time
from pathlib import Path
from tests.tuning_db.deploy.depot import pull
print("ready", flush=True)
sys.stdin.readline()
begun = time.monotonic()
pull(Path(sys.argv[1]), sys.argv[2])
print(time.monotonic() - begun, flush=True)
"""


class Process:
    """A pull in a process of its own, which begins when it is told to."""

    def __init__(self, folder: Path, url: str) -> None:
        command = [sys.executable, "-c", PULL, str(folder), url]
        paths = {"PYTHONPATH": ":".join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=paths, cwd=Path(__file__).parents[3]
        )
        assert self._process.stdout
        assert self._process.stdin
        assert self._process.stdout.readline() == "ready\n"

    def end(self, after: float | None) -> float | None:
        """Let it begin, and end it with SIGKILL after so many seconds; how long it took where it was sooner."""
        assert self._process.stdout
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        if after is not None:
            time.sleep(after)
            self._process.kill()
        told = self._process.stdout.readline()
        self._process.communicate()
        return float(told) if told else None


def generation(number: int) -> tuple[Selection, bytes]:
    """A selection and a library that no other generation has."""
    other = replace(SELECTION, kernels=(kernel(1, candidate("reproduced", number, 1e-3)), kernel(2)))
    return other, number.to_bytes(4, "big") * 500_000


def kill_pulls(folder: Path, count: int, seed: int = 1) -> Counter[str]:
    """End so many pulls of a new bundle over an old one; how often which was there afterwards.

    Raises:
        AssertionError: what is there is neither, or not whole, or the next pull does not mend it.
    """
    chance, seen = random.Random(seed), Counter[str]()
    with Depot() as depot:
        made = [depot.publish(*generation(0))]
        depot.sign()
        pull(folder, depot.url)
        took = Process(folder / "first", depot.url).end(None)
        assert took is not None
        for number in range(1, count + 1):
            depot.targets["targets"].clear()
            made = [made[-1], depot.publish(*generation(number))]
            depot.sign()
            whole = Process(folder, depot.url).end(chance.uniform(0, took)) is not None
            old, new = generation(number - 1)[1], generation(number)[1]
            there = {old: "old", new: "new"}[library(folder)]
            pinned = {made[0].bundle: "old", made[1].bundle: "new"}[
                needed_lock(folder / "headstart.lock").bundle.bundle
            ]
            seen["came to its end" if whole else f"killed: {there} bundle, {pinned} lock file"] += 1
            pull(folder, depot.url)
            assert library(folder) == new
            assert needed_lock(folder / "headstart.lock").bundle == made[1]
    return seen


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        many = int(sys.argv[1]) if len(sys.argv) > 1 else 50
        print(dict(kill_pulls(Path(scratch), many, seed=int(time.time()))))
