"""Sinkhorn normalisation on CPUs: as many matrices at once as a vector has lanes, an element of them a vector."""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from schedules.operator import Operator
from schedules.operators.sinkhorn import Sinkhorn
from schedules.row_space import RowSpace, Tasks, chunks


class SinkhornRows(RowSpace):
    """Knobs: ``rows`` (groups of matrices) a task; ``lanes``: matrices of a group."""

    name: ClassVar[str] = "sinkhorn"
    version: ClassVar[int] = 1
    families: ClassVar[tuple[type[Operator], ...]] = (Sinkhorn,)

    @property
    def total(self) -> int:
        return -(-self.op.tokens // self.target.lanes)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {"rows": chunks(self.total, self.target.cores)}

    def kernel(self, tasks: Tasks, config: Mapping[str, int]) -> Any:
        return _sinkhorn(self.op, tasks, self.target.lanes)


def _normalised(hc: int, lanes: int, eps: float, down: bool) -> Any:
    """A macro: the columns (``down``) or rows of ``m`` divided by their sums plus eps; ``s[lanes]`` is memory."""
    from tvm.script import tirx as T

    step, run = (hc * lanes, lanes) if down else (lanes, hc * lanes)

    @T.macro
    def normalised(m, s):
        for g in T.unroll(hc):
            for i in T.vectorized(lanes):
                s[i] = T.float32(eps) + m[g * run + i]
            for k in T.unroll(hc - 1):
                for i in T.vectorized(lanes):
                    s[i] = s[i] + m[g * run + (k + 1) * step + i]
            for i in T.vectorized(lanes):
                s[i] = T.float32(1) / s[i]
            for k in T.unroll(hc):
                for i in T.vectorized(lanes):
                    m[g * run + k * step + i] = m[g * run + k * step + i] * s[i]

    return normalised


def _sinkhorn(op: Sinkhorn, tasks: Tasks, lanes: int) -> Any:
    from tvm.script import tirx as T

    tokens, hc, rounds, eps, size = op.tokens, op.hc, op.iters - 1, op.eps, tasks.size
    columns, rows = (_normalised(hc, lanes, eps, down) for down in (True, False))
    softened = _normalised(hc, lanes, 0.0, False)

    # fmt: off
    @T.prim_func(s_tir=True)
    def main(L: T.Buffer((tokens, hc, hc), "float32"), C: T.Buffer((tokens, hc, hc), "float32")):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            for task in tasks.loop(tasks.count):
                with T.sblock("rows"):
                    v = T.axis.spatial(tasks.count, task)
                    T.reads(L[0:tokens, 0:hc, 0:hc])
                    T.writes(C[0:tokens, 0:hc, 0:hc])
                    m = T.sblock_alloc_buffer((hc * hc * lanes,), "float32", scope="local")
                    s = T.sblock_alloc_buffer((lanes,), "float32", scope="local")
                    for r in range(size):
                        first = T.meta_var((v * size + r) * lanes)
                        if tasks.inside(v * size + r):
                            # Lanes without a matrix of their own compute the last one again.
                            for i, e in T.grid(lanes, hc * hc):
                                m[e * lanes + i] = L[T.min(first + i, tokens - 1), e // hc, e % hc]
                            for g in T.unroll(hc):
                                for i in T.vectorized(lanes):
                                    s[i] = m[g * hc * lanes + i]
                                for k in T.unroll(hc):
                                    for i in T.vectorized(lanes):
                                        s[i] = T.max(s[i], m[(g * hc + k) * lanes + i])
                                for k in T.unroll(hc):
                                    for i in T.vectorized(lanes):
                                        m[(g * hc + k) * lanes + i] = T.exp(m[(g * hc + k) * lanes + i] - s[i])
                            softened(m, s)
                            for e in T.unroll(hc * hc):
                                for i in T.vectorized(lanes):
                                    m[e * lanes + i] = m[e * lanes + i] + T.float32(eps)
                            columns(m, s)
                            for _ in range(rounds):
                                rows(m, s)
                                columns(m, s)
                            for i, e in T.grid(lanes, hc * hc):
                                if first + i < tokens:
                                    C[first + i, e // hc, e % hc] = m[e * lanes + i]
    # fmt: on
    return main
