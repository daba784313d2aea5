"""Rotary embedding on CPUs: a head at a time, what does not turn copied, pairs turned in registers."""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from schedules.operator import Operator
from schedules.operators.rope import Rope
from schedules.row_space import RowSpace, Tasks
from schedules.vectors import pick, with_lanes


class RopeRows(RowSpace):
    """Knobs: ``rows`` (heads of tokens) a task; ``width``: vectors of channels turned at once."""

    name: ClassVar[str] = "rope"
    version: ClassVar[int] = 1
    families: ClassVar[tuple[type[Operator], ...]] = (Rope,)

    @property
    def total(self) -> int:
        return int(self.op.tokens * self.op.heads)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {**super().knobs, "width": [1, 2]}

    @property
    def seed(self) -> dict[str, int]:
        return {"width": 1}

    def kernel(self, tasks: Tasks, config: Mapping[str, int]) -> Any:
        return _rope(self.op, tasks, self.target.lanes * config["width"])


def _turned(op: Rope, width: int) -> Any:
    """A macro: the channels of head ``h`` of token ``t`` that turn, ``width`` (a divisor, 2 or more) at a time;
    ``F[width]`` is memory to work in.

    Pairs that lie apart are left to LLVM's vectoriser, as are those of which no vector is made.
    """
    from tvm.script import tirx as T

    half, start, wide = op.rotary // 2, op.start, with_lanes(op.dtype, width)
    value, pairs = with_lanes("float32", width), width // 2
    doubled, swapped = [lane // 2 for lane in range(width)], [lane ^ 1 for lane in range(width)]
    # Of the sines and, behind them, the sines negated: the first of a pair turns by -sin, the second by +sin;
    # backwards the other way round.
    signed = [lane // 2 + pairs * (lane % 2 == op.inverse) for lane in range(width)]
    forward = T.float32(-1.0 if op.inverse else 1.0)

    def turned(x: Any, cos: Any, sin: Any) -> Any:
        from tvm import tirx

        both = tirx.Shuffle([sin, -sin], [tirx.const(lane) for lane in signed])
        return x * pick(cos, doubled, 2) + pick(x, swapped) * both

    @T.macro
    def interleaved(X, COS, SIN, Y, t, h, F):
        for c in range(op.rotary // width):
            at = T.meta_var(start + c * width)
            # By way of memory of float32: TVM's legalisation of bfloat16 gets an expression of all three steps wrong.
            F[T.ramp(0, 1, width)] = T.Cast(value, X[t, h, T.ramp(at, 1, width)])
            F[T.ramp(0, 1, width)] = turned(
                F[T.ramp(0, 1, width)], COS[t, T.ramp(c * pairs, 1, pairs)], SIN[t, T.ramp(c * pairs, 1, pairs)]
            )
            Y[t, h, T.ramp(at, 1, width)] = T.Cast(wide, F[T.ramp(0, 1, width)])

    @T.macro
    def one_by_one(X, COS, SIN, Y, t, h, F):
        for i in range(half):
            first = T.meta_var(start + (2 * i if op.layout == "interleaved" else i))
            second = T.meta_var(first + (1 if op.layout == "interleaved" else half))
            a = T.meta_var(T.Cast("float32", X[t, h, first]))
            b = T.meta_var(T.Cast("float32", X[t, h, second]))
            Y[t, h, first] = T.Cast(op.dtype, a * COS[t, i] - b * (SIN[t, i] * forward))
            Y[t, h, second] = T.Cast(op.dtype, a * (SIN[t, i] * forward) + b * COS[t, i])

    return interleaved if op.layout == "interleaved" and pairs > 1 else one_by_one


def _rope(op: Rope, tasks: Tasks, lanes: int) -> Any:
    from tvm.script import tirx as T

    tokens, heads, dim, half, dtype, size = op.tokens, op.heads, op.dim, op.rotary // 2, op.dtype, tasks.size
    still, rest = (0 if op.place == "last" else op.rotary), dim - op.rotary
    width = next(n for n in (64, 32, 16, 8, 4, 2) if n <= max(lanes, 4) and op.rotary % n == 0)
    turned = _turned(op, width)

    # fmt: off
    @T.prim_func(s_tir=True)
    def main(
        X: T.Buffer((tokens, heads, dim), dtype),
        COS: T.Buffer((tokens, half), "float32"),
        SIN: T.Buffer((tokens, half), "float32"),
        Y: T.Buffer((tokens, heads, dim), dtype),
    ):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            for task in tasks.loop(tasks.count):
                with T.sblock("rows"):
                    v = T.axis.spatial(tasks.count, task)
                    T.reads(X[0:tokens, 0:heads, 0:dim], COS[0:tokens, 0:half], SIN[0:tokens, 0:half])
                    T.writes(Y[0:tokens, 0:heads, 0:dim])
                    F = T.sblock_alloc_buffer((width,), "float32", scope="local")
                    for r in range(size):
                        if tasks.inside(v * size + r):
                            t = T.meta_var((v * size + r) // heads)
                            h = T.meta_var((v * size + r) % heads)
                            for d in range(rest):
                                Y[t, h, still + d] = X[t, h, still + d]
                            turned(X, COS, SIN, Y, t, h, F)
    # fmt: on
    return main
