"""Linear layers of a few rows on GPUs: bound by reading the weight, so a warp or more reads each row of it in vectors.

Every thread multiplies its part of some rows of the weight with the same part of all rows of the activations, and the
threads of a row add up their sums at the end. Nothing goes through shared memory but those, where a row has more than a
warp.
"""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from schedules.cuda.budget import Budget
from schedules.cuda.space import CudaSpace
from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.traits import Traits
from schedules.workload import Workload
from targets import Target

# Rows from which on the tensor cores are the better way.
MOST = 16
# Sums, and registers of what was loaded, that a thread may have.
SUMS, LOADED = 64, 160


class CudaSkinny(CudaSpace):
    """Knobs: ``lanes``: threads that share a row of the weight; ``warps``: such groups in a thread block; ``columns``:
    rows of the weight that a group has at once; ``steps``: vectors of each that a thread loads before it uses them."""

    name: ClassVar[str] = "cuda_skinny"
    version: ClassVar[int] = 1

    @classmethod
    def supports(cls, workload: Workload, target: Target) -> bool:
        op = workload.instance
        return target.kind == "cuda" and isinstance(op, Linear) and op.m <= MOST and op.k % (32 * vector(op)) == 0

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        op = self.op
        return {
            "lanes": [n for n in (32, 64, 128, 256) if op.k % (n * vector(op)) == 0],
            "warps": [n for n in (1, 2, 4, 8, 16) if op.n % n == 0],
            "columns": [n for n in (1, 2, 4, 8) if op.n % n == 0],
            "steps": [n for n in (1, 2, 4) if op.k % (32 * vector(op) * n) == 0],
        }

    def allows(self, config: Mapping[str, int]) -> bool:
        op = self.op
        return (
            op.k % (config["lanes"] * vector(op) * config["steps"]) == 0
            and op.n % (config["warps"] * config["columns"]) == 0
            and op.m * config["columns"] <= SUMS
            and self._loaded(config) <= LOADED
            and self.fits(config)
        )

    def budget(self, config: Mapping[str, int]) -> Budget:
        # Two registers and more for each sum: a part, and what is added to it. Loads are not all under way at once.
        registers = 26 + 9 * self.op.m * config["columns"] // 4 + self._loaded(config) // 6
        return Budget(config["lanes"] * config["warps"], registers)

    def _loaded(self, config: Mapping[str, int]) -> int:
        """Registers of what a thread loads at once, four a vector."""
        return 4 * config["steps"] * (config["columns"] + int(self.op.m))

    def seeds(self) -> list[Schedule]:
        wanted = [
            {"lanes": 32, "warps": 4, "columns": 2, "steps": 2},
            {"lanes": 32, "warps": 8, "columns": 1, "steps": 4},
            {"lanes": 128, "warps": 1, "columns": 4, "steps": 1},
            {"lanes": 64, "warps": 2, "columns": 2, "steps": 1},
        ]
        found = [self.nearest(config) for config in wanted]
        return list(dict.fromkeys(schedule for schedule in found if schedule is not None))

    def traits(self, config: Mapping[str, int]) -> Traits:
        op, columns = self.op, config["columns"]
        blocks = op.n / (config["warps"] * columns)
        held = self._loaded(config) + op.m * columns
        loads = (columns + op.m) / (columns * op.m)
        return Traits(tasks=blocks, task=self.workload.bytes / blocks, registers=(held, 255), loads=loads)

    def plain(self, config: Mapping[str, int]) -> Any:
        import tvm

        return tvm.IRModule({"main": _main(self.op, **config)})


def vector(op: Linear) -> int:
    """Elements of the weight in 16 bytes."""
    return 8 if op.dtype == "bfloat16" else 4


def _main(op: Linear, lanes: int, warps: int, columns: int, steps: int) -> Any:
    from tvm.script import tirx as T

    m, n, k, dtype, out = op.m, op.n, op.k, op.dtype, op.out
    width = vector(op)
    step = steps * lanes * width

    @T.prim_func(s_tir=True)
    def main(A: T.Buffer((m, k), dtype), W: T.Buffer((n, k), dtype), C: T.Buffer((m, n), out)):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            rows = T.sblock_alloc_buffer((m, k), dtype, scope="local")
            weights = T.sblock_alloc_buffer((n, k), dtype, scope="local")
            part = T.sblock_alloc_buffer((m, n, lanes), "float32", scope="local")
            total = T.sblock_alloc_buffer((m, n), "float32", scope="local")
            for block in T.thread_binding(n // (warps * columns), thread="blockIdx.x"):
                for warp in T.thread_binding(warps, thread="threadIdx.y"):
                    for lane in T.thread_binding(lanes, thread="threadIdx.x"):
                        for i in T.unroll(m):
                            for j in T.unroll(columns):
                                with T.sblock("zero"):
                                    vi = T.axis.spatial(m, i)
                                    vj = T.axis.spatial(n, (block * warps + warp) * columns + j)
                                    vl = T.axis.spatial(lanes, lane)
                                    part[vi, vj, vl] = T.float32(0)
                        for s in T.serial(k // step):
                            for j in T.unroll(columns):
                                for t in T.unroll(steps):
                                    for v in T.vectorized(width):
                                        with T.sblock("weights"):
                                            vj = T.axis.spatial(n, (block * warps + warp) * columns + j)
                                            vk = T.axis.spatial(k, s * step + (t * lanes + lane) * width + v)
                                            weights[vj, vk] = W[vj, vk]
                            for i in T.unroll(m):
                                for t in T.unroll(steps):
                                    for v in T.vectorized(width):
                                        with T.sblock("rows"):
                                            vi = T.axis.spatial(m, i)
                                            vk = T.axis.spatial(k, s * step + (t * lanes + lane) * width + v)
                                            rows[vi, vk] = A[vi, vk]
                            for t in T.unroll(steps):
                                for v in T.unroll(width):
                                    for i in T.unroll(m):
                                        for j in T.unroll(columns):
                                            with T.sblock("part"):
                                                vi = T.axis.spatial(m, i)
                                                vj = T.axis.spatial(n, (block * warps + warp) * columns + j)
                                                vl = T.axis.spatial(lanes, lane)
                                                vk = T.axis.reduce(k, s * step + (t * lanes + lane) * width + v)
                                                part[vi, vj, vl] = part[vi, vj, vl] + T.Cast(
                                                    "float32", rows[vi, vk]
                                                ) * T.Cast("float32", weights[vj, vk])
                    for i in T.unroll(m):
                        for j in T.unroll(columns):
                            for lane in T.thread_binding(lanes, thread="threadIdx.x"):
                                with T.sblock("total"):
                                    vi = T.axis.spatial(m, i)
                                    vj = T.axis.spatial(n, (block * warps + warp) * columns + j)
                                    vl = T.axis.reduce(lanes, lane)
                                    with T.init():
                                        total[vi, vj] = T.float32(0)
                                    total[vi, vj] = total[vi, vj] + part[vi, vj, vl]
                            with T.sblock("out"):
                                vi = T.axis.spatial(m, i)
                                vj = T.axis.spatial(n, (block * warps + warp) * columns + j)
                                C[vi, vj] = T.Cast(out, total[vi, vj])

    return main
