"""Elementwise programs on GPUs: activations, sums, gates; each thread computes a vector or a few of the output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from schedules.axes import axes, child_blocks
from schedules.cuda.budget import Budget
from schedules.cuda.space import CudaSpace
from schedules.schedule import Schedule
from schedules.spaces.reduction import fresh_schedule, is_between
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm


class CudaElementwise(CudaSpace):
    """Knobs: ``threads`` a thread block; ``vector``: neighbouring elements that a thread computes at once; ``steps``:
    how many such vectors it computes, a block's width apart."""

    name: ClassVar[str] = "cuda_elementwise"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        if target.kind != "cuda" or workload.outputs != 1:
            return False
        sch = fresh_schedule(workload)
        try:
            return not any(axis.reduction for block in child_blocks(sch) for axis in axes(sch, block))
        except (KeyError, TypeError, ValueError):
            return False

    @cached_property
    def size(self) -> int:
        """Elements of the output."""
        return math.prod(self.workload.output_arguments[0].shape)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        last = self.workload.output_arguments[0].shape[-1]
        return {
            "threads": [64, 128, 256, 512],
            "vector": [n for n in (1, 2, 4, 8) if last % n == 0],
            "steps": [1, 2, 4],
        }

    def budget(self, config: Mapping[str, int]) -> Budget:
        return Budget(config["threads"], 16 + config["vector"] * config["steps"])

    def seeds(self) -> list[Schedule]:
        wanted = [{"threads": 256, "vector": 8, "steps": 1}, {"threads": 128, "vector": 4, "steps": 1}]
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        part = config["threads"] * config["vector"] * config["steps"]
        return Traits(tasks=-(-self.size // part), task=self.workload.bytes / self.size * part)

    def plain(self, config: Mapping[str, int]) -> tvm.IRModule:
        sch = fresh_schedule(self.workload)
        for block in child_blocks(sch):
            if is_between(sch, block):
                sch.compute_inline(block)
        (block,) = child_blocks(sch)
        whole = sch.fuse(*sch.get_loops(block))
        group, step, thread, part = sch.split(whole, [None, config["steps"], config["threads"], config["vector"]])
        sch.reorder(group, thread, step, part)
        sch.bind(group, "blockIdx.x")
        sch.bind(thread, "threadIdx.x")
        sch.unroll(step)
        sch.vectorize(part)
        return sch.mod
