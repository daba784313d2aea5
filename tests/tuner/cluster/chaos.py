"""A model is tuned on two kinds of chip of a cluster of four nodes, while what runs there is killed at random.

``python -m tests.tuner.cluster.chaos KILLS [TRIALS] [CHIP]`` prints what it found, and fails where a finished trial was
lost or doubled, where a device ran two measurements at once, or where the job did not end. What is killed is a
measurer, the process that one runs kernels in, a whole node (another joins for it), or the job itself, which is started
again. The same model is tuned before that with nothing killed, and in the end the champions of both runs are timed in
turns: times that were taken while nodes came and went tell little. The chips are this machine's and one that the tests
play, or CHIP, such as kunpeng-920 under an emulator.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from schedules.schedule import Schedule
from schedules.workload import Workload
from tests.tuner.cluster import clusters
from tests.tuner.cluster.clusters import carrying, chips, cluster
from tests.tuner.cluster.tuning import MODEL
from tuner.executors import executor_for
from tuning_db.check import check
from tuning_db.records import Policy, Status, Trial
from tuning_db.store import Store

# The nodes beside the head: the host's one device, and the two of the second chip on two nodes.
NODES: tuple[Mapping[str, int], ...] = ({"host": 1}, {"second": 1}, {"second": 1})
CHIPS = ("host", "second")
# Each is killed once, in this order, and then by chance.
WHAT = ("measurer", "node", "job", "kernels")


class Chaos:
    """One cluster with its jobs; ``killed`` counts what was killed."""

    def __init__(
        self,
        made: Any,
        nodes: Sequence[Mapping[str, int]],
        folder: Path,
        trials: int,
        seed: int,
        chips: Sequence[str] = CHIPS,
    ) -> None:
        self.chips = chips
        self.cluster, self.folder, self.trials = made, folder, trials
        self.rng = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.jobs: dict[str, subprocess.Popen[bytes]] = {}
        self.nodes = list(zip(made.workers, nodes, strict=True))

    def tune(self, name: str, kills: int, most_s: float = 3600.0) -> None:
        """Tune on both chips at once; kill something whenever there are more trials, ``kills`` times."""
        end = time.monotonic() + most_s
        for chip in self.chips:
            self._start(chip, name)
        seen: dict[str, list[str]] = {chip: [] for chip in self.chips}
        last = 0
        while any(job.poll() is None for job in self.jobs.values()) or self.killed.total() < kills:
            assert time.monotonic() < end, f"not done after {most_s:.0f} s: {self.killed}"
            time.sleep(self.rng.uniform(0.5, 2.5))
            for chip, job in self.jobs.items():
                now = [trial.id for trial in self.kept(chip, name)]
                assert now[: len(seen[chip])] == seen[chip], "a finished trial is gone"
                seen[chip] = now
                assert job.poll() in (None, 0), (self.folder / f"{name}-{chip}.log").read_text()[-2000:]
            made = sum(map(len, seen.values()))
            if self.killed.total() < kills:
                assert any(job.poll() is None for job in self.jobs.values()), f"done after {self.killed}: more trials"
                if made > last:
                    self._kill(name)
                    last = made

    def kept(self, chip: str, name: str) -> list[Trial]:
        """The trials of a job, in order."""
        path = self.folder / f"{name}-{chip}.db"
        if not path.exists():
            return []
        with Store.open(path) as store:
            return list(store.trials())

    def _start(self, chip: str, name: str) -> None:
        command = [chip, self.cluster.address, str(self.folder / f"{name}-{chip}.db"), str(self.trials), "0"]
        log = (self.folder / f"{name}-{chip}.log").open("ab")
        self.jobs[chip] = subprocess.Popen(
            [sys.executable, "-m", "tests.tuner.cluster.tuning", *command], stdout=log, stderr=log
        )

    def _kill(self, name: str) -> None:
        what = WHAT[self.killed.total()] if self.killed.total() < len(WHAT) else self.rng.choice(WHAT)
        if what == "job":
            chip = self.rng.choice([chip for chip in self.chips if self.jobs[chip].poll() is None])
            self.jobs[chip].kill()
            self.jobs[chip].wait()
            self._start(chip, name)
        elif what == "node":
            at = self.rng.randrange(len(self.nodes))
            node, has = self.nodes[at]
            self.cluster.remove_node(node, allow_graceful=False)
            self.nodes[at] = self.cluster.add_node(num_cpus=0, resources=carrying(has)), has
        elif (process := self._process(what)) is not None:
            process.kill()
        else:
            return
        self.killed[what] += 1

    def _process(self, what: str) -> psutil.Process | None:
        """A measurer, or the process that one runs kernels in."""
        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                measures = "ray::Measurer" in " ".join(process.cmdline())
                found += [process] if measures and what == "measurer" else process.children() if measures else []
            except psutil.Error:
                continue
        return self.rng.choice(found) if found else None


def overlaps(trials: list[Trial]) -> list[str]:
    """Devices that measured twice at once, by what the trials say."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for trial in trials:
        spans[trial.evidence["device"]].append((trial.evidence["began"], trial.evidence["ended"]))
    return [
        device
        for device, found in spans.items()
        for before, after in zip(sorted(found), sorted(found)[1:], strict=False)
        if after[0] < before[1]
    ]


