"""A report: what tuning a model came to, as one page of HTML. The data is here, plots and page beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from targets import Target
from tuner.frontend.model import Model
from tuner.policy import policy_for
from tuner.reigns import reigns
from tuner.summary import Summary, summarise
from tuner.tasks import known_tasks
from tuner.toolchain import toolchain
from tuning_db.records import Policy, Toolchain, Trial
from tuning_db.store import Store


@dataclass(frozen=True)
class Report:
    """Everything that the page shows, as it was when the database was read.

    Attributes:
        trials: by workload id, in the order in which they were made.
        database: where they are kept.
    """

    model: Model
    target: Target
    policy: Policy
    toolchain: Toolchain
    summary: Summary
    trials: Mapping[str, Sequence[Trial]]
    database: str

    @property
    def every_trial(self) -> list[Trial]:
        """The trials of all workloads, oldest first."""
        return sorted((t for trials in self.trials.values() for t in trials), key=lambda trial: trial.created)

    @property
    def tried(self) -> Iterator[tuple[str, Trial]]:
        """Every trial with its operator."""
        for row in self.summary.rows:
            yield from ((row.operator, trial) for trial in self.trials.get(row.workload, ()))


def gather(store: Store, model: Model, target: Target, cache: str | None = None) -> Report:
    """Read what a database knows of a model on a target, with this machine's toolchain; writes nothing.

    ``cache`` is that of the policy, ``warm`` or ``cold``; the phase's own if not said.
    """
    policy = policy_for(model.step.phase, target, cache)
    tasks = known_tasks(store, model, target, policy)
    trials = {
        task.key.workload: list(store.trials(task.key.workload, task.key.target, task.key.toolchain, task.key.policy))
        for task in tasks
    }
    return Report(model, target, policy, toolchain(target), summarise(model, tasks), trials, str(store.path))


def champions(trials: Sequence[Trial]) -> list[tuple[int, float]]:
    """Number (from 1) and median seconds of each trial that became champion: the first good one, then each winner.

    A fast trial that did not beat the champion of the moment in a direct comparison is not among them; the champion
    itself is, where it was timed again and came out faster.
    """
    timed = ((reign.number, reign.trial.median) for reign in reigns(trials))
    return [(number, median) for number, median in timed if median is not None]
