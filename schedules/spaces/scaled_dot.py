"""Block-scaled linears on CPUs: weights decoded in registers, dot products along k, scales applied on the way.

The weight is read once, as it is stored; a vector of it is decoded where it is used and serves ``mr`` rows. The
activations, which every column uses again, are decoded once into float32 beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from schedules.operators.grouped_linear import GroupedLinear
from schedules.operators.linear_fp8 import LinearFp8
from schedules.schedule import Schedule
from schedules.space import LoopSpace, divisors
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    from tvm.s_tir import Schedule as TirSchedule
    from tvm.s_tir.schedule import SBlockRV

BLOCK = 128


class ScaledDot(LoopSpace):
    """Knobs: ``mr x nr`` register tile; ``nb`` tiles of columns a task; ``unroll`` vector steps of k at a time."""

    name: ClassVar[str] = "scaled_dot"
    version: ClassVar[int] = 1

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        op = workload.instance
        assert isinstance(op, LinearFp8 | GroupedLinear)
        # Two fp4 weights share a byte: a vector of bytes holds one vector of even and one of odd columns.
        self.packed = isinstance(op, GroupedLinear) and op.dtype == "float4_e2m1fn"
        # Rows that use the same weights: all of them, or those that share an expert.
        self.rows = op.m if isinstance(op, LinearFp8) else op.block
        self.columns = op.n

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        op = workload.instance
        # Where bfloat16 pairs are multiplied, ``codes_dot`` is far ahead.
        if target.kind != "llvm" or target.has("avx512bf16") or BLOCK % (2 * target.lanes):
            return False
        if isinstance(op, GroupedLinear):
            return op.dtype != "bfloat16" and op.k % BLOCK == 0 and op.rows % op.block == 0
        return isinstance(op, LinearFp8) and op.k % BLOCK == 0

    @property
    def steps(self) -> int:
        """Vector steps (of one vector of bytes, where packed) in a block of 128 columns."""
        return BLOCK // (self.target.lanes * (2 if self.packed else 1))

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {
            "mr": divisors(self.rows, 16),
            "nr": divisors(self.columns, 8),
            "nb": [b for b in (1, 2, 4, 8, 16, 32) if self.columns % b == 0],
            "unroll": [u for u in (1, 2, 4, 8) if self.steps % u == 0],
        }

    def allows(self, config: Mapping[str, int]) -> bool:
        mr, nr = config["mr"], config["nr"]
        return (
            self.columns % (nr * config["nb"]) == 0
            and mr * nr + nr + 3 <= self.target.registers
            # A longer body than this compiles for seconds and is never better.
            and (mr + 6) * nr * config["unroll"] <= 256
        )

    def seeds(self) -> list[Schedule]:
        wanted = (
            {"mr": min(self.rows, 8), "nr": 2, "nb": 4, "unroll": 1},
            {"mr": min(self.rows, 4), "nr": 4, "nb": 1, "unroll": 2},
            {"mr": min(self.rows, 8), "nr": 1, "nb": 8, "unroll": 4},
        )
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        mr, nr, columns = config["mr"], config["nr"], config["nr"] * config["nb"]
        op = self.workload.instance
        assert isinstance(op, LinearFp8 | GroupedLinear)
        depth = op.k // 2 if self.packed else op.k
        return Traits(
            tasks=math.prod(self.workload.output_arguments[0].shape) / (self.rows * columns),
            # Every tile of columns reads all the activations, as float32.
            inner=mr * op.k * 4 + nr * depth,
            task=self.rows * op.k * 4 + columns * depth,
            registers=(mr * nr + nr + 3, self.target.registers),
            loads=(mr + nr) / (mr * nr),
        )

    def transform(self, sch: TirSchedule, config: Mapping[str, int]) -> None:
        from schedules import intrinsics

        lanes = self.target.lanes
        total, last = sch.get_sblock("S"), sch.get_sblock("C")
        *_, r = sch.get_loops(total)
        split = sch.split(r, [None, lanes, 2] if self.packed else [None, lanes])
        partial = sch.rfactor(split[1], 2)

        i, j = sch.get_loops(last)
        group, i = sch.split(i, [None, self.rows])
        columns, tile, j = sch.split(j, [None, config["nb"], config["nr"]])
        i_tile, i = sch.split(i, [None, config["mr"]])
        sch.reorder(group, columns, tile, i_tile, i, j)
        task = sch.fuse(group, columns)
        sch.parallel(task)
        sch.compute_at(total, j, preserve_unit_loops=True)
        sch.set_scope(total, 0, "local")
        sch.compute_at(partial, i_tile, preserve_unit_loops=True)
        sch.set_scope(partial, 0, "local")

        self._micro_kernel(sch, partial, config["unroll"])
        lane, one, other = sch.get_loops(total)[-3:]
        sch.reorder(one, other, lane)
        sch.decompose_reduction(total, lane)
        sch.tensorize(lane, intrinsics.lane_sum(lanes))
        intrinsics.import_llvm(sch, task, lanes)
        self._activations(sch)

    def _micro_kernel(self, sch: TirSchedule, partial: SBlockRV, unroll: int) -> None:
        """Loops over blocks and vector steps of k, then the register tile, each weight decoded once for its rows."""
        loops = sch.get_loops(partial)
        lane, i, j, block, step = loops[-6:-1] if self.packed else loops[-5:]
        parity = loops[-1:] if self.packed else []
        step, some = sch.split(step, [None, unroll])
        sch.reorder(block, step, some, *parity, j, i, lane)
        for loop in (some, *parity, j, i):
            sch.unroll(loop)
        sch.vectorize(lane)
        sch.decompose_reduction(partial, block)
        # The rows of a tile spell the decoding of a weight alike, and LLVM keeps one of them.
        sch.compute_inline(sch.get_sblock("Wf"))

    def _activations(self, sch: TirSchedule) -> None:
        """Decode the activations first, in parallel; even and odd columns apart where the weights are packed."""
        block, lanes = sch.get_sblock("Af"), self.target.lanes
        row, column = sch.get_loops(block)
        column, within = sch.split(column, [None, BLOCK])
        sch.parallel(sch.fuse(row, column))
        if self.packed:
            sch.transform_layout(block, ("write", 0), lambda i, k: [i, k // (2 * lanes), k % 2, k // 2 % lanes])
        else:
            sch.vectorize(sch.split(within, [None, lanes])[1])
