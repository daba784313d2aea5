"""``tuner.tune``: from Python what ``headstart tune`` does for a model, for one computation."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart_runtime.kernel import Kernel
from schedules.operator import Operator
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target, resolve
from targets.errors import HeadstartError, InputError
from tuner.compile import compile_kernel
from tuner.job import Budget, Job
from tuner.local_executor import LocalExecutor
from tuner.task import load_task
from tuner.tasks import register
from tuning_db.records import Policy, Trial
from tuning_db.store import Store

if TYPE_CHECKING:
    from tvm import tirx

CACHES = ("warm", "cold")


@dataclass(frozen=True)
class TuneResult:
    """What tuning one workload came to.

    Attributes:
        workload, target: what was tuned, for which chip.
        champion: the best schedule.
        champion_seconds, default_seconds: median seconds of a call with the best and with the default schedule;
            default_seconds is None where the default schedule failed.
        trials: every trial of the workload in the database, oldest first, failures included.
        callable: the champion, compiled in this process: ``out = result.callable(a, w)``.
    """

    workload: Workload
    target: Target
    champion: Schedule
    champion_seconds: float
    default_seconds: float | None
    trials: tuple[Trial, ...]
    callable: Kernel

    @property
    def speedup(self) -> float | None:
        """Default over champion."""
        return None if self.default_seconds is None else self.default_seconds / self.champion_seconds


def tune(
    what: Operator | Workload | tirx.PrimFunc,
    target: str = "host",
    trials: int = 64,
    db: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    seconds: float | None = None,
    cache: str = "warm",
) -> TuneResult:
    """Search the best schedule of a computation on this machine.

    Candidates are built and timed in a worker process, so that one that crashes harms nothing here. On Ctrl-C the
    search ends and what it found so far is returned.

    Args:
        what: an operator, a workload, or any PrimFunc that can be scheduled (static shapes, inputs then outputs).
        target: a name for the chip of this machine.
        trials: how many schedules to have tried in all, those that the database has already included.
        db: database file to carry on from and to keep every trial in; None keeps nothing.
        seed: of the search, to repeat one.
        seconds: stop after this long, too.
        cache: ``warm`` times calls on the same arrays again and again, ``cold`` has all arrays but the first
            flushed from the caches before each call, as weights are in decoding.

    Raises:
        InputError: bad arguments, a PrimFunc that cannot be tuned, a database that cannot be opened.
        HeadstartError: no schedule ran and gave right outputs; the message has the first reason.
    """
    workload, chip = _workload(what), resolve(target)
    if chip != resolve("host"):
        raise InputError(
            f"target {target} is not the chip of this machine, whose kernels tune() makes; see headstart tune"
        )
    if trials < 1 or (seconds is not None and not seconds > 0):
        raise InputError(f"trials and seconds must be more than nothing, not {trials} and {seconds}")
    if cache not in CACHES:
        raise InputError(f"cache is {cache!r}, must be {' or '.join(CACHES)}")
    policy = Policy(cache, chip.cores)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headstart-")) if db is None else None
        store = stack.enter_context(Store.open(Path(folder, "tune.db") if folder else Path(db or "")))
        executor = stack.enter_context(LocalExecutor(chip, policy))
        task = load_task(store, workload, chip, policy, register(store, chip, policy))
        job = Job(store, executor, [task], Budget(seconds, trials), seed=seed)
        job.run()
        key = task.key
        made = tuple(store.trials(key.workload, key.target, key.toolchain, key.policy))
    if task.champion is None or task.champion_s is None:
        if job.interrupted:
            raise KeyboardInterrupt
        reason = job.failures.get(workload.id) or next((f"{t.status.value}: {t.error}" for t in made), "no time")
        raise HeadstartError(f"{workload.operator} {workload.label}: no schedule ran ({reason})")
    compiled = compile_kernel(workload, task.champion, chip)
    return TuneResult(workload, chip, task.champion, task.champion_s, task.default_s, made, compiled)


def _workload(what: Any) -> Workload:
    if isinstance(what, Workload):
        return what
    if isinstance(what, Operator):
        return Workload.of(what)
    from tvm import tirx

    if isinstance(what, tirx.PrimFunc):
        from schedules.recognise import workload_of

        return workload_of(what)
    raise InputError(f"cannot tune a {type(what).__name__}: pass an operator, a workload or a TVM PrimFunc")
