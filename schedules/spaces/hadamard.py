"""Hadamard transforms on CPUs: a row at a time in registers, butterflies inside of vectors and then between them."""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from schedules.operator import Operator
from schedules.operators.hadamard import Hadamard
from schedules.row_space import RowSpace, Tasks
from schedules.vectors import butterflies, with_lanes

# A longer row is transformed in memory, with loops: its unrolled code would take long to compile.
UNROLLED = 512


class HadamardRows(RowSpace):
    """Knobs: ``rows`` a task; ``width``: vectors that are one value of the program, which LLVM divides again."""

    name: ClassVar[str] = "hadamard"
    version: ClassVar[int] = 1
    families: ClassVar[tuple[type[Operator], ...]] = (Hadamard,)

    @property
    def total(self) -> int:
        return int(self.op.tokens)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {**super().knobs, "width": [1, 2]}

    @property
    def seed(self) -> dict[str, int]:
        return {"width": 1}

    def kernel(self, tasks: Tasks, config: Mapping[str, int]) -> Any:
        return _hadamard(self.op, tasks, min(self.op.dim, self.target.lanes * config["width"]))


def transform(dim: int, lanes: int) -> Any:
    """A macro: ``F[dim]`` transformed in place, not scaled; ``part[lanes]`` is memory to work in.

    ``lanes`` and ``dim`` are powers of two.
    """
    from tvm.script import tirx as T

    vectors = dim // lanes
    loop = T.unroll if dim <= UNROLLED else T.serial

    @T.macro
    def transformed(F, part):
        for c in loop(vectors):
            F[T.ramp(c * lanes, 1, lanes)] = butterflies(F[T.ramp(c * lanes, 1, lanes)], lanes)
        for s in loop(vectors.bit_length() - 1):
            for j in loop(vectors // 2):
                a = T.meta_var((((j >> s) << (s + 1)) + (j & ((1 << s) - 1))) * lanes)
                b = T.meta_var(a + (lanes << s))
                for i in T.vectorized(lanes):
                    part[i] = F[a + i]
                for i in T.vectorized(lanes):
                    F[a + i] = part[i] + F[b + i]
                for i in T.vectorized(lanes):
                    F[b + i] = part[i] - F[b + i]

    return transformed


def _hadamard(op: Hadamard, tasks: Tasks, lanes: int) -> Any:
    from tvm.script import tirx as T

    tokens, dim, dtype, size = op.tokens, op.dim, op.dtype, tasks.size
    wide, narrow = with_lanes("float32", lanes), with_lanes(dtype, lanes)
    transformed, scale = transform(dim, lanes), T.float32(dim**-0.5)

    # fmt: off
    @T.prim_func(s_tir=True)
    def main(X: T.Buffer((tokens, dim), dtype), Y: T.Buffer((tokens, dim), dtype)):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            for task in tasks.loop(tasks.count):
                with T.sblock("rows"):
                    v = T.axis.spatial(tasks.count, task)
                    T.reads(X[v * size : v * size + size, 0:dim])
                    T.writes(Y[v * size : v * size + size, 0:dim])
                    F = T.sblock_alloc_buffer((dim,), "float32", scope="local")
                    part = T.sblock_alloc_buffer((lanes,), "float32", scope="local")
                    for r in range(size):
                        if tasks.inside(v * size + r):
                            for c in range(dim // lanes):
                                F[T.ramp(c * lanes, 1, lanes)] = T.Cast(
                                    wide, X[v * size + r, T.ramp(c * lanes, 1, lanes)]
                                )
                            transformed(F, part)
                            for c in range(dim // lanes):
                                Y[v * size + r, T.ramp(c * lanes, 1, lanes)] = T.Cast(
                                    narrow, F[T.ramp(c * lanes, 1, lanes)] * T.broadcast(scale, lanes)
                                )
    # fmt: on
    return main
