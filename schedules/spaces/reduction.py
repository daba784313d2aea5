"""Row-wise reductions on CPUs: normalisations, softmax, quantisation with a scale for each group of columns.

Every stage of such a program works on one row at a time, so all stages run row by row inside one parallel loop, the
row staying in cache between them. A reduction along contiguous memory keeps a vector of partial results, as many
lanes as the knob says; several registers of them hide the latency of the addition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from schedules.axes import Axis, axes, child_blocks, has_calls, is_plain, stride, vector_axis, vector_width, work
from schedules.operators.grouped_linear import GroupedLinear
from schedules.schedule import Schedule
from schedules.space import LoopSpace, divisors
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

if TYPE_CHECKING:
    from tvm.s_tir import Schedule as TirSchedule
    from tvm.s_tir.schedule import LoopRV, SBlockRV


class Reduction(LoopSpace):
    """Knobs: ``rows`` a task; ``sums``, registers of partial results; ``vector``, registers an elementwise step
    works on at once; ``keep``: stages before the last are computed again where they are read (0), again unless that
    costs calls (1), or once a row (2)."""

    name: ClassVar[str] = "reduction"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        # With one row an expert, a mixture of experts looks row-wise; TVM then fails to move its stages together.
        if isinstance(workload.instance, GroupedLinear):
            return False
        return target.kind == "llvm" and rows_axes(workload) > 0

    @cached_property
    def shared(self) -> int:
        """How many leading axes all stages have in common; their product is the number of rows."""
        return rows_axes(self.workload)

    @cached_property
    def rows(self) -> int:
        """Rows that can be computed one without the other."""
        sch = fresh_schedule(self.workload)
        return work(axes(sch, child_blocks(sch)[0])[: self.shared])

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        sch = fresh_schedule(self.workload)
        between = any(is_between(sch, block) for block in child_blocks(sch))
        return {
            "rows": sorted({*divisors(self.rows, 64), self.rows}),
            "sums": [1, 2, 4, 8],
            "vector": [1, 2, 4],
            "keep": [0, 1, 2] if between else [2],
        }

    def seeds(self) -> list[Schedule]:
        rows = max(1, self.rows // (2 * self.target.cores))
        wanted = [
            {"rows": rows, "sums": 4, "vector": 1, "keep": 2},
            {"rows": rows, "sums": 4, "vector": 2, "keep": 1},
            {"rows": rows, "sums": 1, "vector": 2, "keep": 1},
            {"rows": self.rows, "sums": 4, "vector": 1, "keep": 2},
        ]
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        row = self.workload.bytes / self.rows
        return Traits(tasks=self.rows / config["rows"], inner=row, task=row * config["rows"])

    def transform(self, sch: TirSchedule, config: Mapping[str, int]) -> None:
        lanes = self.target.lanes
        for block in child_blocks(sch):
            inline(sch, block, config["keep"])
        for block in child_blocks(sch):
            _split_reduction(sch, block, lanes, config["sums"])
        first, *others = child_blocks(sch)
        row, nest = self._row_loop(sch, first, config["rows"])
        nests = [(first, nest)]
        placed = {sch.get(first).name_hint}
        for block in others:
            producers = {sch.get(producer).name_hint for producer in sch.get_producers(block)}
            if producers and producers <= placed:
                placed.add(sch.get(block).name_hint)
                sch.reverse_compute_at(block, row, preserve_unit_loops=True)
                nests.append((block, _variables(sch, block)))
            else:
                # It needs nothing that is computed in the first nest: a nest of its own.
                nests.append((block, self._row_loop(sch, block, config["rows"])[1]))
        for block, nest in nests:
            _vectorise(sch, block, nest, lanes, config)

    def _row_loop(self, sch: TirSchedule, block: SBlockRV, rows: int) -> tuple[LoopRV, list[Axis]]:
        """Make the loop over rows within a task, tasks in parallel; return it and the axes inside of it."""
        nest = axes(sch, block)
        row = sch.fuse(*[axis.loop for axis in nest[: self.shared]])
        task, row = sch.split(row, [None, rows])
        if rows < self.rows:
            sch.parallel(task)
        return row, nest[self.shared :]


def fresh_schedule(workload: Workload) -> TirSchedule:
    """A TVM schedule of the workload as it is."""
    from tvm.s_tir import Schedule as TirSchedule

    return TirSchedule(workload.prim_func)


def rows_axes(workload: Workload) -> int:
    """How many leading axes every stage has in common, all of them data-parallel; 0 when this is not row-wise.

    Row-wise means that a stage reads of other stages only the row that it writes, and that nothing but such rows and
    vectors enters a reduction (a matrix shared by all rows would make it a matrix product).
    """
    sch = fresh_schedule(workload)
    blocks = child_blocks(sch)
    try:
        nests = [axes(sch, block) for block in blocks]
    except (KeyError, TypeError, ValueError):
        return 0
    plain = all(is_plain(sch.get(block)) for block in blocks)
    if not plain or not any(axis.reduction for nest in nests for axis in nest):
        return 0
    stages = [region.source for block in blocks for region in sch.get(block).writes]
    shared = 0
    for level in zip(*nests, strict=False):
        if any(axis.reduction for axis in level) or len({axis.extent for axis in level}) > 1:
            break
        if not all(_walks_rows(sch.get(b), axis, shared, stages) for b, axis in zip(blocks, level, strict=True)):
            break
        shared += 1
    return 0 if any(_repeats(sch.get(block)) for block in blocks) else shared


def _walks_rows(block: Any, axis: Axis, dimension: int, stages: Sequence[Any]) -> bool:
    """Whether what a block (the statement) touches belongs to the row that ``axis`` is at."""
    for region in [*block.writes, *block.reads]:
        if len(region.region) > dimension and region.region[dimension].min.same_as(axis.var):
            continue
        stage = any(region.source.same_as(source) for source in stages)
        if stage or (block.init is not None and len(region.region) > 1):
            return False
    return True


def _repeats(block: Any) -> bool:
    """Whether a reduction (the statement) reads elements more than once, as products and pooling do."""
    from tvm import sym, tirx

    if block.init is None:
        return False
    variables = [variable.var for variable in block.iter_vars]
    extents = [int(variable.dom.extent) for variable in block.iter_vars]
    reduced = [variable.iter_type == tirx.IterVar.CommReduce for variable in block.iter_vars]
    if math.prod(extents) > max(math.prod(int(n) for n in region.source.shape) for region in block.reads):
        return True
    for index in (index.min for region in block.reads for index in region.region):
        steps = sym.detect_linear_equation(index, variables)[:-1]
        if not steps or not all(isinstance(step, tirx.IntImm) for step in steps):
            return True
        sizes = [abs(int(step)) for step in steps]
        window = 1 + sum(size * (n - 1) for size, n, inside in zip(sizes, extents, reduced, strict=True) if inside)
        if window > 1 and any(0 < size < window for size, inside in zip(sizes, reduced, strict=True) if not inside):
            return True
    return False


def is_between(sch: TirSchedule, block: SBlockRV) -> bool:
    """Whether a block is an elementwise stage that other stages read and the caller does not see."""
    from tvm.s_tir.schedule.analysis import is_output_block

    return sch.get(block).init is None and not is_output_block(sch, block)


def inline(sch: TirSchedule, block: SBlockRV, keep: int) -> None:
    """Inline an elementwise stage into those that read it, as ``keep`` says."""
    if keep == 2 or not is_between(sch, block):
        return
    reads = sum(work(axes(sch, consumer)) for consumer in sch.get_consumers(block))
    if keep == 1 and reads > work(axes(sch, block)) and has_calls(sch.get(block)):
        return
    sch.compute_inline(block)


def _split_reduction(sch: TirSchedule, block: SBlockRV, lanes: int, sums: int) -> None:
    """Give a reduction along contiguous memory a vector of partial results, of ``sums`` registers at most."""
    nest = axes(sch, block)
    stmt = sch.get(block)
    reduced = [axis for axis in nest if axis.reduction]
    if not reduced or vector_axis(sch, block, [axis for axis in nest if not axis.reduction]) is not None:
        return
    # TVM loses the bound of an uneven split here: only widths that divide.
    along = reduced[-1]
    strides = {stride(region, along.var) for region in stmt.reads}
    width = vector_width(along.extent, lanes * sums)
    if 1 not in strides or not strides <= {0, 1} or not width:
        return
    dimension = len(stmt.writes[0].region)
    # Registers are combined into one first, then its quarters, then four numbers.
    levels = sorted({level for level in (width, lanes, 4) if level <= width}, reverse=True)
    loop = along.loop
    for level in levels:
        _, lane = sch.split(loop, [None, level])
        sch.rfactor(lane, dimension)
        loop = sch.get_loops(block)[-1]


def _variables(sch: TirSchedule, block: SBlockRV) -> list[Axis]:
    """The axes of a block that was moved into another nest: its innermost loops, in the order of its variables."""
    from tvm import tirx

    variables = sch.get(block).iter_vars
    loops = sch.get_loops(block)[-len(variables) :]
    return [
        Axis(loop, variable.var, int(sch.get(loop).extent), variable.iter_type == tirx.IterVar.CommReduce)
        for loop, variable in zip(loops, variables, strict=True)
    ]


def _vectorise(sch: TirSchedule, block: SBlockRV, nest: Sequence[Axis], lanes: int, config: Mapping[str, int]) -> None:
    """Vectors along the contiguous axis of what a block writes, inside of its reduction."""
    spatial, reduced = [a for a in nest if not a.reduction], [a.loop for a in nest if a.reduction]
    axis = vector_axis(sch, block, spatial)
    registers = config["sums"] if reduced else config["vector"]
    width = vector_width(axis.extent, lanes * registers) if axis is not None else 0
    if axis is not None and width:
        outer, inner = sch.split(axis.loop, [None, width])
        order = [a.loop for a in spatial if a is not axis]
        sch.reorder(*order, outer, *reduced, inner)
        sch.vectorize(inner)
    if reduced:
        sch.decompose_reduction(block, reduced[0])
