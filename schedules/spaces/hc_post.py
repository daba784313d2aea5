"""Hyper-connections after a block, on CPUs: every stream is read once and gives its share to all of them."""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from schedules.operator import Operator
from schedules.operators.hc_post import HcPost
from schedules.row_space import RowSpace, Tasks
from schedules.space import divisors


class HcPostRows(RowSpace):
    """Knobs: ``rows`` a task, a token being ``parts`` of them; ``width``: vectors of channels at once."""

    name: ClassVar[str] = "hc_post"
    version: ClassVar[int] = 1
    families: ClassVar[tuple[type[Operator], ...]] = (HcPost,)

    @property
    def total(self) -> int:
        return int(self.op.tokens * self.parts)

    @property
    def parts(self) -> int:
        """Equal parts of a token's channels, where there are fewer tokens than cores."""
        return divisors(self.op.dim, self.target.cores)[-1] if self.op.tokens < self.target.cores else 1

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {**super().knobs, "width": [1, 2]}

    @property
    def seed(self) -> dict[str, int]:
        return {"width": 1}

    def kernel(self, tasks: Tasks, config: Mapping[str, int]) -> Any:
        return _hc_post(self.op, tasks, self.parts, self.target.lanes * config["width"])


def _mixed(op: HcPost, lanes: int) -> Any:
    """A macro: ``lanes`` channels of token ``t`` from ``d`` on, in all streams; ``x``, ``y``, ``z`` are memory."""
    from tvm.script import tirx as T

    hc, dtype = op.hc, op.dtype

    @T.macro
    def mixed(Y, X, POST, COMB, Z, t, d, x, y, z):
        for i in T.vectorized(lanes):
            y[i] = T.Cast("float32", Y[t, d + i])
        for j in T.unroll(hc):
            for i in T.vectorized(lanes):
                x[j * lanes + i] = T.Cast("float32", X[t, j, d + i])
        for j in T.unroll(hc):
            for i in T.vectorized(lanes):
                z[i] = POST[t, j] * y[i]
            for k in T.unroll(hc):
                for i in T.vectorized(lanes):
                    z[i] = z[i] + COMB[t, k, j] * x[k * lanes + i]
            for i in T.vectorized(lanes):
                Z[t, j, d + i] = T.Cast(dtype, z[i])

    return mixed


def _hc_post(op: HcPost, tasks: Tasks, parts: int, lanes: int) -> Any:
    from tvm.script import tirx as T

    tokens, hc, dim, dtype, size = op.tokens, op.hc, op.dim, op.dtype, tasks.size
    share = dim // parts
    whole, rest = share // lanes, share % lanes
    vector, scalar = _mixed(op, lanes), _mixed(op, 1)

    # fmt: off
    @T.prim_func(s_tir=True)
    def main(
        Y: T.Buffer((tokens, dim), dtype),
        X: T.Buffer((tokens, hc, dim), dtype),
        POST: T.Buffer((tokens, hc), "float32"),
        COMB: T.Buffer((tokens, hc, hc), "float32"),
        Z: T.Buffer((tokens, hc, dim), dtype),
    ):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            for task in tasks.loop(tasks.count):
                with T.sblock("rows"):
                    v = T.axis.spatial(tasks.count, task)
                    T.reads(
                        Y[0:tokens, 0:dim],
                        X[0:tokens, 0:hc, 0:dim],
                        POST[0:tokens, 0:hc],
                        COMB[0:tokens, 0:hc, 0:hc],
                    )
                    T.writes(Z[0:tokens, 0:hc, 0:dim])
                    x = T.sblock_alloc_buffer((hc * lanes,), "float32", scope="local")
                    y = T.sblock_alloc_buffer((lanes,), "float32", scope="local")
                    z = T.sblock_alloc_buffer((lanes,), "float32", scope="local")
                    for r in range(size):
                        if tasks.inside(v * size + r):
                            t = T.meta_var((v * size + r) // parts)
                            d = T.meta_var((v * size + r) % parts * share)
                            for c in range(whole):
                                vector(Y, X, POST, COMB, Z, t, d + c * lanes, x, y, z)
                            for c in range(rest):
                                scalar(Y, X, POST, COMB, Z, t, d + whole * lanes + c, x, y, z)
    # fmt: on
    return main
