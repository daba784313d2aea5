"""A job spends a budget of time or trials on tasks, where a model gains most, and writes down every trial."""

from __future__ import annotations

import getpass
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schedules.schedule import Schedule
from schedules.space import spaces_on
from targets.errors import HeadstartError, one_line
from tuner.backends import is_untimed
from tuner.cost_model import CostModel, Example, all_examples
from tuner.evaluate import hold_out, metrics
from tuner.executor import DeviceGone, Executor, Outcome
from tuner.lanes import Lane, Visit, drive
from tuner.learner import Learner
from tuner.propose import EVERYTHING, Strategy, opening, propose
from tuner.task import DEFAULT, Task
from tuner.visit import Event, TaskVisit
from tuning_db.store import Store

# Trials in a visit to a task; loading its inputs again for fewer would cost more than it gains.
VISIT = 8
FIRST = 4
# In the first visit where nothing is timed: the default, and what is guessed to be best.
GUESSED = 2
# Seconds of a call up to which the default schedule is timed a second time.
CHEAP_S = 0.1
# Trials in a row without a new champion after which a job that has all the time there is gives a task up.
HOPELESS = 256
# New trials after which the cost model learns again.
RELEARN = 8
# Seconds between two signs of life.
BEAT_S = 1.0
# Trials up to which a job ends with finding out how good its model is; with more, nobody would want to wait.
WORTH_HOLDING_OUT = 3000


@dataclass
class Budget:
    """When to stop: whichever limit is reached first; None is no limit.

    Attributes:
        seconds: of the whole job.
        trials: of each task.
        within: of its floor that a task's champion is away, 0.05 for five percent; the task is done then, and the job
            when every task is. Where this is the only limit, a task is given up too after ``HOPELESS`` trials in a row
            that found nothing.
        clock: that seconds are read from.
    """

    seconds: float | None = None
    trials: int | None = None
    within: float | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.start = self.clock()

    @property
    def spent(self) -> float:
        """Seconds since the job began."""
        return self.clock() - self.start

    def over(self) -> bool:
        """Whether the time is up."""
        return self.seconds is not None and self.spent >= self.seconds

    def left_for(self, task: Task) -> int:
        """Trials that the task may still make in a visit."""
        if self.seconds is None and self.trials is None and task.idle >= HOPELESS:
            return 0
        return VISIT if self.trials is None else min(VISIT, self.trials - task.tried - len(task.pending))


