"""The compressor on CPUs: a vector of channels of a window at a time, its sums in registers, then each entry's row."""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from schedules.operator import Operator
from schedules.operators.compress import EPS, Compress
from schedules.row_space import RowSpace, Tasks
from schedules.space import divisors
from schedules.spaces.hadamard import transform
from schedules.vectors import total


class CompressRows(RowSpace):
    """Knobs: ``rows`` a task, an entry being ``parts`` of them; ``width``: vectors of channels at once."""

    name: ClassVar[str] = "compress"
    version: ClassVar[int] = 1
    families: ClassVar[tuple[type[Operator], ...]] = (Compress,)

    @property
    def total(self) -> int:
        return int(self.op.entries * self.parts)

    @property
    def parts(self) -> int:
        """Equal parts of an entry's channels, where there are fewer entries than two a core."""
        cores = self.target.cores
        return divisors(self.op.dim, 2 * cores)[-1] if self.op.entries < 2 * cores else 1

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {**super().knobs, "width": [1, 2, 4]}

    @property
    def seed(self) -> dict[str, int]:
        return {"width": 2}

    def kernel(self, tasks: Tasks, config: Mapping[str, int]) -> Any:
        return _compress(self.op, tasks, self.parts, self.target.lanes, config["width"])


def _pooled(op: Compress, lanes: int) -> Any:
    """A macro: ``lanes`` channels of entry ``e`` from ``d`` on; ``most``, ``sums`` and ``keys`` are memory."""
    from tvm.script import tirx as T

    dim, ratio, halves = op.dim, op.ratio, 1 + op.overlap
    width = halves * dim

    @T.macro
    def pooled(X, APE, FIRST, C, e, d, most, sums, keys):
        for i in T.vectorized(lanes):
            most[i] = X[FIRST[e], width + d + i] + APE[0, d + i]
            sums[i] = T.float32(0)
            keys[i] = T.float32(0)
        for h, s in T.grid(halves, ratio):
            for i in T.vectorized(lanes):
                most[i] = T.max(most[i], X[FIRST[e] + h * ratio + s, width + h * dim + d + i] + APE[s, h * dim + d + i])
        for h, s in T.grid(halves, ratio):
            for i in T.vectorized(lanes):
                keys[lanes + i] = T.exp(
                    X[FIRST[e] + h * ratio + s, width + h * dim + d + i] + APE[s, h * dim + d + i] - most[i]
                )
                sums[i] = sums[i] + keys[lanes + i]
                keys[i] = keys[i] + keys[lanes + i] * X[FIRST[e] + h * ratio + s, h * dim + d + i]
        for i in T.vectorized(lanes):
            C[e, d + i] = keys[i] / sums[i]

    return pooled


def _finished(op: Compress, lanes: int) -> Any:
    """A macro: row ``e`` of ``C`` normalised, turned, transformed where asked; ``F[dim]``, ``part``, ``one`` memory."""
    from tvm.script import tirx as T

    dim, dtype, start, half = op.dim, op.dtype, op.dim - op.rotary, op.rotary // 2
    whole, rest = dim // lanes, dim % lanes
    transformed = transform(dim, min(dim, lanes)) if op.hadamard else None
    scale = T.float32(dim**-0.5 if op.hadamard else 1.0)

    @T.macro
    def finished(C, G, COS, SIN, Y, e, F, part, one):
        for i in T.vectorized(lanes):
            part[i] = T.float32(0)
        for c in range(whole):
            for i in T.vectorized(lanes):
                part[i] = part[i] + C[e, c * lanes + i] * C[e, c * lanes + i]
        one[0] = total(part[T.ramp(0, 1, lanes)], lanes)
        for d in range(rest):
            one[0] = one[0] + C[e, whole * lanes + d] * C[e, whole * lanes + d]
        one[0] = T.rsqrt(one[0] * T.float32(1.0 / dim) + T.float32(EPS))
        for d in range(dim):
            F[d] = C[e, d] * one[0] * G[d]
        for p in range(half):
            part[0] = F[start + 2 * p]
            F[start + 2 * p] = part[0] * COS[e, p] - F[start + 2 * p + 1] * SIN[e, p]
            F[start + 2 * p + 1] = part[0] * SIN[e, p] + F[start + 2 * p + 1] * COS[e, p]
        if op.hadamard:
            transformed(F, part)
        for d in range(dim):
            Y[e, d] = T.Cast(dtype, F[d] * scale)

    return finished


def _compress(op: Compress, tasks: Tasks, parts: int, lanes: int, width: int) -> Any:
    from tvm.script import tirx as T

    entries, dim, half, size, dtype = op.entries, op.dim, op.rotary // 2, tasks.size, op.dtype
    rows, channels = (entries + op.overlap) * op.ratio, (1 + op.overlap) * dim
    share, some = dim // parts, lanes * width
    whole, rest = share // some, share % some
    vector, scalar, finished = _pooled(op, some), _pooled(op, 1), _finished(op, lanes)
    # The rest of the work is small: as many entries a task as were pooled in one.
    last = Tasks(entries, -(-size // parts))

    # fmt: off
    @T.prim_func(s_tir=True)
    def main(
        X: T.Buffer((rows, 2 * channels), "float32"),
        APE: T.Buffer((op.ratio, channels), "float32"),
        FIRST: T.Buffer((entries,), "int32"),
        G: T.Buffer((dim,), "float32"),
        COS: T.Buffer((entries, half), "float32"),
        SIN: T.Buffer((entries, half), "float32"),
        Y: T.Buffer((entries, dim), dtype),
    ):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            C = T.sblock_alloc_buffer((entries, dim), "float32")
            for task in tasks.loop(tasks.count):
                with T.sblock("pool"):
                    v = T.axis.spatial(tasks.count, task)
                    T.reads(X[0:rows, 0:2 * channels], APE[0:op.ratio, 0:channels], FIRST[0:entries])
                    T.writes(C[0:entries, 0:dim])
                    most = T.sblock_alloc_buffer((some,), "float32", scope="local")
                    sums = T.sblock_alloc_buffer((some,), "float32", scope="local")
                    keys = T.sblock_alloc_buffer((2 * some,), "float32", scope="local")
                    for r in range(size):
                        if tasks.inside(v * size + r):
                            e = T.meta_var((v * size + r) // parts)
                            d = T.meta_var((v * size + r) % parts * share)
                            for c in range(whole):
                                vector(X, APE, FIRST, C, e, d + c * some, most, sums, keys)
                            for c in range(rest):
                                scalar(X, APE, FIRST, C, e, d + whole * some + c, most, sums, keys)
            for task in last.loop(last.count):
                with T.sblock("finish"):
                    v = T.axis.spatial(last.count, task)
                    T.reads(C[0:entries, 0:dim], G[0:dim], COS[0:entries, 0:half], SIN[0:entries, 0:half])
                    T.writes(Y[0:entries, 0:dim])
                    F = T.sblock_alloc_buffer((dim,), "float32", scope="local")
                    part = T.sblock_alloc_buffer((lanes,), "float32", scope="local")
                    one = T.sblock_alloc_buffer((1,), "float32", scope="local")
                    for r in range(last.size):
                        if last.inside(v * last.size + r):
                            finished(C, G, COS, SIN, Y, v * last.size + r, F, part, one)
    # fmt: on
    return main
