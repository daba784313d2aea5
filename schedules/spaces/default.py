"""What a sensible compiler does without tuning: the one schedule that every speed-up is measured against.

Cheap producers are inlined; the outer loops of each block are fused and run in parallel; the loop over contiguous
memory is the innermost one and is vectorised where the vector width divides it (LLVM's own vectoriser takes the rest,
tails included); a reduction whose operands are contiguous along the reduced axis keeps one partial sum per lane.
There is no tiling for caches or registers: that is what tuning is for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.axes import Axis, axes, child_blocks, feeds_plain, has_calls, stride, vector_axis, vector_width, work
from schedules.cuda.default import default_module
from schedules.schedule import Schedule
from schedules.space import Space
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule as TirSchedule
    from tvm.s_tir.schedule import LoopRV, SBlockRV

# Below this many iterations, starting the threads costs more than they save.
WORTH_PARALLEL = 16384
# Kinds of chips of which nothing is known, neither how they run loops in parallel nor what their vectors are.
PLAIN = ("c", "ext_dev")


class Default(Space):
    """One schedule, ``{}``, for any PrimFunc: a step that TVM refuses for a block is left out for that block."""

    name: ClassVar[str] = "default"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        return target.kind in ("llvm", "cuda", *PLAIN)

    def seeds(self) -> list[Schedule]:
        return [self.schedule({})]

    def sample(self, rng: np.random.Generator) -> Schedule | None:
        return None

    def mutate(self, schedule: Schedule, rng: np.random.Generator) -> Schedule | None:
        return None

    def features(self, schedule: Schedule) -> dict[str, float]:
        return {}

    def apply(self, schedule: Schedule) -> tvm.IRModule:
        if self.target.kind == "cuda" and schedule == self.schedule({}):
            return default_module(self.workload, self.target)
        return self.traced(schedule).mod

    def traced(self, schedule: Schedule) -> TirSchedule:
        from tvm.s_tir import Schedule as TirSchedule

        if schedule != self.schedule({}):
            raise InputError(f"schedule {schedule.id} is not the one schedule of space {self.name} v{self.version}")
        return schedule_prim_func(TirSchedule(self.workload.prim_func, error_render_level="none"), self.target)


def schedule_prim_func(sch: TirSchedule, target: Target) -> TirSchedule:
    """The default schedule of the function ``main`` of a fresh TVM schedule."""
    for block in child_blocks(sch):
        sch = _attempt(sch, _inline, block, target)
    for block in child_blocks(sch) if target.kind not in PLAIN else ():
        before = sch
        for step in (_vector, _dot_product, _parallel):
            sch = _attempt(sch, step, block, target)
            if sch is not before:
                break
    return sch


def _attempt(
    sch: TirSchedule, step: Callable[[TirSchedule, SBlockRV, Target], None], block: SBlockRV, target: Target
) -> TirSchedule:
    """The schedule after ``step``, or ``sch`` itself, untouched, when TVM or the step refuses."""
    trial = sch.copy()
    try:
        step(trial, block, target)
    except Exception:  # a refused primitive may be any of half a dozen types
        return sch
    return trial


class _NotHere(Exception):
    """A step has nothing to offer for this block."""


def _nbytes(region: Any) -> int:
    shape = [int(extent) for extent in region.source.shape]
    return math.prod(shape) * (region.source.dtype.bits // 8 or 1)


def _inline(sch: TirSchedule, block: SBlockRV, target: Target) -> None:
    """Inline a producer unless that would repeat costly work."""
    nest = axes(sch, block)
    if any(axis.reduction for axis in nest) or not feeds_plain(sch, block):
        raise _NotHere
    reads = sum(work(axes(sch, consumer)) for consumer in sch.get_consumers(block))
    if reads > work(nest) and has_calls(sch.get(block)):
        raise _NotHere
    sch.compute_inline(block)


def _order(sch: TirSchedule, block: SBlockRV, spatial: Sequence[Axis]) -> list[Axis]:
    """Spatial axes, those that walk through the most memory first, so that large operands are read once."""
    reads = sch.get(block).reads

    def walked(axis: Axis) -> int:
        return sum(_nbytes(region) for region in reads if stride(region, axis.var) != 0)

    return sorted(spatial, key=walked, reverse=True)


def _run_parallel(sch: TirSchedule, loops: Sequence[LoopRV], iterations: int, target: Target) -> None:
    """Fuse as many of the outermost loops as give each core a few tasks, and run them in parallel."""
    if iterations < WORTH_PARALLEL or not loops:
        return
    count, tasks = 0, 1
    while count < len(loops) and tasks < 4 * target.cores:
        tasks *= int(sch.get(loops[count]).extent)
        count += 1
    sch.parallel(sch.fuse(*loops[:count]) if count > 1 else loops[0])


def _vector(sch: TirSchedule, block: SBlockRV, target: Target) -> None:
    """Vectors along the contiguous axis of the outputs, inside of any reduction."""
    nest = axes(sch, block)
    axis = vector_axis(sch, block, [a for a in nest if not a.reduction])
    if axis is None:
        raise _NotHere
    outer = [a for a in nest if not a.reduction and a is not axis]
    reduced = [a.loop for a in nest if a.reduction]
    order = [a.loop for a in (_order(sch, block, outer) if reduced else outer)]
    width = vector_width(axis.extent, target.lanes)
    inner = [axis.loop]
    if width:
        inner = list(sch.split(axis.loop, [None, width]))
        sch.vectorize(inner[1])
    # A block of columns at a time keeps its sums in a register, but strides through the operands: only where the
    # other loops do not feed the cores, or where nothing is summed.
    if (not reduced or work(outer) < target.cores) and width:
        order.append(inner.pop(0))
    sch.reorder(*order, *reduced, *inner)
    _run_parallel(sch, order if order or reduced else inner, work(nest), target)
    if reduced:
        sch.decompose_reduction(block, reduced[0])


def _dot_product(sch: TirSchedule, block: SBlockRV, target: Target) -> None:
    """Vectors along a reduced axis along which every operand is contiguous: one partial result per lane."""
    nest = axes(sch, block)
    spatial, reduced = [a for a in nest if not a.reduction], [a for a in nest if a.reduction]
    stmt = sch.get(block)
    strides = {axis: {stride(region, axis.var) for region in stmt.reads} for axis in reduced}
    along = [a for a in reduced if 1 in strides[a] and strides[a] <= {0, 1} and vector_width(a.extent, target.lanes)]
    if not along:
        raise _NotHere
    at = nest.index(along[-1])
    order = [a.loop for a in _order(sch, block, spatial)]
    _, lane = sch.split(nest[at].loop, [None, vector_width(nest[at].extent, target.lanes)])
    partial = sch.rfactor(lane, len(stmt.writes[0].region))
    loops = sch.get_loops(partial)
    lane = loops.pop(at + 1)
    if spatial:
        sch.reorder(*order)
        sch.compute_at(partial, order[-1], preserve_unit_loops=True)
        sch.set_scope(partial, 0, "local")
        # The order is now that of the block's variables: the lane, then the spatial ones, then the reduced ones.
        lane, *loops = sch.get_loops(partial)[-1 - len(nest) :]
        _run_parallel(sch, order, work(nest), target)
    sch.reorder(*loops, lane)
    sch.vectorize(lane)
    sch.decompose_reduction(partial, loops[len(spatial)])


def _parallel(sch: TirSchedule, block: SBlockRV, target: Target) -> None:
    """Loops as they are, the outer ones in parallel."""
    nest = axes(sch, block)
    outer = [a.loop for a in itertools.takewhile(lambda a: not a.reduction, nest)]
    _run_parallel(sch, outer, work(nest), target)
