"""The generic space: any PrimFunc on a CPU, by the schedule rules of TVM's MetaSchedule.

The rules write sketches: traces whose sampling instructions (tile sizes, compute locations, unrolling) are open. A
schedule is a sketch with every choice made, kept as the plain trace. What turns the marks of a trace into parallel,
vectorised and unrolled loops is deterministic and runs when the schedule is applied. Tiling is ``SSRSRS`` as in
"Ansor" (Zheng et al., OSDI 2020), section 4.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.axes import child_blocks, feeds_plain, is_plain
from schedules.schedule import Schedule
from schedules.space import Space
from schedules.trace import replay_schedule, to_json
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule as TirSchedule
    from tvm.s_tir.schedule import Trace

TASKS_PER_CORE = (1, 2, 4, 8, 16)
VECTORS = (0, 1, 2, 4)
# A body of more than about 128 vector instructions takes LLVM seconds: VECTORS x UNROLL stays near that.
UNROLL = (0, 8, 32)
# Work that a schedule may do over, as a multiple of what the workload needs.
REPEATED = 2
MAX_FACTORED = 3
TILES, LOCATIONS = 48, 8
COUNTED = (
    "Split",
    "Fuse",
    "Reorder",
    "ComputeAt",
    "ReverseComputeAt",
    "ComputeInline",
    "ReverseComputeInline",
    "CacheRead",
    "CacheWrite",
    "RFactor",
)


class Generic(Space):
    """``{"trace": ...}``: a sketch of the schedule rules with its choices."""

    name: ClassVar[str] = "generic"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        return target.kind == "llvm"

    @cached_property
    def sketches(self) -> list[Trace]:
        """The traces that the rules write for the workload, choices open."""
        import tvm
        from tvm.s_tir import Schedule as TirSchedule
        from tvm.s_tir import meta_schedule as ms
        from tvm.s_tir.schedule import Trace

        rule = ms.schedule_rule
        sch = TirSchedule(self.workload.prim_func)
        blocks = child_blocks(sch)
        fixed = {sch.get(block).name_hint for block in blocks if not feeds_plain(sch, block)}
        # A sketch with and two without for each reduction: with many of them, none is split.
        reductions = sum(sch.get(block).init is not None for block in blocks)
        factor = [rule.AddRFactor(max_jobs_per_core=16, max_innermost_factor=64)] * (reductions <= MAX_FACTORED)
        generator = ms.space_generator.PostOrderApply(
            f_block_filter=lambda block: block.name_hint not in fixed,
            sch_rules=[
                rule.InlineConstantScalars(),
                rule.AutoInline(
                    into_producer=False,
                    into_consumer=True,
                    inline_const_tensor=True,
                    disallow_if_then_else=True,
                    require_injective=True,
                    require_ordered=True,
                    disallow_op=["tirx.exp"],
                ),
                *factor,
                rule.MultiLevelTiling(
                    structure="SSRSRS",
                    max_innermost_factor=64,
                    reuse_write=rule.ReuseType(req="may", levels=[1, 2], scope="global"),
                ),
                rule.ParallelizeVectorizeUnroll(
                    max_jobs_per_core=TASKS_PER_CORE[-1],
                    max_vectorize_extent=VECTORS[-1] * self.target.lanes,
                    unroll_max_steps=list(UNROLL),
                    unroll_explicit=True,
                ),
                rule.RandomComputeLocation(),
            ],
            postprocs=[],
            mutator_probs={},
        )
        module = tvm.IRModule({"main": self.workload.prim_func})
        target = tvm.target.Target({**self.target.tvm, "num-cores": self.target.cores})
        # The constructor in Python imports every tensor intrinsic of TVM, which takes ten seconds.
        context = ms._ffi_api.TuneContext(module, target, generator, None, "main", 1, 1, lambda *message: None)
        ms._ffi_api.TuneContextInitialize(context)
        try:
            made = generator.generate_design_space(module)
        except Exception:  # a rule of TVM's may fail on what another one did, in many types of error
            return []
        return [Trace(sch.trace.insts, {}) for sch in made]

    @cached_property
    def operations(self) -> float:
        """Arithmetic operations of the workload as it was written."""
        import tvm

        return _operations(tvm.IRModule({"main": self.workload.prim_func}))

    def seeds(self) -> list[Schedule]:
        return []

    def sample(self, rng: np.random.Generator) -> Schedule | None:
        from tvm.s_tir import Schedule as TirSchedule

        for _ in range(20 if self.sketches else 0):
            sketch = self.sketches[int(rng.integers(len(self.sketches)))]
            sch = TirSchedule(self.workload.prim_func, seed=int(rng.integers(1, 2**31 - 1)), error_render_level="fast")
            try:
                sketch.apply_to_schedule(sch, remove_postproc=True)
            except Exception:  # choices that do not fit each other: TVM refuses in many types
                continue
            trace = to_json(sch.trace)
            for instruction in trace[0]:
                self._draw_mark(instruction, rng)
            found = self._legal(trace)
            if found is not None:
                return found
        return None

    def mutate(self, schedule: Schedule, rng: np.random.Generator) -> Schedule | None:
        for _ in range(20):
            trace = copy.deepcopy(schedule.config["trace"])
            self._change(trace, rng)
            found = self._legal(trace) if trace != schedule.config["trace"] else None
            if found is not None and found != schedule:
                return found
        return None

    def apply(self, schedule: Schedule) -> tvm.IRModule:
        return self.traced(schedule).mod

    def traced(self, schedule: Schedule) -> TirSchedule:
        if (schedule.space, schedule.version) != (self.name, self.version) or set(schedule.config) != {"trace"}:
            raise InputError(f"schedule {schedule.id} is not a trace of space {self.name} v{self.version}")
        return _finish(replay_schedule(self.workload.prim_func, schedule.config["trace"]))

    def features(self, schedule: Schedule) -> dict[str, float]:
        instructions, decisions = schedule.config["trace"]
        chosen = dict(map(tuple, decisions))
        tiles, locations = [], []
        marks = dict.fromkeys(("meta_schedule.parallel", "meta_schedule.vectorize", "meta_schedule.unroll_explicit"), 0)
        drawn: dict[str, int] = {}
        for index, (kind, inputs, attributes, outputs) in enumerate(instructions):
            if kind == "SamplePerfectTile":
                tiles += chosen[index]
            elif kind == "SampleComputeLocation":
                locations.append(chosen[index])
            elif kind == "SampleCategorical":
                drawn[outputs[0]] = attributes[0][chosen[index]]
            elif kind == "Annotate" and attributes[0] in marks:
                marks[attributes[0]] = drawn.get(inputs[1], inputs[1])
        counts = Counter(instruction[0] for instruction in instructions)
        return {
            **{f"tile {at}": math.log2(tile) for at, tile in enumerate(_padded(tiles, TILES, 1))},
            **{f"location {at}": float(where) for at, where in enumerate(_padded(locations, LOCATIONS, -3))},
            **{name: math.log2(1 + value) for name, value in marks.items()},
            **{kind: float(counts[kind]) for kind in COUNTED},
            "instructions": float(len(instructions)),
        }

    def _legal(self, trace: Any) -> Schedule | None:
        """The schedule of a trace as TVM replays it, which mends tiles that do not divide.

        None when TVM refuses, or when a compute location repeats so much work that timing it is a waste.
        """
        try:
            sch = replay_schedule(self.workload.prim_func, trace)
            replayed = to_json(sch.trace)
            _finish(sch)
        except InputError:
            return None
        if _operations(sch.mod) > REPEATED * self.operations:
            return None
        return self.schedule({"trace": replayed})

    def _draw_mark(self, instruction: list[Any], rng: np.random.Generator) -> bool:
        """Draw how many parallel tasks or vector lanes an annotation asks for; False where it is none of those."""
        kind, inputs, attributes, _ = instruction
        if kind == "Annotate" and attributes == ["meta_schedule.parallel"]:
            inputs[1] = int(rng.choice(TASKS_PER_CORE)) * self.target.cores
        elif kind == "Annotate" and attributes == ["meta_schedule.vectorize"]:
            # One lane leaves vectorising to LLVM, which does better with sizes that no vector divides.
            inputs[1] = max(1, int(rng.choice(VECTORS)) * self.target.lanes)
        else:
            return False
        return True

    def _change(self, trace: list[Any], rng: np.random.Generator) -> None:
        """Change one choice of a trace, in place; at times nothing comes of it."""
        instructions, decisions = trace
        chosen = {decision[0]: decision for decision in decisions}
        choices = [i for i, instruction in enumerate(instructions) if i in chosen or _is_mark(instruction)]
        if not choices:
            return
        index = int(rng.choice(choices))
        kind, _, attributes, _ = instructions[index]
        if kind == "SamplePerfectTile":
            _move_factor(chosen[index][1], attributes[1], rng)
        elif kind == "SampleCategorical":
            chosen[index][1] = int(rng.integers(len(attributes[0])))
        elif kind == "SampleComputeLocation":
            # TVM takes the nearest location that is possible.
            chosen[index][1] = int(rng.integers(-2, 12))
        else:
            self._draw_mark(instructions[index], rng)


MARKS = ("meta_schedule.parallel", "meta_schedule.vectorize")


def _is_mark(instruction: list[Any]) -> bool:
    return instruction[0] == "Annotate" and instruction[2][0] in MARKS


def _move_factor(tiles: list[int], innermost: int, rng: np.random.Generator) -> None:
    """Move a factor from one tile to another, keeping the product, and the last tile at most ``innermost``."""
    source, target = rng.choice(len(tiles), size=2, replace=False)
    factors = [factor for factor in range(2, min(tiles[source], 128) + 1) if tiles[source] % factor == 0]
    if target == len(tiles) - 1:
        factors = [factor for factor in factors if tiles[target] * factor <= innermost]
    if factors:
        factor = int(rng.choice(factors))
        tiles[source] //= factor
        tiles[target] *= factor


def _padded(values: list[int], size: int, filler: int) -> list[int]:
    return [*values[:size], *[filler] * (size - len(values))]


def _operations(module: tvm.IRModule) -> float:
    from tvm.s_tir.analysis import estimate_tir_flops

    return float(estimate_tir_flops(module))


def _finish(sch: TirSchedule) -> TirSchedule:
    """Turn the marks that a trace left into parallel, vectorised and unrolled loops.

    Raises:
        InputError: TVM refuses, or a loop has a length that is not constant.
    """
    from tvm.s_tir.meta_schedule import postproc

    steps = (
        postproc.DisallowDynamicLoop(),
        postproc.RewriteParallelVectorizeUnroll(),
        postproc.RewriteReductionBlock(),
    )
    for step in steps:
        try:
            done = step.apply(sch)
        except Exception as error:  # from C++, in many types
            done, reason = False, str(error).strip().splitlines()[-1:]
        else:
            reason = []
        if not done:
            raise InputError(f"trace cannot be finished by {type(step).__name__}: {''.join(reason)[:200]}")
    if _vectorises_memory(sch.mod):
        raise InputError("trace vectorises a block that has memory of its own, which TVM does wrongly")
    return sch


def _vectorises_memory(module: tvm.IRModule) -> bool:
    """Whether a vectorised loop holds a block that is more than the computation of one element."""
    import tvm_ffi
    from tvm import s_tir, tirx

    found: list[Any] = []

    def loop(stmt: Any) -> None:
        if stmt.kind == tirx.ForKind.VECTORIZED and int(stmt.extent) > 1:
            tvm_ffi.structural_walk(stmt.body, (s_tir.SBlock, lambda block: found.append(is_plain(block))))

    tvm_ffi.structural_walk(module["main"].body, (tirx.For, loop))
    return not all(found)
