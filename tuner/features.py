"""What the cost model sees: of the workload, the chip and the policy here, of the schedule what its space says.

Nothing is lowered or compiled for it; what earlier trials noted of a kernel that they compiled is used. Sizes are
logarithms, so that a ratio means the same at every size.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from schedules.schedule import Schedule
from schedules.space import Space, spaces_on
from schedules.traits import ratio
from schedules.workload import Argument, Workload
from targets import Target
from targets.errors import InputError
from tuning_db.records import Policy

# A model that learnt from features of another version is not used. Count up whenever a feature changes its meaning.
VERSION = 2
# The arguments, and the dimensions of each, of which the model sees the sizes; and how many numeric parameters.
INPUTS = ("first", "second", "third")
DIMENSIONS = 3
DIMENSION_NAMES = (*(f"dimension -{at}" for at in range(DIMENSIONS, 0, -1)), "elements", "bits")
PARAMETERS = 10
EXTENSIONS = ("avx2", "avx512f", "avx512bf16", "avx512vnni", "amx-bf16", "neon", "sve", "bf16", "i8mm", "v")


class Context:
    """A workload on a target under a policy, and a row of features for each schedule of it.

    Attributes:
        resources: what kernels take of the chip, as evidence of trials has it, of schedules that were compiled.
    """

    def __init__(self, workload: Workload, target: Target, policy: Policy) -> None:
        self.workload, self.target, self.policy = workload, target, policy
        self.resources: dict[Schedule, Mapping[str, Any]] = {}
        self._spaces: dict[str, Space | None] = {}

    @cached_property
    def features(self) -> dict[str, float]:
        """What all schedules of it share, by name; NaN where something is not known."""
        return workload_features(self.workload) | target_features(self.target) | policy_features(self.policy)

    @cached_property
    def key(self) -> tuple[str, str, str]:
        """Ids of the workload, the target and the policy."""
        return self.workload.id, self.target.fingerprint, self.policy.id

    @cached_property
    def position(self) -> np.ndarray:
        """The features as a vector in which near means alike; what is not known is 0."""
        return np.nan_to_num(np.array(list(self.features.values())))

    def space(self, name: str) -> Space | None:
        """The space of this name for the workload on the target; None where there is none, or not for these."""
        if name not in self._spaces:
            kind = None
            with suppress(InputError):  # trials of a chip whose plug-in cannot be used any more
                kind = spaces_on(self.target).get(name)
            supported = kind is not None and kind.supports(self.workload, self.target)
            self._spaces[name] = kind(self.workload, self.target) if kind is not None and supported else None
        return self._spaces[name]

    def compiled(self, schedule: Schedule, evidence: Mapping[str, Any]) -> None:
        """Take up what a trial's evidence says of the resources of its kernel, the first one where there are more."""
        found = evidence.get("resources")
        if isinstance(found, list) and found and isinstance(found[0], dict):
            self.resources[schedule] = found[0]

    def row(self, schedule: Schedule, compiled: bool = True) -> np.ndarray | None:
        """The features of a schedule; None where its space, in its version, has nothing for this workload here.

        Args:
            schedule: of any space.
            compiled: use what is known of its kernel's resources; without, the row of one that was not compiled yet.
        """
        space = self.space(schedule.space)
        if space is None or schedule.version != space.version:
            return None
        own = space.features(schedule) | space.compiled_features(self.resources.get(schedule) if compiled else None)
        return np.array([*self.features.values(), *own.values()], dtype=np.float32)

    def names(self, schedule: Schedule) -> list[str]:
        """What the numbers of ``row`` are called."""
        space = self.space(schedule.space)
        own = space.features(schedule) | space.compiled_features(None) if space is not None else {}
        return [*self.features, *(f"schedule: {name}" for name in own)]


def workload_features(workload: Workload) -> dict[str, float]:
    """Operations, bytes, operations a byte, which operator, and the sizes of the arguments, first and last ones."""
    found = {
        "flops": math.log2(1 + workload.flops),
        "bytes": math.log2(1 + workload.bytes),
        "intensity": math.log2((1 + workload.flops) / (1 + workload.bytes)),
        # A number of its own for each family, which no other family that comes later changes.
        "operator": zlib.crc32(workload.operator.encode()) / 2**32,
    }
    inputs: list[Argument | None] = [*workload.input_arguments, *[None] * len(INPUTS)][: len(INPUTS)]
    for name, argument in zip((*INPUTS, "output"), (*inputs, workload.output_arguments[-1]), strict=True):
        found |= {f"{name} {what}": value for what, value in _sizes(argument).items()}
    numbers = [float(value) for _, value in sorted(workload.params.items()) if isinstance(value, int | float)]
    padded = [*numbers, *[0.0] * PARAMETERS][:PARAMETERS]
    return found | {f"parameter {at}": math.log2(1 + abs(value)) for at, value in enumerate(padded)}


def target_features(target: Target) -> dict[str, float]:
    """Cores, lanes, caches, peaks and extensions that change which schedule is best."""
    peaks = target.peaks
    found = {
        "cores": math.log2(target.cores),
        "lanes": math.log2(target.lanes),
        "L1": ratio(target.l1d, 1),
        "L2": ratio(target.l2, 1),
        "L3": ratio(target.l3, 1),
        "memory rate": _rate(peaks.dram) if peaks else math.nan,
        "float32 rate": _rate(peaks.bound("float32")) if peaks else math.nan,
        "bfloat16 rate": _rate(peaks.bound("bfloat16")) if peaks else math.nan,
    }
    return found | {name: float(target.has(name)) for name in EXTENSIONS}


def policy_features(policy: Policy) -> dict[str, float]:
    """Whether the weights come from memory, and how many threads run."""
    return {"cold": float(policy.cache == "cold"), "threads": math.log2(policy.threads)}


def _rate(peak: float) -> float:
    """log2 of a peak to the nearest half: peaks are measured, and two measurements of one chip must look alike."""
    return round(2 * ratio(peak, 1)) / 2


def _sizes(argument: Argument | None) -> dict[str, float]:
    """log2 of the last dimensions of an argument, of its elements, and the bits of one; NaN where there is none."""
    values = [math.nan] * len(DIMENSION_NAMES)
    if argument is not None:
        last = [*[1] * DIMENSIONS, *argument.shape][-DIMENSIONS:]
        elements = math.prod(argument.shape)
        values = [*map(math.log2, last), math.log2(elements), 8 * argument.nbytes / elements]
    return dict(zip(DIMENSION_NAMES, values, strict=True))
