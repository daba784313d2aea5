"""End pulls, again and again: what is there is the old bundle or the new one, whole.

``python -m tests.tuning_db.deploy.kills [PULLS]`` ends 50 of them at random moments, then one just before each change
that a pull makes to files: new things are put into their places within a hundredth of it, which few moments hit.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from tests.tuning_db.deploy.depot import Depot, library, pull
from tests.tuning_db.selecting import SELECTION, candidate, kernel
from tuning_db.deploy.lock import needed_lock
from tuning_db.selection import Selection

PULL = """
import os, signal, sys, time
from pathlib import Path
from tests.tuning_db.deploy.depot import pull

changes, last = 0, int(sys.argv[3])
def change(event, arguments):
    global changes
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link") or event == "open" and (
        isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    ):
        if changes == last:
            os.kill(os.getpid(), signal.SIGKILL)
        changes += 1

print("ready", flush=True)
sys.stdin.readline()
sys.addaudithook(change)
begun = time.monotonic()
pull(Path(sys.argv[1]), sys.argv[2])
print(time.monotonic() - begun, changes, flush=True)
"""
NEVER = -1


class Process:
    """A pull in a process of its own, which begins when it is told to."""

    def __init__(self, folder: Path, url: str, change: int = NEVER) -> None:
        """With the number of a change of files before which it ends itself."""
        command = [sys.executable, "-c", PULL, str(folder), url, str(change)]
        paths = {"PYTHONPATH": ":".join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=paths, cwd=Path(__file__).parents[3]
        )
        assert self._process.stdout
        assert self._process.stdin
        assert self._process.stdout.readline() == "ready\n"

    def end(self, after: float | None = None) -> tuple[float, int] | None:
        """Let it begin, and end it with SIGKILL after so many seconds.

        Returns:
            How long it took and how many changes it made, where it came to its end; None where it was ended.
        """
        assert self._process.stdout
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        if after is not None:
            time.sleep(after)
            self._process.kill()
        told = self._process.stdout.readline().split()
        self._process.communicate()
        return (float(told[0]), int(told[1])) if told else None


def generation(number: int) -> tuple[Selection, bytes]:
    """A selection and a library that no other generation has."""
    other = replace(SELECTION, kernels=(kernel(1, candidate("reproduced", number, 1e-3)), kernel(2)))
    return other, number.to_bytes(4, "big") * 500_000


def kill_pulls(folder: Path, moments: int, changes: Callable[[int], Iterable[int]], seed: int = 1) -> Counter[str]:
    """End pulls of a new bundle over an old one; how often which was there afterwards.

    Args:
        folder: where to.
        moments: how many to end at random moments.
        changes: of how many changes a pull makes, the numbers of those before which to end one each.
        seed: of the moments.

    Raises:
        AssertionError: what is there is neither, or not whole, or the next pull does not mend it.
    """
    chance, seen = random.Random(seed), Counter[str]()
    with Depot() as depot:
        made = [depot.publish(*generation(0))]
        depot.sign()
        pull(folder, depot.url)

        def publish() -> None:
            depot.targets["targets"].clear()
            made.append(depot.publish(*generation(len(made))))
            depot.sign()

        publish()
        undisturbed = Process(folder, depot.url).end()
        assert undisturbed
        took, steps = undisturbed
        for change in [*[NEVER] * moments, *changes(steps)]:
            publish()
            process = Process(folder, depot.url, change)
            whole = process.end(chance.uniform(0, took) if change == NEVER else None)
            old, new = (generation(number)[1] for number in (len(made) - 2, len(made) - 1))
            there = {old: "old", new: "new"}[library(folder)]
            locked = needed_lock(folder / "headstart.lock").bundle.bundle
            pinned = {made[-2].bundle: "old", made[-1].bundle: "new"}[locked]
            if whole is None:
                seen[f"killed: {there} bundle, {pinned} lock file"] += 1
            else:
                seen["came to its end"] += 1
                assert (there, pinned) == ("new", "new")
            pull(folder, depot.url)
            assert library(folder) == new
            assert needed_lock(folder / "headstart.lock").bundle == made[-1]
    return seen


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        many = int(sys.argv[1]) if len(sys.argv) > 1 else 50
        print(dict(kill_pulls(Path(scratch), many, range, seed=int(time.time()))))
