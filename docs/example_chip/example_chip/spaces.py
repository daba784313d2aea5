"""What there is to choose in a kernel for the chip: one space for linear layers, one for normalisations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from schedules.operators.linear import Linear
from schedules.operators.rmsnorm import RmsNorm
from schedules.schedule import Schedule
from schedules.space import LoopSpace, divisors
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    from tvm.s_tir import Schedule as TirSchedule

# Registers for values: sums of a tile, a row of one operand, a value of the other.
REGISTERS = 16


class Tiles(LoopSpace):
    """Linear layers: a tile of ``rows`` by ``columns`` sums stays in registers while both operands pass by once.

    With ``columns_outer`` the columns of a tile stay in the cache while all rows pass, else the other way round.
    """

    name: ClassVar[str] = "example_chip.tiles"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        return isinstance(workload.instance, Linear)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        m, n = self.workload.output_arguments[0].shape
        return {"rows": divisors(m, 8), "columns": divisors(n, 8), "columns_outer": [0, 1]}

    def allows(self, config: Mapping[str, int]) -> bool:
        rows, columns = config["rows"], config["columns"]
        return rows * columns + min(rows, columns) + 1 <= REGISTERS

    def seeds(self) -> list[Schedule]:
        found = self.nearest({"rows": 3, "columns": 4, "columns_outer": 1})
        return [] if found is None else [found]

    def transform(self, sch: TirSchedule, config: Mapping[str, int]) -> None:
        # A result in bfloat16 is summed as S and rounded as C; one in float32 is C, whose sums get registers here.
        rounded = self.workload.params["out"] != "float32"
        total = sch.get_sblock("S" if rounded else "C")
        store = sch.get_sblock("C") if rounded else sch.cache_write(total, 0, "global")
        i, j, k = sch.get_loops(total)
        i_tile, i = sch.split(i, [None, config["rows"]])
        j_tile, j = sch.split(j, [None, config["columns"]])
        outer = (j_tile, i_tile) if config["columns_outer"] else (i_tile, j_tile)
        sch.reorder(*outer, k, i, j)
        sch.reverse_compute_at(store, outer[1])
        sch.set_scope(total, 0, "global")
        for loop in (i, j, *sch.get_loops(store)[2:]):
            sch.unroll(loop)
        for loop in sch.get_loops(sch.decompose_reduction(total, k))[2:]:
            sch.unroll(loop)


class Rows(LoopSpace):
    """Normalisations: row by row or stage by stage (``fused``), so many steps of a loop at once (``unroll``)."""

    name: ClassVar[str] = "example_chip.rows"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        return isinstance(workload.instance, RmsNorm)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {"fused": [0, 1], "unroll": divisors(self.workload.output_arguments[0].shape[1], 16)}

    def seeds(self) -> list[Schedule]:
        found = self.nearest({"fused": 1, "unroll": 8})
        return [] if found is None else [found]

    def transform(self, sch: TirSchedule, config: Mapping[str, int]) -> None:
        first, *others = sch.get_child_blocks(sch.get_sblock("root"))
        if config["fused"]:
            row = sch.get_loops(first)[0]
            for block in others:
                sch.reverse_compute_at(block, row, preserve_unit_loops=True)
        for block in (first, *others):
            loop, steps = sch.split(sch.get_loops(block)[-1], [None, config["unroll"]])
            sch.unroll(steps)
            if sch.get(block).init is not None:
                sch.decompose_reduction(block, loop)
