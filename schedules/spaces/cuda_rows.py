"""Norms, softmax, quantisation and other row-wise programs on GPUs: some threads a row, which stays in registers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from schedules.axes import axes, child_blocks, has_calls, work
from schedules.cuda.budget import WARP, Budget
from schedules.cuda.space import CudaSpace
from schedules.schedule import Schedule
from schedules.spaces.reduction import fresh_schedule, is_between, rows_axes
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule as TirSchedule
    from tvm.s_tir.schedule import LoopRV, SBlockRV

# Elements of a row that a thread may keep in registers.
HELD = 128


class CudaRows(CudaSpace):
    """Knobs: ``rows`` a thread block; ``lanes``: threads a row; ``vector``: elements that a thread loads at once;
    ``keep``: intermediate rows are computed again where they are read (0), or those with costly functions stay in
    registers (1).

    A row is what one number is reduced from: of a quantisation with a scale for each group of columns, a group.
    """

    name: ClassVar[str] = "cuda_rows"
    version: ClassVar[int] = 3

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        if target.kind != "cuda" or not rows_axes(workload):
            return False
        rows, length, read = _shape(workload)
        return length > 0 and length % 32 == 0 and read == rows * length

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and their length."""
        rows, length, _ = _shape(self.workload)
        return rows, length

    @cached_property
    def hands_on(self) -> bool:
        """Whether an output is one number a row from which others are computed.

        Threads of one warp have it in their registers. Threads of several share what they reduced, and TVM neither has
        each compute a number of its own from it, nor a barrier where one thread does.
        """
        from tvm.s_tir.schedule.analysis import is_output_block

        sch = fresh_schedule(self.workload)
        outputs = [block for block in child_blocks(sch) if is_output_block(sch, block) and sch.get_consumers(block)]
        sizes = [math.prod(int(n) for n in sch.get(block).writes[0].source.shape) for block in outputs]
        return self.shape[0] in sizes

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        rows, length = self.shape
        return {
            "rows": [n for n in (1, 2, 4, 8, 16, 32) if rows % n == 0],
            "lanes": [n for n in (8, 16, 32, 64, 128, 256, 512, 1024) if length % n == 0],
            "vector": [n for n in (1, 2, 4, 8) if length % n == 0],
            "keep": [0, 1],
        }

    def allows(self, config: Mapping[str, int]) -> bool:
        _, length = self.shape
        return (
            length % (config["lanes"] * config["vector"]) == 0
            and config["rows"] * config["lanes"] >= WARP
            and self.fits(config)
            and length // config["lanes"] <= HELD
            and (config["lanes"] <= WARP or not self.hands_on)
        )

    def budget(self, config: Mapping[str, int]) -> Budget:
        _, length = self.shape
        return Budget(config["rows"] * config["lanes"], 20 + length // config["lanes"])

    def seeds(self) -> list[Schedule]:
        _, length = self.shape
        wanted = [
            {"rows": 1, "lanes": max(32, length // 16), "vector": 8, "keep": 1},
            {"rows": 1, "lanes": max(32, length // 32), "vector": 8, "keep": 0},
            {"rows": 4, "lanes": 32, "vector": 8, "keep": 0},
            {"rows": 8, "lanes": 16, "vector": 8, "keep": 0},
        ]
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        rows, _ = self.shape
        return Traits(tasks=rows / config["rows"], task=self.workload.bytes / rows * config["rows"])

    def plain(self, config: Mapping[str, int]) -> tvm.IRModule:
        from tvm.s_tir.schedule.analysis import is_output_block

        sch = fresh_schedule(self.workload)
        for block in child_blocks(sch):
            if is_between(sch, block) and not (config["keep"] and has_calls(sch.get(block))):
                sch.compute_inline(block)
        stages = child_blocks(sch)
        first, *others = _inputs(sch, stages)
        main = _copy(sch, first, stages)
        place = self._rows(sch, main, config)
        for block in stages:
            sch.reverse_compute_at(block, place, preserve_unit_loops=True)
            last = sch.get_loops(block)[-1]
            single = int(sch.get(last).extent) == 1
            _divide(sch, last, config, "unroll")
            if is_output_block(sch, block):
                readers = [other for other in sch.get_consumers(block) if single]
                copy = sch.cache_write(block, 0, "local", readers)
                sch.reverse_compute_at(copy, place, preserve_unit_loops=True)
                _divide(sch, sch.get_loops(copy)[-1], config, "vectorize")
            else:
                sch.set_scope(block, 0, "local")
        for name in others:
            block = _copy(sch, name, stages)
            sch.compute_at(block, place, preserve_unit_loops=True)
            _divide(sch, sch.get_loops(block)[-1], config, "vectorize")
        _divide(sch, sch.get_loops(main)[-1], config, "vectorize")
        return sch.mod

    def _rows(self, sch: TirSchedule, block: SBlockRV, config: Mapping[str, int]) -> LoopRV:
        """Give each thread block some rows of what a block copies; the loop over them."""
        *outer, last = sch.get_loops(block)
        part, _ = sch.split(last, [None, self.shape[1]])
        row = sch.fuse(*outer, part)
        group, row = sch.split(row, [None, config["rows"]])
        sch.bind(group, "blockIdx.x")
        sch.bind(row, "threadIdx.y")
        return row


def _shape(workload: Workload) -> tuple[int, int, int]:
    """Rows, their length, and the elements of the first input if the first reduction reads it; zeros if not."""
    sch = fresh_schedule(workload)
    for block in child_blocks(sch):
        if is_between(sch, block):
            sch.compute_inline(block)
    for block in child_blocks(sch):
        if sch.get(block).init is not None:
            nest = axes(sch, block)
            reduced = [axis.extent for axis in nest if axis.reduction]
            read = sch.get(block).reads[0].source
            if len(reduced) == 1 and read.name == workload.arguments[0].name:
                rows = work([axis for axis in nest if not axis.reduction])
                return rows, reduced[0], math.prod(int(n) for n in read.shape)
            break
    return 0, 0, 0


def _inputs(sch: TirSchedule, stages: Sequence[SBlockRV]) -> list[str]:
    """The names of what stages read and do not make; what the first reduction reads rows of comes first."""
    made = {region.source.name for block in stages for region in sch.get(block).writes}
    ordered = sorted(stages, key=lambda block: sch.get(block).init is None)
    read = [region.source.name for block in ordered for region in sch.get(block).reads]
    return [name for name in dict.fromkeys(read) if name not in made]


def _copy(sch: TirSchedule, name: str, stages: Sequence[SBlockRV]) -> SBlockRV:
    """Have stages read an input from a copy in registers."""
    reads = {block: [region.source.name for region in sch.get(block).reads] for block in stages}
    readers = [block for block in stages if name in reads[block]]
    return sch.cache_read(readers[0], reads[readers[0]].index(name), "local", readers)


def _divide(sch: TirSchedule, loop: LoopRV, config: Mapping[str, int], inner: str) -> None:
    """Divide the elements of a row over its threads; a thread has the same ones in every stage."""
    if int(sch.get(loop).extent) == 1:
        return
    steps, lane, part = sch.split(loop, [None, config["lanes"], config["vector"]])
    sch.reorder(lane, steps, part)
    sch.bind(lane, "threadIdx.x")
    sch.unroll(steps)
    getattr(sch, inner)(part)
