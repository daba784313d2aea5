"""Headstart's own entry: the champion of a database, or one that is searched for now."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from schedules.schedule import Schedule
from targets import Target
from targets.errors import HeadstartError
from tuner.bench.cases import Case
from tuner.job import Budget, Event, Job
from tuner.local_executor import LocalExecutor
from tuner.task import load_task
from tuner.tasks import register
from tuning_db.records import Policy
from tuning_db.store import Store


@dataclass(frozen=True)
class Tuned:
    """The best schedule that Headstart knows of a workload.

    Attributes:
        schedule: the champion.
        trials: schedules that were tried for it, failures included.
        seconds: how long the search took that was made now; None where the database had a champion.
        history: the champions of that search, with the seconds into it at which they became one.
    """

    schedule: Schedule
    trials: int
    seconds: float | None = None
    history: tuple[tuple[float, Schedule], ...] = ()

    def at(self, seconds: float) -> Schedule | None:
        """The champion that many seconds into the search; None before the first."""
        found = [schedule for crowned, schedule in self.history if crowned <= seconds]
        return found[-1] if found else None


@dataclass(frozen=True)
class Search:
    """How to tune.

    Attributes:
        db: database to look in and to keep trials in; None starts from nothing and keeps nothing.
        budget: trials, and seconds, of each workload; None twice takes the champion that the database has.
        seed: of the search.
    """

    db: Path | None = None
    trials: int | None = None
    seconds: float | None = None
    seed: int = 0


# Trials where nobody says how many.
TRIALS = 64


def tuned(case: Case, target: Target, search: Search, folder: str, listener: Callable[[Event], None]) -> Tuned:
    """The champion of the database, or what a search comes to.

    Args:
        target: the chip of this machine.
        folder: for a database that is not kept.
        listener: called after each trial.

    Raises:
        HeadstartError: no schedule ran and gave right outputs.
    """
    policy = Policy(case.cache, target.cores)
    path = search.db or Path(folder, f"seed{search.seed}-{case.workload.id}-{case.cache}.db")
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(path))
        task = load_task(store, case.workload, target, policy, register(store, target, policy))
        asked = search.trials is not None or search.seconds is not None
        if task.champion is not None and not asked:
            return Tuned(task.champion, task.tried)
        executor = stack.enter_context(LocalExecutor(target, policy))
        history: list[tuple[float, Schedule]] = []
        start = time.monotonic()

        def watch(event: Event) -> None:
            if event.crowned:
                history.append((time.monotonic() - start, event.schedule))
            listener(event)

        budget = Budget(search.seconds, search.trials if asked else TRIALS)
        job = Job(store, executor, [task], budget, listener=watch, seed=search.seed)
        job.run()
        spent = time.monotonic() - start
    if job.interrupted:
        raise KeyboardInterrupt
    if task.champion is None:
        reason = job.failures.get(task.workload.id, "none of the schedules that were tried was right")
        raise HeadstartError(f"{case.name}: nothing to compare with: {reason}")
    return Tuned(task.champion, task.tried, spent, tuple(history))
