"""Searches without hardware: a job over a recording, with a clock that advances as the recorded trials would have.

The space is cut down to the schedules that were recorded, which the search draws from as it would from the whole.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from schedules.schedule import Schedule
from schedules.space import Space
from tuner.executor import DeviceStatus, Outcome
from tuner.frontend.stored import store_workload
from tuner.job import Budget, Event, Job
from tuner.learner import Learner
from tuner.propose import EVERYTHING, Strategy
from tuner.recording import Recording
from tuner.sequential import compare
from tuner.task import load_task
from tuning_db.records import Key, Status
from tuning_db.store import Store

STRATEGIES: Mapping[str, Strategy] = {
    "random": Strategy(known=False, model=False, evolve=False),
    "evolution": Strategy(known=False, model=False),
    "model": Strategy(known=False, evolve=False),
    "evolution and model": Strategy(known=False),
    "everything": EVERYTHING,
}
# ``everything``, in a database that has the other recordings' trials.
FILLED = "filled database"
# Within this much of the best recorded time a search has arrived.
CLOSE = 1.05
# Recorded schedules among which a mutation chooses.
NEAR = 8


class RecordedSpace(Space):
    """The part of a space that was recorded."""

    name = ""
    version = 0

    def __init__(self, space: Space, schedules: Sequence[Schedule]) -> None:
        super().__init__(space.workload, space.target)
        self.name, self.version = space.name, space.version  # type: ignore[misc]
        self.space, self.schedules = space, list(schedules)

    @classmethod
    def supports(cls, workload: Any, target: Any) -> bool:
        """Never found by looking: it is made from a recording."""
        return False

    @cached_property
    def _points(self) -> np.ndarray:
        """The features of all schedules, each column of the same weight."""
        rows = np.nan_to_num(np.array([list(self.space.features(s).values()) for s in self.schedules]))
        points: np.ndarray = rows / np.maximum(rows.std(axis=0), 1e-9)
        return points

    def seeds(self) -> list[Schedule]:
        return [seed for seed in self.space.seeds() if seed in self.schedules]

    def sample(self, rng: np.random.Generator) -> Schedule | None:
        return self.schedules[int(rng.integers(len(self.schedules)))]

    def mutate(self, schedule: Schedule, rng: np.random.Generator) -> Schedule | None:
        """One of the recorded schedules that are most like this one."""
        distances = np.abs(self._points - self._points[self.schedules.index(schedule)]).sum(axis=1)
        return self.schedules[int(np.argsort(distances, kind="stable")[rng.integers(1, NEAR + 1)])]

    def nearest(self, config: Mapping[str, Any]) -> Schedule | None:
        found = self.space.nearest(config)
        return found if found in self.schedules else None

    def apply(self, schedule: Schedule) -> Any:
        return self.space.apply(schedule)

    def features(self, schedule: Schedule) -> dict[str, float]:
        return self.space.features(schedule)


class ReplayExecutor:
    """Answers from a recording what ``LocalExecutor`` would measure; executor, device and session in one.

    Attributes:
        spent: seconds that the trials so far took when they were recorded, building included.
    """

    name, machine, elastic = "recording", "", False

    def __init__(self, recording: Recording, seed: int) -> None:
        self.recording, self.target, self.policy = recording, recording.target, recording.policy
        self.spent = 0.0
        self._rng = np.random.default_rng(seed)
        self._incumbent: Outcome | None = None
        self._challenger: Outcome | None = None

    def clock(self) -> float:
        """Simulated seconds since the beginning."""
        return self.spent

    def devices(self) -> list[ReplayExecutor]:
        """Itself."""
        return [self]

    def status(self) -> Sequence[DeviceStatus]:
        """Nothing to show."""
        return ()

    def open(self, workload: Any, seed: int) -> ReplayExecutor:
        """The recorded workload, nothing loaded in it."""
        self._incumbent = self._challenger = None
        return self

    def incumbent(self, schedule: Schedule) -> Outcome:
        """What was recorded; the schedule is what others are compared with from now on."""
        outcome = self._recorded(schedule)
        self._incumbent = outcome if outcome.status is Status.OK else None
        return outcome

    def ahead(self, schedules: Sequence[Schedule]) -> None:
        """Nothing is built here."""

    def trial(self, schedule: Schedule) -> Outcome:
        """Samples drawn at random from what was recorded, of this schedule and of the incumbent in turn."""
        outcome = self._recorded(schedule)
        self._challenger = outcome if outcome.status is Status.OK else None
        if self._challenger is None or self._incumbent is None:
            return outcome
        against, samples = self._incumbent.samples, list[float]()

        def pair(at: int) -> float:
            samples.append(float(self._rng.choice(outcome.samples)))
            return samples[-1] / float(self._rng.choice(against))

        ratios = tuple(compare(pair))
        return replace(outcome, samples=tuple(samples), ratios=ratios)

    def crown(self) -> None:
        """The last good trial is what others are compared with from now on."""
        self._incumbent, self._challenger = self._challenger, None

    def _recorded(self, schedule: Schedule) -> Outcome:
        outcome = self.recording.outcomes[schedule]
        self.spent += outcome.build_s + sum(outcome.samples)
        return outcome


@dataclass(frozen=True)
class Run:
    """One search on a recording.

    Attributes:
        needed: trials until one came within ``CLOSE`` of the best recorded time; None where none did.
        needed_s: simulated seconds until then.
        regret: by trial, the best time so far over the best recorded.
    """

    needed: int | None
    needed_s: float | None
    regret: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """What a strategy needed on a recording, over several seeds; searches that never arrived count as all trials.

    Attributes:
        needed: median trials, with the quartiles around it; ``arrived``: fraction of the searches that did.
        first, few, many: geometric mean of the regret of the first trial after the default, of the best of eight and
            of the best of 32.
    """

    workload: str
    strategy: str
    schedules: int
    runs: int
    needed: float
    low: float
    high: float
    needed_s: float
    arrived: float
    first: float
    few: float
    many: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types; no time where most searches never arrived."""
        return asdict(self) | {"needed_s": self.needed_s if np.isfinite(self.needed_s) else None}


