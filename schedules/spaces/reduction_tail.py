"""The row-wise space for rows of a length that no vector divides: whole vectors are reduced first, then the rest.

What elementwise stages make is computed again wherever it is read. Were it kept, TVM's ``reverse_compute_at`` would
solve for the wrong range of lanes: it asks which of them read the whole row that was kept, not the part reduced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from schedules.axes import child_blocks, stride
from schedules.schedule import Schedule
from schedules.spaces.reduction import Reduction, inline
from schedules.tails import has_tails, without_tails
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule as TirSchedule


class ReductionTail(Reduction):
    """Knobs of ``reduction``, on a program whose reductions are divided at a multiple of the lanes."""

    name: ClassVar[str] = "reduction_tail"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        return (
            super().supports(workload, target)
            and has_tails(workload.prim_func, target.lanes)
            and _reduces_arguments(workload)
        )

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {**super().knobs, "keep": [0]}

    def traced(self, schedule: Schedule) -> TirSchedule | None:
        return None  # it begins with another program, without tails

    def program(self, config: Mapping[str, int]) -> tvm.IRModule:
        from tvm.s_tir import Schedule as TirSchedule

        sch = TirSchedule(without_tails(self.workload.prim_func, self.target.lanes))
        self.transform(sch, config)
        return sch.mod


def _reduces_arguments(workload: Workload) -> bool:
    """Whether, elementwise stages inlined, no reduction runs along anything that another stage wrote."""
    from tvm import tirx
    from tvm.s_tir import Schedule as TirSchedule

    sch = TirSchedule(workload.prim_func)
    for block in child_blocks(sch):
        inline(sch, block, 0)
    blocks = [sch.get(block) for block in child_blocks(sch)]
    written = [region.source for block in blocks for region in block.writes]
    for block in blocks:
        reduced = [axis.var for axis in block.iter_vars if axis.iter_type == tirx.IterVar.CommReduce]
        for region in block.reads if block.init is not None else ():
            along = any(stride(region, var) != 0 for var in reduced)
            if along and any(region.source.same_as(source) for source in written):
                return False
    return True
