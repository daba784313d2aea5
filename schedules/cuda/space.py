"""What spaces for GPUs have in common: limits of the chip, and the form of a schedule that a CPU can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from schedules.cuda.serial import serial
from schedules.schedule import Schedule
from schedules.space import KnobSpace
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm


class CudaSpace(KnobSpace):
    """A space whose programs run on thread blocks.

    ``plain`` gives a program in terms that a CPU has as well. Where ``program`` is another one, with inner kernels in
    CUDA C, it has the same loops around them, and what those kernels compute is written out in ``plain``.
    """

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        self.op: Any = workload.instance

    def plain(self, config: Mapping[str, int]) -> tvm.IRModule:
        """The program of a configuration with thread bindings, its only function named ``main``."""
        raise NotImplementedError

    def program(self, config: Mapping[str, int]) -> tvm.IRModule:
        return self.plain(config)

    def meaning(self, schedule: Schedule, blocks: int = 0) -> tvm.IRModule:
        """What a schedule computes, as a program without thread bindings, for a CPU.

        Args:
            schedule: of this space.
            blocks: how many thread blocks along each axis to keep, 0 for all.

        Raises:
            InputError: as ``apply``.
        """
        return serial(self.plain(self.check(schedule)), blocks)

    @property
    def threads(self) -> int:
        """The most threads that a block may have."""
        return int(self.target.tvm["max_threads_per_block"])

    @property
    def shared(self) -> int:
        """Bytes of shared memory that a block may have."""
        return int(self.target.tvm["max_shared_memory_per_block"])
