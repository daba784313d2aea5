"""Multi-head attention of a prefill, queries and keys wider than values: DeepSeek-V3's, multiplied out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.attention import Attention, attended, least, reference_head
from schedules.dtypes import NUMPY, SHORT, widened
from schedules.operator import Arrays, fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class MhaPrefill(Attention):
    """``O[b, i, h] = sum_n softmax_n(SCALE Q[b, i, h] . K[b, n, h]) V[b, n, h]``, softmax in float32.

    Query ``i`` is the new token ``keys - queries + i`` of its sequence and sees no key after it. The form in which
    DeepSeek-V3's ``inference/model.py`` ("naive") and FlashMLA's dense prefill attend: ``dim`` is 128 + 64,
    ``value_dim`` 128. ``SCALE[1]`` is float32: ``dim**-0.5``, times what a longer context asks for (YaRN). Rounded once
    at the end. Stages as of ``gqa_attention``: ``QK``, ``D``, ``M``, ``E``, ``S``, ``P``, ``O``.

    Attributes:
        batch, queries, keys: sequences, new tokens of each, tokens that each has in all.
        heads, dim, value_dim: heads, the width of queries and keys, and that of values.
        dtype: of queries, keys, values and output, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "mha_prefill"
    summary: ClassVar[str] = "causal attention of heads whose values are narrower than their keys"
    row_parameter: ClassVar[str] = "batch"
    batch: int
    queries: int
    keys: int
    heads: int
    dim: int
    value_dim: int
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries > self.keys:
            raise InputError(f"operator {self.name!r}: queries {self.queries} are among keys {self.keys}, not more")

    @property
    def _before(self) -> int:
        """Keys that every query sees besides the new ones."""
        return self.keys - self.queries

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        shape, cache = (self.batch, self.queries, self.heads), (self.batch, self.keys, self.heads)
        q = te.placeholder((*shape, self.dim), self.dtype, "Q")
        k = te.placeholder((*cache, self.dim), self.dtype, "K")
        v = te.placeholder((*cache, self.value_dim), self.dtype, "V")
        scale = te.placeholder((1,), "float32", "SCALE")
        d = te.reduce_axis((0, self.dim), "d")

        def dot(b, i, h, n):  # type: ignore[no-untyped-def]
            return te.sum(q[b, i, h, d].astype("float32") * k[b, n, h, d].astype("float32"), axis=d)

        def scaled(value, b, i, h, n):  # type: ignore[no-untyped-def]
            return tirx.Select(n <= i + self._before, value * scale[0], least())

        def value(b, n, h, c):  # type: ignore[no-untyped-def]
            return v[b, n, h, c].astype("float32")

        o = attended(dot, scaled, value, shape, self.keys, self.value_dim, self.dtype)
        return te.create_prim_func([q, k, v, scale, o])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype, cache = NUMPY[self.dtype], (self.batch, self.keys, self.heads)
        # Queries twice as long as keys, so that the softmax prefers some keys to others.
        q = fill(rng, (self.batch, self.queries, self.heads, self.dim), dtype, 2.0)
        k, v = fill(rng, (*cache, self.dim), dtype), fill(rng, (*cache, self.value_dim), dtype)
        return [q, k, v, np.full(1, self.dim**-0.5, np.float32)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        q, k, v, scale = inputs
        out = np.empty((*q.shape[:3], self.value_dim), NUMPY[self.dtype])
        visible = np.arange(self.keys) <= np.arange(self.queries)[:, None] + self._before
        for b, h in np.ndindex(self.batch, self.heads):
            head = [widened(x[b, :, h].copy()) for x in (q, k, v)]
            out[b, :, h] = reference_head(head[0], head[1], head[2], scale[0], visible)
        return [out]

    @property
    def flops(self) -> int:
        pairs = self.queries * self._before + self.queries * (self.queries + 1) // 2
        return 2 * self.batch * self.heads * pairs * (self.dim + self.value_dim)

    @property
    def label(self) -> str:
        heads = f"{self.heads} heads of {self.dim}/{self.value_dim}"
        return f"{self.batch} x {self.queries} on {self.keys}, {heads} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[MhaPrefill]:
        yield cls(1, 16, 16, 4, 24, 16)
        yield cls(2, 5, 19, 3, 11, 7, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[MhaPrefill]:
        if len(arguments) != 5 or [len(shape) for shape, _ in arguments] != [4, 4, 4, 1, 4]:
            return
        ((batch, queries, heads, dim), dtype), value = arguments[0], arguments[2][0]
        if dtype in cls.choices["dtype"] and queries <= value[1]:
            yield cls(batch, queries, value[1], heads, dim, value[3], dtype)
