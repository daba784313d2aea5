"""A job of its own process: ``python -m tests.tuner.cluster.tuning CHIP ADDRESS DATABASE TRIALS SEED``.

What ``headstart tune`` does for a model, for a chip that only these tests have, or for the host.
"""

from __future__ import annotations

import sys
from pathlib import Path

from schedules.operators.linear import Linear
from schedules.operators.rmsnorm import RmsNorm
from schedules.workload import Workload
from tests.tuner.cluster import clusters
from tuner.executors import executor_for
from tuner.job import Budget, Job
from tuner.task import load_task
from tuner.tasks import register
from tuning_db.records import Policy
from tuning_db.store import Store

MODEL = [Linear(4, 64, 128), Linear(16, 128, 64), RmsNorm(16, 256)]


def tune(chip: str, address: str | None, db: Path, trials: int, seed: int) -> None:
    """So many trials of each workload, on a cluster or, without an address, on this machine."""
    target = clusters.chip(chip)
    policy = Policy("warm", target.cores)
    with Store.open(db) as store, executor_for(target, policy, ray=address) as executor:
        tools = register(store, target, policy)
        tasks = [load_task(store, Workload.of(op), target, policy, tools) for op in MODEL]
        for task in tasks:
            task.within = -1.0  # not done before its trials are
            task.spaces = {name: space for name, space in task.spaces.items() if name != "hostile"}
        job = Job(store, executor, tasks, Budget(trials=trials), seed=seed)
        job.run()
        assert not job.failures, job.failures


if __name__ == "__main__":
    with clusters.chips():
        tune(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
