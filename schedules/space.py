"""A space is a named, versioned family of legal schedules; to add one is to add a file to ``schedules/spaces``."""

from __future__ import annotations

import importlib
import itertools
import math
import pkgutil
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules import fastmath
from schedules.schedule import Schedule
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target, plugins
from targets.errors import InputError

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule as TirSchedule


class Space(ABC):
    """The schedules of one family for one workload on one target.

    ``Space(workload, target)`` is made only where ``supports`` is true. Every schedule that ``sample``, ``mutate``
    and ``seeds`` return is legal by construction.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def __init__(self, workload: Workload, target: Target) -> None:
        self.workload = workload
        self.target = target

    @classmethod
    @abstractmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        """Whether this space has schedules for the workload on the target."""

    @abstractmethod
    def seeds(self) -> list[Schedule]:
        """Schedules known to be good, best first; the search tries them before anything else."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Schedule | None:
        """A schedule drawn at random; None when the space has no more to give."""

    @abstractmethod
    def mutate(self, schedule: Schedule, rng: np.random.Generator) -> Schedule | None:
        """A neighbour of ``schedule``."""

    @abstractmethod
    def apply(self, schedule: Schedule) -> tvm.IRModule:
        """The scheduled module, its only function named ``main``.

        Raises:
            InputError: the schedule is of another version or not a point of this space.
            tvm.s_tir.ScheduleError: TVM refused a step.
        """

    def traced(self, schedule: Schedule) -> TirSchedule | None:
        """The schedule of TVM whose trace makes of the workload's own program what ``apply`` does.

        None where the space writes a program of its own, so that no trace leads to it.

        Raises:
            InputError, tvm.s_tir.ScheduleError: as ``apply``.
        """
        return None

    @abstractmethod
    def features(self, schedule: Schedule) -> dict[str, float]:
        """What the cost model sees of a schedule, without lowering it: the same names, in the same order, for every
        schedule of this space whatever the workload and the target; NaN where something is not known."""

    def compiled_features(self, resources: Mapping[str, Any] | None) -> dict[str, float]:
        """What the cost model sees besides of a schedule that was compiled, from what its trial noted of the kernel's
        ``resources``; NaN under the same names where there is no such trial (None). Nothing for most chips."""
        return {}

    def nearest(self, config: Mapping[str, Any]) -> Schedule | None:
        """The schedule of this space that is most like one of another workload; None where there is no such thing."""
        return None

    def schedule(self, config: Mapping[str, Any]) -> Schedule:
        """The schedule of this space with this configuration."""
        return Schedule(self.name, self.version, config)


# Random configurations to look at for a legal one; in a narrow space few are.
DRAWS = 1000


class KnobSpace(Space):
    """A space of named knobs, each with a short list of values, and a rule for which combinations make sense."""

    @property
    @abstractmethod
    def knobs(self) -> dict[str, Sequence[int]]:
        """The values of each knob, ascending, at least one each."""

    def allows(self, config: Mapping[str, int]) -> bool:
        """Whether a combination of knob values is sensible: register budget, cache footprint, no waste."""
        return True

    @abstractmethod
    def program(self, config: Mapping[str, int]) -> tvm.IRModule:
        """The module of a configuration, its only function named ``main``."""

    @cached_property
    def domain(self) -> dict[str, tuple[int, ...]]:
        """``knobs``, computed once."""
        return {name: tuple(values) for name, values in self.knobs.items()}

    def seeds(self) -> list[Schedule]:
        return []

    def sample(self, rng: np.random.Generator) -> Schedule | None:
        sizes = [len(values) for values in self.domain.values()]
        for _ in range(DRAWS):
            drawn = zip(self.domain.items(), rng.integers(sizes), strict=True)
            config = {name: values[at] for (name, values), at in drawn}
            if self.allows(config):
                return self.schedule(config)
        return None

    def mutate(self, schedule: Schedule, rng: np.random.Generator) -> Schedule | None:
        for _ in range(50):
            config = dict(schedule.config)
            for name in rng.choice(list(self.domain), size=int(rng.integers(1, 3))):
                values = self.domain[name]
                at = values.index(config[name]) if config[name] in values else 0
                # Mostly a step to the next value, at times anywhere.
                step = int(rng.choice([-1, 1])) if rng.random() < 0.7 else int(rng.integers(-len(values), len(values)))
                config[name] = values[min(max(at + step, 0), len(values) - 1)]
            if config != schedule.config and self.allows(config):
                return self.schedule(config)
        return None

    def nearest(self, config: Mapping[str, int]) -> Schedule | None:
        """The legal schedule whose knobs are closest to ``config``, by ratio; each moves to one of two neighbours.

        None where all of these combinations break a rule, or ``config`` lacks a knob.
        """
        if not set(self.domain) <= set(config):
            return None
        choices = []
        for name, values in self.domain.items():
            by_distance = sorted((abs(math.log2((1 + value) / (1 + config[name]))), value) for value in values)
            choices.append([(distance, name, value) for distance, value in by_distance[:2]])
        snapped = sorted(itertools.product(*choices), key=lambda choice: sum(distance for distance, *_ in choice))
        for choice in snapped:
            moved = {name: value for _, name, value in choice}
            if self.allows(moved):
                return self.schedule(moved)
        return None

    def check(self, schedule: Schedule) -> dict[str, int]:
        """The configuration of a schedule of this space.

        Raises:
            InputError: another space or version, a knob missing or unknown, a value that is not allowed here.
        """
        if (schedule.space, schedule.version) != (self.name, self.version):
            raise InputError(
                f"schedule {schedule.id} is of {schedule.space} v{schedule.version}, "
                f"and this Headstart has {self.name} v{self.version}: tune the workload again"
            )
        config = dict(schedule.config)
        if set(config) != set(self.domain) or any(config[k] not in self.domain[k] for k in config):
            raise InputError(f"schedule {schedule.id} is not a point of space {self.name} for {self.workload.label}")
        if not self.allows(config):
            raise InputError(f"schedule {schedule.id} breaks a rule of space {self.name} for {self.workload.label}")
        return config

    def apply(self, schedule: Schedule) -> tvm.IRModule:
        return self.program(self.check(schedule))

    def traits(self, config: Mapping[str, int]) -> Traits:
        """How a configuration uses the chip, as far as that can be said without lowering it."""
        return Traits()

    def features(self, schedule: Schedule) -> dict[str, float]:
        """Each knob, how often it fits into its largest value, and the traits."""
        found: dict[str, float] = {}
        for name, values in sorted(self.domain.items()):
            value = schedule.config[name]
            found[name] = math.log2(1 + value)
            found[f"{name} of most"] = math.log2((1 + values[-1]) / (1 + value))
        return found | self.traits(schedule.config).features(self.target)


