"""A job for a model at several steps: it tunes each, and measures what is best moved to other numbers of rows.

First what is best for one of the steps is tried for the others, so that a layout of the weights that is best somewhere
is known everywhere, as far as it can be. Then, between the row counts that were asked for, those are measured whose
plan loses most, with the default schedule and the best schedules of their neighbours: a few trials each, no search.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from schedules.schedule import Schedule
from tuner.executor import DeviceGone, Executor
from tuner.frontend.model import Model
from tuner.job import Budget, Job
from tuner.lanes import Lane, Visit
from tuner.row_families import Family, Measured, elsewhere, families_of, measured, moved
from tuner.row_selecting import KERNELS
from tuner.task import Task, load_task
from tuner.tasks import register
from tuning_db.row_plan import wanted
from tuning_db.store import Store

# Of a budget of time, what the steps that were asked for get.
SHARE = 0.6
# Moved schedules that are tried for a number of rows, besides the default.
TRIES = 3
# What a kernel for more row counts must gain where it gains most.
WORTH = 0.1


@dataclass(eq=False)
class _Between:
    """A family whose rows in between are being measured.

    Attributes:
        waiting: numbers of rows that were asked for and not yet compared by layouts.
        done: numbers of rows that need no more trials.
    """

    found: Measured
    waiting: list[int]
    done: set[int] = field(default_factory=set)

    @cached_property
    def layouts(self) -> tuple[str | None, ...]:
        """Of the weights, that rows in between are measured for; from when all that wait were compared."""
        return self.found.layouts()

    def next(self) -> int | None:
        """The number of rows to measure, None where nothing would be worth it."""
        if self.waiting:
            return self.waiting[0]
        costs = self.found.costs(self.layouts)
        done = self.done | set(costs.kernels) if costs else set()
        if costs is None or len(done) >= KERNELS:
            return None
        return wanted(costs, self.found.family.most, done, WORTH)


def job_for(
    store: Store, executor: Executor, tasks: Sequence[Task], budget: Budget, models: Sequence[Model], **rest: Any
) -> Job:
    """A job for the tasks of a model at one step or several; ``rest`` as ``Job`` takes it."""
    families = families_of(models)
    if not families:
        return Job(store, executor, tasks, budget, **rest)
    return RowJob(store, executor, tasks, budget, families, **rest)


class RowJob(Job):
    """A job that goes on to the rows between the steps of its tasks; see ``Job`` for the rest."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        tasks: Sequence[Task],
        budget: Budget,
        families: Sequence[Family],
        **rest: Any,
    ) -> None:
        super().__init__(store, executor, tasks, budget, **rest)
        self._tools = register(store, executor.target, executor.policy)
        self._unread = deque(families)
        self._families: deque[_Between] = deque()
        self._visiting: dict[str, tuple[_Between, int]] = {}

    def _next(self) -> Task | None:
        task, seconds = super()._next(), self.budget.seconds
        early = seconds is None or self.budget.spent < SHARE * seconds
        if task is not None and (early or task.champion is None):
            return task
        return self._between() or task

    def _between(self) -> Task | None:
        """The next number of rows of the next family that wants one."""
        target, policy = self.executor.target, self.executor.policy
        visited = [family for family, _ in self._visiting.values()]
        while self._unread or (free := [family for family in self._families if family not in visited]):
            if self._unread:
                found = measured(self.store, self._unread.popleft(), target, policy, self._tools)
                layouts = {options[0].layout for options in found.options.values() if options}
                family = _Between(found, [rows for rows in found.family.asked if len(layouts) > 1])
            else:
                family = free[0]
                self._families.remove(family)
            rows = family.next()
            if rows is not None:
                self._families.append(family)
                workload = family.found.family.workload(rows)
                task = load_task(self.store, workload, target, policy, self._tools, family.found.family.calls)
                self._visiting[workload.id] = family, rows
                return task
        return None

    def _schedules(self, task: Task) -> list[Schedule]:
        if task.workload.id not in self._visiting:
            return super()._schedules(task)
        family, rows = self._visiting[task.workload.id]
        if rows in family.waiting:
            schedules = elsewhere(family.found, task, rows)
        else:
            schedules = moved(family.found, task, rows, family.layouts, TRIES)
        return task.untried(schedules)

    def _visit(self, lane: Lane, task: Task) -> Visit[None]:
        try:
            yield from super()._visit(lane, task)
        except DeviceGone:
            self._visiting.pop(task.workload.id, None)
            raise
        finally:
            if task.workload.id in self._visiting:
                family, rows = self._visiting.pop(task.workload.id)
                family.found.take(rows, task)
                if rows in family.waiting:
                    family.waiting.remove(rows)
                else:
                    family.done.add(rows)