def replay(recording: Recording, strategy: Strategy, trials: int, seed: int, others: Sequence[Recording] = ()) -> Run:
    """Search a recording; the same arguments give the same run.

    Args:
        recording: where the times come from.
        strategy: of the search.
        trials: after which it ends.
        seed: of every random choice.
        others: recordings whose trials are in the database beforehand.
    """
    executor = ReplayExecutor(recording, seed)
    events: list[tuple[float | None, float]] = []

    def listen(event: Event) -> None:
        events.append((recording.outcomes[event.schedule].median, executor.spent))

    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "replay.db") as store:
        register(store, recording)
        for other in others:
            fill(store, other)
        task = load_task(store, recording.workload, recording.target, recording.policy, recording.toolchain)
        task.spaces = {
            name: RecordedSpace(space, schedules)
            for name, space in task.spaces.items()
            if (schedules := [s for s in recording.outcomes if _is_of(s, space)])
        }
        task.floor_s = 0.0  # the goal is the best recorded time, not the roofline
        budget = Budget(trials=trials, clock=executor.clock)
        job = Job(
            store,
            executor,
            [task],
            budget,
            listener=listen,
            seed=seed,
            strategy=strategy,
            learner=Learner(background=False),
        )
        job.run()
    return _run(events, recording.best_s)


def compare_strategies(
    recordings: Sequence[Recording], trials: int, seeds: int, names: Sequence[str] = (*STRATEGIES, FILLED)
) -> list[Comparison]:
    """Every strategy on every recording, ``seeds`` times each."""
    found = []
    for recording in recordings:
        rest = [other for other in recordings if other.workload != recording.workload]
        for name in names:
            if name == FILLED and not rest:
                continue
            others = rest if name == FILLED else []
            strategy = STRATEGIES.get(name, EVERYTHING)
            runs = [replay(recording, strategy, trials, seed, others) for seed in range(seeds)]
            found.append(_comparison(recording, name, runs, trials))
    return found


def _run(events: Sequence[tuple[float | None, float]], best_s: float) -> Run:
    regret: list[float] = []
    needed, needed_s = None, None
    for at, (seconds, spent) in enumerate(events, 1):
        now = (seconds or np.inf) / best_s
        regret.append(min(now, regret[-1]) if regret else now)
        if needed is None and now <= CLOSE:
            needed, needed_s = at, spent
    return Run(needed, needed_s, tuple(regret))


def _comparison(recording: Recording, name: str, runs: Sequence[Run], trials: int) -> Comparison:
    needed = [run.needed or trials for run in runs]
    low, middle, high = np.percentile(needed, [25, 50, 75]).tolist()
    label = f"{recording.workload.operator} {recording.workload.label}, {recording.policy.cache}"
    return Comparison(
        label,
        name,
        schedules=len(recording.outcomes),
        runs=len(runs),
        needed=middle,
        low=low,
        high=high,
        needed_s=statistics.median(run.needed_s if run.needed_s is not None else np.inf for run in runs),
        arrived=sum(run.needed is not None for run in runs) / len(runs),
        # The first trial of all is the default schedule.
        first=_mean_regret(runs, 2),
        few=_mean_regret(runs, 9),
        many=_mean_regret(runs, 33),
    )


def _mean_regret(runs: Sequence[Run], trials: int) -> float:
    """Geometric mean of the best so far over the best there is, after this many trials."""
    return statistics.geometric_mean(run.regret[min(trials, len(run.regret)) - 1] for run in runs)


def _is_of(schedule: Schedule, space: Space) -> bool:
    return (schedule.space, schedule.version) == (space.name, space.version)


def register(store: Store, recording: Recording) -> None:
    """Record what a recording is of and how it was timed."""
    target = recording.target
    store.add_target(target.fingerprint, target.name, target.vendor, target.spec())
    store.add_policy(recording.policy)
    store.add_toolchain(recording.toolchain)
    store_workload(store, recording.workload)


def fill(store: Store, recording: Recording) -> None:
    """Add what was recorded as trials, none of them a champion."""
    register(store, recording)
    key = Key(recording.workload.id, recording.target.fingerprint, recording.toolchain.id, recording.policy.id)
    with store.transaction():
        for schedule, outcome in recording.outcomes.items():
            store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
            store.add_trial(outcome.trial(key, schedule))