class LoopSpace(KnobSpace):
    """A space whose knobs rearrange the loops of the workload itself."""

    @abstractmethod
    def transform(self, sch: TirSchedule, config: Mapping[str, int]) -> None:
        """Apply the configuration to the unscheduled program."""

    def program(self, config: Mapping[str, int]) -> tvm.IRModule:
        return self._transformed(config).mod

    def traced(self, schedule: Schedule) -> TirSchedule | None:
        return self._transformed(self.check(schedule))

    def _transformed(self, config: Mapping[str, int]) -> TirSchedule:
        from tvm.s_tir import Schedule as TirSchedule

        # Given a PrimFunc, Schedule copies it and names it main. (with_attr would share the body, and the schedule
        # would then rewrite the workload's own program.)
        sch = TirSchedule(self.workload.prim_func)
        self.transform(sch, config)
        return sch


def divisors(value: int, limit: int | None = None) -> list[int]:
    """The divisors of a positive number, ascending, up to ``limit``."""
    return [d for d in range(1, min(value, limit or value) + 1) if value % d == 0]


@cache
def spaces() -> dict[str, type[Space]]:
    """Every space of Headstart by name, from the modules of ``schedules.spaces``; loads no plug-in."""
    import schedules.spaces as package

    found: dict[str, type[Space]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).values():
            if isinstance(value, ABCMeta) and issubclass(value, Space) and value.__dict__.get("name"):
                found[value.name] = value
    return dict(sorted(found.items()))


def spaces_on(target: Target) -> dict[str, type[Space]]:
    """Every space that a chip may have schedules in, by name: Headstart's, and those of its plug-in if it has one.

    Raises:
        InputError: the chip's plug-in cannot be used; says why, and what to do.
    """
    from schedules.plugin_spaces import added

    chip = plugins.chip_of(target)
    return spaces() if chip is None else spaces() | added(chip)


def spaces_for(workload: Workload, target: Target) -> dict[str, Space]:
    """The spaces that have schedules for the workload on the target, by name.

    Raises:
        InputError: as ``spaces_on``.
    """
    found = spaces_on(target)
    return {name: space(workload, target) for name, space in found.items() if space.supports(workload, target)}


def apply(workload: Workload, schedule: Schedule, target: Target) -> tvm.IRModule:
    """The module that a schedule makes of a workload.

    Raises:
        InputError: no such space, or it does not fit this workload and target.
    """
    known = spaces_on(target)
    space = known.get(schedule.space)
    if space is None:
        raise InputError(f"unknown space {schedule.space!r}; known: {', '.join(known)}")
    if not space.supports(workload, target):
        raise InputError(
            f"space {schedule.space} has nothing for {workload.operator} {workload.label} on {target.name}"
        )
    if target.kind == "llvm":
        # What is built from the module afterwards, here or in a bundle, has vector exp and log.
        fastmath.install()
    return space(workload, target).apply(schedule)