def verify(chaos: Chaos, name: str) -> dict[str, dict[str, Any]]:
    """What must be true of the trials of a run; by chip, figures of it."""
    found: dict[str, dict[str, Any]] = {}
    everything = []
    for chip in chaos.chips:
        trials = [trial for trial in chaos.kept(chip, name) if "device" in trial.evidence]
        new = Counter((t.key.workload, t.schedule) for t in chaos.kept(chip, name) if not t.evidence.get("again"))
        twice = {key for key, number in new.items() if number > 1}
        assert new and not twice, [t for t in chaos.kept(chip, name) if (t.key.workload, t.schedule) in twice]
        assert set(Counter(workload for workload, _ in new).values()) == {chaos.trials}
        with Store.open(chaos.folder / f"{name}-{chip}.db") as store:
            assert check(store) == []
            rows = [store.champion(key) for key in {trial.key for trial in trials}]
        champions = {trial.key.workload: trial.median for trial in rows if trial is not None and trial.median}
        failed = Counter(trial.status.value for trial in trials if trial.status is not Status.OK)
        found[chip] = {"champions": champions, "failed": dict(failed), "devices": Counter()}
        found[chip]["devices"].update(trial.evidence["device"] for trial in trials)
        everything += trials
    assert overlaps(everything) == [], "a device measured twice at once"
    return found


def compared(chaos: Chaos, chip: str) -> list[float]:
    """The champions of the killed run against those of the quiet one, timed in turns here after all is over: ratios."""
    target = clusters.chip(chip)
    policy, found = Policy("warm", target.cores), []
    with executor_for(target, policy, None) as executor:
        for workload in map(Workload.of, MODEL):
            quiet, killed = (_champion(chaos.folder / f"{name}-{chip}.db", workload) for name in ("quiet", "killed"))
            session = executor.devices()[0].open(workload, 0)
            session.incumbent(quiet)
            outcome = session.trial(killed)
            assert outcome.status is Status.OK, outcome.error
            found += [statistics.median(outcome.ratios)] if outcome.ratios else []
    return found


def _champion(db: Path, workload: Workload) -> Schedule:
    with Store.open(db) as store:
        (row,) = store.champions(workload=workload.id)
        return Schedule(*store.schedule(store.trial(row["trial"]).schedule))


def run(kills: int, trials: int, seed: int, second: str) -> dict[str, Any]:
    """Tune quietly, and again with so many kills; what was found."""
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        pytest.MonkeyPatch.context() as patch,
        chips(),
    ):
        patch.setenv("HEADSTART_LOCKS", f"{folder}/locks")
        return _run(Path(folder), kills, trials, seed, second)


def _run(folder: Path, kills: int, trials: int, seed: int, second: str) -> dict[str, Any]:
    nodes = [{second if name == "second" else name: number for name, number in has.items()} for has in NODES]
    with cluster(*map(carrying, nodes)) as made:
        chaos, result = Chaos(made, nodes, folder, trials, seed, ("host", second)), dict[str, Any]()
        for name, number in (("quiet", 0), ("killed", kills)):
            start = time.monotonic()
            chaos.tune(name, number)
            result[name] = verify(chaos, name) | {"seconds": time.monotonic() - start}
        kept = dict(chaos.killed)
    return result | {"kills": kept, "ratios": {chip: compared(chaos, chip) for chip in chaos.chips}}


def main() -> None:
    """By hand; see the module."""
    kills, trials = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 64
    second = sys.argv[3] if len(sys.argv) > 3 else "second"
    found = run(kills, trials, random.randrange(1 << 30), second)
    print(f"killed: {found['kills']}")
    for name in ("quiet", "killed"):
        print(f"{name}: {found[name]['seconds']:.0f} s")
        for chip in ("host", second):
            of = found[name][chip]
            print(f"  {chip}: failed {of['failed']}, trials by device {dict(of['devices'])}")
    for chip, ratios in found["ratios"].items():
        mean = f"{statistics.geometric_mean(ratios):.2f}" if ratios else "none: not timed"
        told = [round(ratio, 2) for ratio in ratios]
        print(f"{chip}: champions against those of the quiet run, in turns: {told}, mean {mean}")


if __name__ == "__main__":
    main()
