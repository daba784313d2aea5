"""Trials a second that a job gets from so many devices: ``python -m tests.tuner.cluster.scaling [1,2,4,8,16,32,64]``.

Devices are stubs that take a tenth of a second a trial (``stub.py``); the search, the bookkeeping and the database are
the real ones. ``python -m tests.tuner.cluster.scaling real`` compares executors instead: this machine's chip through
``LocalExecutor``, and through a cluster of this machine.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import psutil

from schedules.operators.linear import Linear
from schedules.workload import Workload
from targets import detect
from tests.tuner.cluster import stub
from tests.tuner.cluster.clusters import cluster
from tests.tuner.cluster.tuning import tune
from tuner.cluster.connection import resource
from tuner.cluster.executor import RayExecutor
from tuner.job import Budget, Job
from tuner.task import load_task
from tuner.tasks import register
from tuning_db.records import Policy
from tuning_db.store import Store

CHIP = dataclasses.replace(detect.host(), name="stub", cores=detect.host().cores + 7)
POLICY = Policy("warm", CHIP.cores)
MODEL = [Linear(m, n, k) for m in (4, 16, 64) for n in (256, 512) for k in (256, 512)]
SECONDS = 20.0


class StubExecutor(RayExecutor):
    """A cluster whose devices are stubs."""

    measurer = stub.StubMeasurer


def measure(address: str, devices: int, db: Path) -> tuple[float, float]:
    """Trials a second that a job of ``SECONDS`` gets, and seconds of the job's processor for each."""
    with Store.open(db) as store, StubExecutor(address, CHIP, POLICY) as executor:
        tools = register(store, CHIP, POLICY)
        tasks = [load_task(store, Workload.of(op), CHIP, POLICY, tools) for op in MODEL]
        for task in tasks:
            task.floor_s = 0.0
        while len(executor.devices()) < devices:
            time.sleep(0.2)
        before, start = psutil.Process().cpu_times(), time.monotonic()
        job = Job(store, executor, tasks, Budget(seconds=SECONDS), seed=0)
        job.id = store.start_job({})
        job._run()
        spent, after = time.monotonic() - start, psutil.Process().cpu_times()
        made = sum(1 for _ in store.trials())
    cpu = after.user + after.system - before.user - before.system
    return made / spent, cpu / made


def stubs(numbers: list[int]) -> None:
    """Print a row for each number of devices."""
    print("devices  trials/s  of ideal  job's CPU per trial")
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder, cluster({resource(CHIP): float(number)}, cpus=0) as made:
            rate, cpu = measure(made.address, number, Path(folder) / "x.db")
        print(f"{number:7}  {rate:8.1f}  {rate * stub.TRIAL_S / number:8.0%}  {1e3 * cpu:.1f} ms", flush=True)


def real() -> None:
    """Print what this machine's own executor and a cluster of this machine come to."""
    for name, address in (("local executor", None), ("--ray local", "local")):
        with tempfile.TemporaryDirectory() as folder:
            db = Path(folder) / "x.db"
            tune("host", address, db, 48, 0)
            with Store.open(db) as store:
                spans = [(t.evidence["began"], t.evidence["ended"]) for t in store.trials()]
        spent = max(end for _, end in spans) - min(start for start, _ in spans)
        print(f"{name}: {len(spans) / spent:.2f} trials/s from the first to the last", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["real"]:
        real()
    else:
        stubs([int(number) for number in (sys.argv[1] if sys.argv[1:] else "1,2,4,8,16,32,64").split(",")])
