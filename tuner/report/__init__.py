"""A report: what tuning a model came to, as one page of HTML. The data is here, plots and page beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from targets import Target
from tuner.frontend.model import Model
from tuner.reigns import reigns
from tuner.summary import Row, Summary, summarise
from tuner.tasks import known_tasks, policy_for
from tuner.toolchain import toolchain
from tuning_db.records import Policy, Status, Toolchain, Trial
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


@dataclass(frozen=True)
class Failures:
    """Trials that ended the same way: how many, of which operators, and the reasons given, most frequent first."""

    status: Status
    trials: int
    operators: tuple[str, ...]
    reasons: tuple[tuple[str, int], ...]


def failures(rows: Iterable[Row], trials: Mapping[str, Sequence[Trial]], most: int = 5) -> list[Failures]:
    """Failed trials by status, with the ``most`` frequent reasons of each."""
    operators: dict[Status, Counter[str]] = {}
    reasons: dict[Status, Counter[str]] = {}
    for row in rows:
        for trial in trials.get(row.workload, ()):
            if trial.status is not Status.OK:
                operators.setdefault(trial.status, Counter())[row.operator] += 1
                reasons.setdefault(trial.status, Counter())[trial.error] += 1
    found = [
        Failures(
            status,
            count.total(),
            tuple(name for name, _ in count.most_common()),
            tuple(reasons[status].most_common(most)),
        )
        for status, count in operators.items()
    ]
    return sorted(found, key=lambda failed: -failed.trials)
