"""What spaces for GPUs have in common: limits of the chip, and the form of a schedule that a CPU can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from schedules.cuda.budget import Budget, compiled_features
from schedules.cuda.launch import PLAIN
from schedules.schedule import Schedule
from schedules.space import KnobSpace
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm


class CudaSpace(KnobSpace):
    """A space whose programs run on thread blocks.

    ``plain`` gives a program in terms that a CPU has as well. Where ``device`` gives another one, with inner kernels in
    CUDA C, it has the same loops around them, and what those kernels compute is written out in ``plain``.
    """

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        self.op: Any = workload.instance

    def plain(self, config: Mapping[str, int]) -> tvm.IRModule:
        """The program of a configuration with thread bindings, its only function named ``main``."""
        raise NotImplementedError

    def program(self, config: Mapping[str, int]) -> tvm.IRModule:
        """The program for a GPU; where it is another than the plain one, that goes with it (``PLAIN``)."""
        device = self.device(config)
        return self.plain(config) if device is None else device.with_attr(PLAIN, self.plain(config))

    def device(self, config: Mapping[str, int]) -> tvm.IRModule | None:
        """The program with inner kernels in CUDA C; None where there are none in it."""
        return None

    def budget(self, config: Mapping[str, int]) -> Budget:
        """What a kernel takes of a multiprocessor, guessed; docs/cuda.md says how well."""
        raise NotImplementedError

    def fits(self, config: Mapping[str, int]) -> bool:
        """Whether the chip can hold a thread block, most likely without spilling registers."""
        return self.budget(config).fits(self.target)

    def features(self, schedule: Schedule) -> dict[str, float]:
        """Those of the knobs, and of the budget."""
        return super().features(schedule) | self.budget(schedule.config).features(self.target)

    def compiled_features(self, resources: Mapping[str, Any] | None) -> dict[str, float]:
        return compiled_features(resources)


def architecture(target: Target) -> int:
    """The number of a CUDA architecture: 90 of ``sm_90a``."""
    return int("".join(c for c in str(target.tvm["arch"]) if c.isdigit()))