class Job:
    """Tunes tasks, one visit at a time on each device.

    Args:
        store: where trials go; each is on disk before the next is asked for.
        executor: where they run.
        tasks: all for the executor's target and policy.
        listener: called after each trial.
        seed: of every random choice.
        strategy: what guides the search.
        learner: trains the cost model; by default one that starts from what the database keeps of earlier jobs.
        given: schedules by workload id: the job tries these, after the default, and searches for no others.
        id: of a job that the database has already, and whose state is the caller's; a new one unless said.
        asked: what else a new one keeps of what was asked for, JSON types.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        tasks: Sequence[Task],
        budget: Budget,
        *,
        listener: Callable[[Event], None] = lambda event: None,
        seed: int | None = None,
        strategy: Strategy = EVERYTHING,
        learner: Learner | None = None,
        given: Mapping[str, Sequence[Schedule]] | None = None,
        id: str = "",
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        self.store, self.executor, self.tasks, self.budget = store, executor, tasks, budget
        for task in tasks:
            task.within = budget.within if budget.within is not None else task.within
        self.listener = listener
        self.rng = np.random.default_rng(seed)
        self.strategy = strategy
        self.given = given
        self.learner = learner or Learner(CostModel.load(store, executor.target.kind, spaces_on(executor.target)))
        self.id = id
        self.asked = asked or {}
        self.failures: dict[str, str] = {}
        self.interrupted = False
        self._visits: Counter[str] = Counter()
        self._waiting: dict[str, list[Schedule]] = {}
        self._others: list[Example] = []
        self._unlearned = 0
        # How many devices visit a workload now.
        self._at: Counter[str] = Counter()
        # How many devices were lost with a schedule, by ids of workload and schedule.
        self.lost: Counter[tuple[str, str]] = Counter()
        self._beaten = 0.0
        self._author = getpass.getuser()

    def run(self) -> None:
        """Tune until the budget is spent, nothing is left to gain, or Ctrl-C; ``interrupted`` tells the last."""
        kept = bool(self.id)
        self.id = self.id or self.store.start_job(self._spec())
        state = "failed"
        try:
            self._run()
            state = "interrupted" if self.interrupted else "done"
        except KeyboardInterrupt:
            self.interrupted, state = True, "interrupted"
        finally:
            if not kept:
                self.store.finish_job(self.id, state)
        self._save_model()

    def stop(self) -> None:
        """End after the trial that is being taken, as by Ctrl-C."""
        self.interrupted = True

    def over(self) -> bool:
        """Whether the budget is spent, or nobody wants more."""
        return self.interrupted or self.budget.over()

    def _spec(self) -> dict[str, Any]:
        """What was asked for, for whoever reads the job later."""
        return {
            **self.asked,
            "workloads": [task.workload.id for task in self.tasks],
            "target": self.executor.target.fingerprint,
            "policy": self.executor.policy.to_json(),
            "seconds": self.budget.seconds,
            "trials": self.budget.trials,
            "within": self.budget.within,
        }

    def _run(self) -> None:
        self._others = all_examples(self.store, self.executor.target.kind, {t.workload.id for t in self.tasks})
        self._learn()
        if not self.learner.model.spaces:
            self.learner.wait()  # a moment, for better first trials; a model from earlier jobs is as good to begin with
        drive(self.executor, self)

    def visit(self, lane: Lane) -> Visit[None] | None:
        """The next visit of a lane; None where there is nothing for it now."""
        task = self._next()
        return None if task is None else self._guarded(lane, task)

    def beat(self) -> None:
        """Tell others that the job is alive."""
        if time.monotonic() - self._beaten >= BEAT_S:
            self._beaten = time.monotonic()
            if not self.store.heartbeat(self.id):
                self.stop()  # somebody cancelled it

    def _guarded(self, lane: Lane, task: Task) -> Visit[None]:
        """A visit that harms nobody but its task."""
        self._at[task.workload.id] += 1
        try:
            yield from self._visit(lane, task)
        except DeviceGone:
            pass  # what was not tried is tried on another
        except HeadstartError as error:
            # A workload that does not load (too big for this machine) must not end the night for the others.
            self.failures[task.workload.id] = str(error)
        except (RuntimeError, ValueError) as error:
            # Nor must a space that TVM refuses while it draws; these are the types of TVM's errors.
            self.failures[task.workload.id] = one_line(error)
        finally:
            self._at[task.workload.id] -= 1

    def _next(self) -> Task | None:
        """First every task once, small ones first; then by what a second of trials is likeliest to gain.

        Until a task has a champion, one device is enough for it; then any number may be, where others gain less.
        """
        able = [t for t in self.tasks if t.workload.id not in self.failures and self.budget.left_for(t) > 0]
        fresh = [t for t in able if t.champion is None and not t.exhausted and not self._at[t.workload.id]]
        if fresh:
            return min(fresh, key=lambda t: t.workload.bytes)
        able = [t for t in able if t.champion is not None and t.gain > 0]
        return max(able, key=lambda t: t.gain / t.trial_s / (1 + self._at[t.workload.id])) if able else None

    def _visit(self, lane: Lane, task: Task) -> Visit[None]:
        start, visit = self.budget.clock(), TaskVisit(self, lane, task)
        schedules = self._schedules(task)
        if not schedules:
            return  # nothing to load a workload or to time a champion again for
        try:
            yield from visit.tries(schedules)
        finally:
            self._waiting.setdefault(task.workload.id, [])[:0] = visit.left
            task.exhausted = task.exhausted and not visit.left
            task.trial_s = (self.budget.clock() - start) / max(1, visit.tried)
        if self._unlearned >= RELEARN:
            self._learn()

    def _schedules(self, task: Task) -> list[Schedule]:
        """What to try on this visit."""
        count, visits = self.budget.left_for(task), self._visits[task.workload.id]
        self._visits[task.workload.id] += 1
        if self.given is not None:
            wanted = [DEFAULT, *self.given.get(task.workload.id, ())]
            left = task.untried(wanted)
            task.exhausted = not left
            return left[:count]
        if visits == 0:
            known = self.strategy.known
            everyone = [*self._others, *(e for t in self.tasks if t is not task for e in t.examples)] if known else []
            first = opening(task, self.learner.model, everyone, self.rng) if known else [DEFAULT]
            self._waiting[task.workload.id] = task.untried(first)
            if is_untimed(self.executor.target):
                count = min(count, GUESSED)  # more of them would tell no more of how good they are
        waiting = self._waiting[task.workload.id]
        # Whatever is known to be good comes before what is drawn, on later visits too.
        schedules = [waiting.pop(0) for _ in range(min(count, len(waiting)))]
        if visits == 0:
            # The first visit is short, so that a model's every workload has a champion soon.
            count = min(count, FIRST)
        elif visits == 1 and task.champion != DEFAULT and (task.default_s or 1.0) < CHEAP_S:
            # What the speed-up is over deserves a second look.
            schedules = [DEFAULT, *schedules]
        if len(schedules) < count:
            proposed = propose(task, self.learner.model, count - len(schedules), self.rng, self.strategy)
            if visits > 0 and not proposed and not schedules:
                task.exhausted = True
                return []
            schedules += proposed
        return schedules

    def keep(
        self, task: Task, schedule: Schedule, outcome: Outcome, evidence: dict[str, Any], crowned: bool, machine: str
    ) -> None:
        """Write a trial down, for good, and take it into account."""
        trial = outcome.trial(
            task.key,
            schedule,
            evidence=evidence | dict(outcome.notes),
            machine=machine,
            author=self._author,
            job=self.id,
        )
        with self.store.transaction():
            self.store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
            self.store.add_trial(trial, crown=crowned)
        task.note(schedule, outcome.status, outcome.median, outcome.samples, trial.evidence)
        self._unlearned += not trial.untimed

    def _learn(self) -> None:
        """Train on everything known by now; not while the last training goes on."""
        if self.learner.learn(self._examples()):
            self._unlearned = 0

    def _examples(self) -> list[Example]:
        return self._others + [example for task in self.tasks for example in task.examples]

    def _save_model(self) -> None:
        """Keep what was learnt, for whoever has no trials of their own."""
        self.learner.wait()
        if self._unlearned:
            self._learn()
            self.learner.wait()
        examples = self._examples()
        held = hold_out(examples, folds=3) if len(examples) <= WORTH_HOLDING_OUT and not self.interrupted else []
        self.learner.model.save(self.store, self.executor.target.kind, metrics(held))
