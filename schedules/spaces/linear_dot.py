"""Linear layers on CPUs with the weight as the model stores it: dot products along k, vectors along k.

Both operands of ``C[i, j] = sum_k A[i, k] W[j, k]`` are contiguous along k, so a register tile of ``mr x nr`` outputs
keeps one vector of partial sums per output and reads ``mr + nr`` vectors for ``mr * nr`` multiply-adds; nothing is
packed and every cache line that is fetched is used whole. The lanes are summed once at the end. Batched layers and
mixtures of experts are the same with other weights for each batch or block of rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from schedules.operators.batched_linear import BatchedLinear
from schedules.operators.grouped_linear import GroupedLinear
from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.space import LoopSpace, divisors
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    from tvm.s_tir import Schedule as TirSchedule
    from tvm.s_tir.schedule import LoopRV, SBlockRV


class LinearDot(LoopSpace):
    """Knobs: ``mr x nr`` register tile; ``mb`` rows and ``nb`` tiles of columns a task; ``kb`` vector steps of k
    between visits to the same accumulators; ``rows_outer``: tasks walk columns first (1) or rows first (0)."""

    name: ClassVar[str] = "linear_dot"
    version: ClassVar[int] = 1

    def __init__(self, workload: Workload, target: Target) -> None:
        super().__init__(workload, target)
        op = workload.instance
        assert isinstance(op, Linear | BatchedLinear | GroupedLinear)
        # Rows that use the same weights.
        self.rows = op.block if isinstance(op, GroupedLinear) else op.m
        self.n, self.k = op.n, op.k
        self.rounded = isinstance(op, GroupedLinear) or op.out != "float32"
        # AVX512-BF16 multiplies pairs of bfloat16; other chips widen to float32 in registers first. (A mixture of
        # experts does so everywhere: reading the expert's number keeps it from matching the tensor intrinsic.)
        grouped = isinstance(op, GroupedLinear)
        self.pairs = op.dtype == "bfloat16" and target.has("avx512bf16") and not grouped
        self.lanes = target.lanes
        self.widest = max(divisors(self.rows, 12)) * max(divisors(self.n, 16))
        self.steps = self.k // (self.lanes * (2 if self.pairs else 1))

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        op = workload.instance
        if target.kind != "llvm":
            return False
        # A vector of pairs takes twice the lanes; other k are left to the spaces that handle tails.
        if isinstance(op, GroupedLinear):
            return op.dtype == "bfloat16" and op.k % (2 * target.lanes) == 0 and op.rows % op.block == 0
        return isinstance(op, Linear | BatchedLinear) and op.k % (2 * target.lanes) == 0

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {
            "mr": divisors(self.rows, 12),
            "nr": divisors(self.n, 16),
            "mb": divisors(self.rows, 256),
            "nb": [b for b in (1, 2, 4, 8, 16) if self.n % b == 0],
            "kb": sorted({*divisors(self.steps, 256), self.steps}),
            "rows_outer": [0, 1],
        }

    def allows(self, config: Mapping[str, int]) -> bool:
        mr, nr, mb, nb = (config[name] for name in ("mr", "nr", "mb", "nb"))
        sums = mb * nb * nr * self.lanes * 4
        return (
            mb % mr == 0
            and self.n % (nr * nb) == 0
            # Enough sums to hide the latency of a multiply-add, few enough to stay in registers.
            and min(4, self.widest) <= mr * nr
            and mr * nr + min(mr, nr) + 1 <= self.target.registers
            and sums <= max(self.target.l2, 1 << 18) // 2
            and (mb < self.rows or config["rows_outer"] == 0)  # one block of rows: the order means nothing
        )

    def seeds(self) -> list[Schedule]:
        m = self.rows
        wanted = [
            {"mr": 4, "nr": 4, "mb": min(m, 128), "nb": 1, "kb": 32, "rows_outer": 0},
            {"mr": 4, "nr": 4, "mb": min(m, 128), "nb": 4, "kb": 16, "rows_outer": 0},
            {"mr": 2, "nr": 8, "mb": min(m, 64), "nb": 1, "kb": 32, "rows_outer": 0},
        ]
        if self.target.registers == 16:
            wanted = [base | {"mr": mr, "nr": nr} for base in wanted[:2] for mr, nr in ((2, 4), (3, 3), (4, 2))]
        if m == 1:
            wanted = [
                {"mr": 1, "nr": nr, "mb": 1, "nb": nb, "kb": kb, "rows_outer": 0}
                for nr, nb, kb in ((8, 1, self.steps), (4, 1, self.steps), (4, 2, 32), (8, 1, 32))
            ]
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        mr, nr, mb, nb = (config[name] for name in ("mr", "nr", "mb", "nb"))
        outputs, size = self.workload.output_arguments[0], self.workload.input_arguments[0]
        width = size.nbytes // math.prod(size.shape)
        depth = config["kb"] * (self.k // self.steps)
        return Traits(
            tasks=math.prod(outputs.shape) / (mb * nb * nr),
            # A block of k of the columns at work, and of all rows of the task, which the next columns read again.
            inner=(mb + nr) * depth * width,
            task=(mb + nb * nr) * self.k * width + mb * nb * nr * self.lanes * 4,
            registers=(mr * nr + min(mr, nr) + 1, self.target.registers),
            loads=(mr + nr) / (mr * nr),
        )

    def transform(self, sch: TirSchedule, config: Mapping[str, int]) -> None:
        from schedules import intrinsics

        total, last = sch.get_sblock("S" if self.rounded else "C"), sch.get_sblock("C")
        *batch, _, _, k = sch.get_loops(total)
        split = sch.split(k, [None, self.lanes, 2] if self.pairs else [None, self.lanes])
        partial = sch.rfactor(split[1], len(batch) + 2)

        # The tasks, and in each of them the outputs whose lanes are summed at its end.
        *batch, i, j = sch.get_loops(last)[: len(batch) + 2]
        rows, i = sch.split(i, [None, config["mb"]])
        columns, j = sch.split(j, [None, config["nb"] * config["nr"]])
        outer = (rows, columns) if config["rows_outer"] else (columns, rows)
        sch.reorder(*batch, *outer, i, j)
        task = sch.fuse(*batch, *outer)
        sch.parallel(task)
        if self.rounded:
            sch.compute_at(total, j, preserve_unit_loops=True)
            sch.set_scope(total, 0, "local")
            # The loop over lanes comes out first, outside of the loops of extent one.
            lane, *ones = sch.get_loops(total)[-(len(batch) + 3) :]
            sch.reorder(*ones, lane)
        else:
            # The sum is made in a local cell, which is stored once.
            sch.reverse_compute_at(sch.cache_write(last, 0, "local"), j)
        sch.compute_at(partial, task, preserve_unit_loops=True)
        sch.set_scope(partial, 0, "local")

        self._micro_kernel(sch, partial, config)
        lane = sch.get_loops(total)[-1]
        sch.decompose_reduction(total, lane)
        sch.tensorize(lane, intrinsics.lane_sum(self.lanes))
        intrinsics.import_llvm(sch, task, self.lanes, self.pairs)

    def _micro_kernel(self, sch: TirSchedule, partial: SBlockRV, config: Mapping[str, int]) -> None:
        """Loops over blocks of k, then the register tiles, each running through its block of k in registers."""
        from schedules import intrinsics

        # After the task's loop: lane, batch, i, j, k, pair.
        lane, *loops = sch.get_loops(partial)[1:]
        pair: list[LoopRV] = [loops.pop()] if self.pairs else []
        *_, i, j, k = loops
        k_block, k = sch.split(k, [None, config["kb"]])
        i_tile, i = sch.split(i, [None, config["mr"]])
        j_tile, j = sch.split(j, [None, config["nr"]])
        sch.reorder(k_block, j_tile, i_tile, k, i, j, lane, *pair)
        sch.unroll(i)
        sch.unroll(j)
        if self.pairs:
            zero = sch.decompose_reduction(partial, k_block)
            sch.vectorize(sch.get_loops(zero)[-1])
            sch.tensorize(lane, intrinsics.dot_bf16())
        else:
            sch.vectorize(lane)
            sch.decompose_reduction(partial, k_block)
