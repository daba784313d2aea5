"""A task is one workload to tune on one target: what is known of it so far, and what there is left to gain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schedules.schedule import Schedule
from schedules.space import Space, spaces_for
from schedules.workload import Workload
from targets import Target
from targets.roofline import IMPOSSIBLE, bound, floor_seconds
from tuner.cost_model import Example
from tuner.features import Context
from tuner.frontend.stored import store_workload
from tuner.relative import Relative
from tuning_db.records import Key, Policy, Status, Toolchain, stand_in
from tuning_db.store import Store

DEFAULT = Schedule("default", 1, {})
# A task this close to its floor has nothing left that a trial could show above the noise.
CLOSE = 0.05
# What a trial that found nothing leaves of the hope that one will.
STUCK = 0.97


@dataclass
class Task:
    """A workload on a target under a policy, with every trial made of it.

    Attributes:
        calls: how often one step of the model calls it; weighs it against other tasks.
        floor_s: seconds below which the chip cannot be, 0 when its peaks are not known.
        bound: which side of the roof it is under, ``compute`` or ``memory``.
        champion: the best schedule.
        seconds: median seconds of each schedule tried, by schedule id; None where it failed or was not timed.
        untimed: what stands in for the chip, where trials of it were made on that; empty where none was.
        pending: ids of schedules that a visit has in hand.
        idle: trials since the champion last changed.
        trial_s: seconds that a trial cost on the last visit, loading included.
        within: of the floor that the champion may be away from it; nearer than that, the task is done.
    """

    workload: Workload
    target: Target
    policy: Policy
    key: Key
    calls: int = 1
    floor_s: float = 0.0
    bound: str = ""
    champion: Schedule | None = None
    seconds: dict[str, float | None] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    pending: set[str] = field(default_factory=set)
    idle: int = 0
    trial_s: float = 1.0
    within: float = CLOSE
    exhausted: bool = False
    untimed: str = ""
    spaces: Mapping[str, Space] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = spaces_for(self.workload, self.target)
        found.pop("default", None)
        # The generic space is for what no space was made for.
        self.spaces = {name: s for name, s in found.items() if name != "generic"} or found
        self.scale = Relative()
        self.context = Context(self.workload, self.target, self.policy)
        self.look_up_floor()

    def look_up_floor(self) -> None:
        """Set the floor from the peaks as they are known now."""
        cost = (self.workload.flops, *traffic(self.workload, self.policy), self.workload.arithmetic)
        self.floor_s, self.bound = floor_seconds(self.target, *cost), bound(self.target, *cost)

    def note(
        self,
        schedule: Schedule,
        status: Status,
        median: float | None,
        samples: Sequence[float] = (),
        evidence: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a trial into account; arguments as the fields of ``Trial``.

        One that was not timed is no example to learn from, good or bad: what stood in for the chip has limits of its
        own.
        """
        self.context.compiled(schedule, evidence or {})
        if untimed := stand_in(evidence or {}):
            self.untimed = untimed
            self.idle += schedule.id not in self.seconds
            self.seconds.setdefault(schedule.id, None)
            return
        good = median if status is Status.OK else None
        relative = self.scale.add(schedule.id, samples or (good,), evidence or {}) if good is not None else None
        if schedule.id not in self.seconds:
            self.seconds[schedule.id] = good
            self.examples.append(Example(self.context, self.key.toolchain, schedule, relative))
            self.idle += 1
        elif good is not None:
            # Timed again. What disturbs a machine only ever makes it slower: the best median is nearest the truth.
            self.seconds[schedule.id] = min(good, self.seconds[schedule.id] or good)

    def crown(self, schedule: Schedule) -> None:
        """Take a new champion into account, whose trial was noted before."""
        self.champion, self.idle = schedule, 0

    @property
    def champion_s(self) -> float | None:
        """Seconds of the champion: the best median of its trials."""
        return self.seconds.get(self.champion.id) if self.champion is not None else None

    @property
    def default_s(self) -> float | None:
        """Seconds of the default schedule: the best median of its trials."""
        return self.seconds.get(DEFAULT.id)

    def untried(self, schedules: Iterable[Schedule | None]) -> list[Schedule]:
        """Those that are there, were not tried and are not about to be, each once."""
        return list(
            dict.fromkeys(
                s for s in schedules if s is not None and s.id not in self.seconds and s.id not in self.pending
            )
        )

    @property
    def tried(self) -> int:
        """Schedules tried, failures included."""
        return len(self.seconds)

    @property
    def gain(self) -> float:
        """Seconds of a model step that the next trial may gain: those between champion and floor, times a chance.

        Of trials that are alike the next is the best so far with a chance of one in ``tried + 1``; trials that found
        nothing for long say that the floor is out of this space's reach.
        """
        if self.champion is None:
            return float("inf")
        if self.champion_s is None:
            # Nobody knows how far it is from the floor. The floor itself tells large tasks from small ones.
            return 0.0 if self.exhausted else self.calls * (self.floor_s or 1e-9) / (self.tried + 1) * STUCK**self.idle
        if self.exhausted or self.champion_s <= (1 + self.within) * self.floor_s:
            return 0.0
        return self.calls * (self.champion_s - self.floor_s) / (self.tried + 1) * STUCK**self.idle

    @property
    def below_floor_s(self) -> float:
        """A time under this is a lie."""
        return IMPOSSIBLE * self.floor_s


def traffic(workload: Workload, policy: Policy) -> tuple[int, int]:
    """Bytes of one call that come from memory, and bytes that earlier calls may have left in a cache.

    The first argument and the outputs stay in the cache under either policy, everything does when it is warm.
    """
    near = workload.input_arguments[0].nbytes + sum(a.nbytes for a in workload.output_arguments)
    near = workload.bytes if policy.cache == "warm" else min(near, workload.bytes)
    return workload.bytes - near, near


def load_task(
    store: Store, workload: Workload, target: Target, policy: Policy, toolchain: Toolchain, calls: int = 1
) -> Task:
    """Record what a task is about and ``read_task`` it."""
    store_workload(store, workload)
    return read_task(store, workload, target, policy, toolchain, calls)


def read_task(
    store: Store, workload: Workload, target: Target, policy: Policy, toolchain: Toolchain, calls: int = 1
) -> Task:
    """Make a task and take up every trial that the database has of it; writes nothing.

    Left out are schedules of another version of their space: nobody here could build them, so they are no champions,
    and that they were tried is no reason not to try anything.
    """
    key = Key(workload.id, target.fingerprint, toolchain.id, policy.id)
    task = Task(workload, target, policy, key, calls)
    versions = {name: space.version for name, space in spaces_for(workload, target).items()}
    known: dict[str, Schedule] = {}
    for trial in store.trials(key.workload, key.target, key.toolchain, key.policy):
        if trial.schedule not in known:
            known[trial.schedule] = Schedule(*store.schedule(trial.schedule))
        schedule = known[trial.schedule]
        if versions.get(schedule.space) == schedule.version:
            task.note(schedule, trial.status, trial.median, trial.samples, trial.evidence)
    if any(space.compiled_features(None) for space in task.spaces.values()):
        for trial in store.trials(key.workload, key.target):
            # Under whatever toolchain and policy: what a kernel takes of the chip hardly depends on them.
            if "resources" in trial.evidence:
                task.context.compiled(Schedule(*store.schedule(trial.schedule)), trial.evidence)
    champion = store.champion(key)
    if champion is not None and champion.schedule in task.seconds:
        task.champion = known[champion.schedule]
    return task
