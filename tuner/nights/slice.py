"""A slice: the part of a job's budget that it gets at once, and how far that brings it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuner.job import Budget
from tuner.task import Task


@dataclass
class Slice(Budget):
    """A budget of which only a part may be spent now.

    Attributes:
        used: seconds that were spent in earlier slices.
        up: told how many seconds the slice has had, says whether that is enough. They count from the first question
            whether it is over: getting ready is the job's time, but every slice gets to its trials.
        ended: whether it was the slice that ended, and not the budget.
    """

    used: float = 0.0
    up: Callable[[float], bool] = lambda had: False
    ended: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.start -= self.used
        self._begun: float | None = None

    def over(self) -> bool:
        """Whether the slice, or the time of the job, is up."""
        if super().over():
            return True
        self._begun = self.clock() if self._begun is None else self._begun
        self.ended = self.ended or self.up(self.clock() - self._begun)
        return self.ended

    def progress(self, tasks: Sequence[Task]) -> float | None:
        """How much of the job is done, 0 to 1, by the limit that is nearest; None before there is a task."""
        if not tasks:
            return None
        done = []
        if self.seconds is not None:
            done.append(self.spent / self.seconds)
        if self.trials is not None:
            done.append(sum(1 if t.exhausted else min(t.tried / self.trials, 1) for t in tasks) / len(tasks))
        if self.within is not None:
            done.append(sum(t.gain == 0 for t in tasks) / len(tasks))
        return min(max(done), 1.0)
