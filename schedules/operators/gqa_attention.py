"""Grouped-query attention over a key-value cache, causal among the new tokens."""

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
class GqaAttention(Attention):
    """``O[b, i, h] = sum_n softmax_n(Q[b, i, h] . K[b, n, g] / sqrt(dim)) V[b, n, g]``, ``g = h * kv_heads / heads``.

    Query ``i`` is the new token ``keys - queries + i`` of its sequence and sees no key after it (Ainslie et al. 2023,
    "GQA", for the grouping). Softmax in float32, with the maximum subtracted; rounded once at the end. Stages: ``QK``
    dot products, ``D`` logits, ``M`` maxima, ``E`` exponentials, ``S`` their sums, ``P`` weighted sums, ``O``.

    Attributes:
        batch, queries, keys: sequences, new tokens of each, tokens that each has in all.
        heads, kv_heads, dim: query heads, a multiple of key-value heads, and their width.
        dtype: of all arguments.
    """

    name: ClassVar[str] = "gqa_attention"
    summary: ClassVar[str] = "causal attention of query heads that share key-value heads"
    row_parameter: ClassVar[str] = "batch"
    batch: int
    queries: int
    keys: int
    heads: int
    kv_heads: int
    dim: int
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads % self.kv_heads:
            raise InputError(
                f"operator {self.name!r}: heads {self.heads} must be a multiple of kv_heads {self.kv_heads}"
            )
        if self.queries > self.keys:
            raise InputError(f"operator {self.name!r}: queries {self.queries} are among keys {self.keys}, not more")

    @property
    def _before(self) -> int:
        """Keys that every query sees besides the new ones."""
        return self.keys - self.queries

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        share, shape = self.heads // self.kv_heads, (self.batch, self.queries, self.heads)
        cache = (self.batch, self.keys, self.kv_heads, self.dim)
        q = te.placeholder((*shape, self.dim), self.dtype, "Q")
        k, v = te.placeholder(cache, self.dtype, "K"), te.placeholder(cache, self.dtype, "V")
        d = te.reduce_axis((0, self.dim), "d")

        def dot(b, i, h, n):  # type: ignore[no-untyped-def]
            return te.sum(q[b, i, h, d].astype("float32") * k[b, n, h // share, d].astype("float32"), axis=d)

        def scaled(value, b, i, h, n):  # type: ignore[no-untyped-def]
            value = value * tirx.const(self.dim**-0.5, "float32")
            return value if self.queries == 1 else tirx.Select(n <= i + self._before, value, least())

        def value(b, n, h, c):  # type: ignore[no-untyped-def]
            return v[b, n, h // share, c].astype("float32")

        o = attended(dot, scaled, value, shape, self.keys, self.dim, self.dtype)
        return te.create_prim_func([q, k, v, o])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype, cache = NUMPY[self.dtype], (self.batch, self.keys, self.kv_heads, self.dim)
        # Queries twice as long as keys, so that the softmax prefers some keys to others.
        q = fill(rng, (self.batch, self.queries, self.heads, self.dim), dtype, 2.0)
        return [q, fill(rng, cache, dtype), fill(rng, cache, dtype)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        q, k, v = inputs
        out = np.empty(q.shape, NUMPY[self.dtype])
        visible = np.arange(self.keys) <= np.arange(self.queries)[:, None] + self._before
        for b, h in np.ndindex(self.batch, self.heads):
            g = h * self.kv_heads // self.heads
            keys, values = widened(k[b, :, g].copy()), widened(v[b, :, g].copy())
            out[b, :, h] = reference_head(widened(q[b, :, h].copy()), keys, values, np.float32(self.dim**-0.5), visible)
        return [out]

    @property
    def flops(self) -> int:
        pairs = self.queries * self._before + self.queries * (self.queries + 1) // 2
        return 4 * self.batch * self.heads * pairs * self.dim

    @property
    def label(self) -> str:
        heads = f"{self.heads}/{self.kv_heads} heads of {self.dim}"
        return f"{self.batch} x {self.queries} on {self.keys}, {heads} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[GqaAttention]:
        yield cls(3, 1, 37, 6, 2, 16)
        yield cls(2, 5, 19, 4, 1, 8, "float32")
        yield cls(1, 7, 7, 3, 3, 11, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[GqaAttention]:
        if len(arguments) == 4 and all(len(shape) == 4 for shape, _ in arguments):
            (batch, queries, heads, dim), dtype = arguments[0]
            keys, kv_heads = arguments[1][0][1:3]
            if dtype in cls.choices["dtype"] and heads % kv_heads == 0 and queries <= keys:
                yield cls(batch, queries, keys, heads, kv_heads, dim, dtype)
