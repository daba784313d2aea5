"""Multi-head latent attention while decoding, absorbed form: all heads attend to one cache of latents."""

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
class MlaDecode(Attention):
    """``O[b, i, h] = sum_n softmax_n(SCALE Q[b, i, h] . KV[b, n]) KV[b, n, :value_dim]``, softmax in float32.

    The keys of DeepSeek-V3's absorbed attention are latents and their rotary channels (512 + 64), the values the
    latents alone. Sequence ``b`` has ``LEN[b]`` keys, at least ``queries``, of which query ``i`` sees the first
    ``LEN[b] - queries + 1 + i``: itself and what was before it. Semantics of FlashMLA's ``flash_mla_with_kvcache``, the
    cache of a sequence in one piece.

    Inputs ``Q[batch, queries, heads, dim]``, ``KV[batch, keys, dim]``, ``LEN[batch]`` in int32, ``SCALE[1]`` in float32
    (not ``dim**-0.5``: the width of a head before it was absorbed counts). Rounded once at the end. Stages as of
    ``gqa_attention``: ``QK``, ``D``, ``M``, ``E``, ``S``, ``P``, ``O``.

    Attributes:
        batch, queries, keys: sequences, new tokens of each, tokens of the longest.
        heads, dim: heads and the width of a query.
        value_dim: how many channels of a key, from the first, are the value.
        dtype: of queries, cache and output, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "mla_decode"
    summary: ClassVar[str] = "latent attention of decoding: all heads share one cache, values are part of keys"
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
        if self.value_dim > self.dim:
            raise InputError(f"operator {self.name!r}: value_dim is {self.value_dim}, must be at most {self.dim}")
        if self.queries > self.keys:
            raise InputError(f"operator {self.name!r}: queries {self.queries} are among keys {self.keys}, not more")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        shape = (self.batch, self.queries, self.heads)
        q = te.placeholder((*shape, self.dim), self.dtype, "Q")
        kv = te.placeholder((self.batch, self.keys, self.dim), self.dtype, "KV")
        length = te.placeholder((self.batch,), "int32", "LEN")
        scale = te.placeholder((1,), "float32", "SCALE")
        d = te.reduce_axis((0, self.dim), "d")

        def dot(b, i, h, n):  # type: ignore[no-untyped-def]
            return te.sum(q[b, i, h, d].astype("float32") * kv[b, n, d].astype("float32"), axis=d)

        def scaled(value, b, i, h, n):  # type: ignore[no-untyped-def]
            return tirx.Select(n <= length[b] - self.queries + i, value * scale[0], least())

        def value(b, n, h, v):  # type: ignore[no-untyped-def]
            return kv[b, n, v].astype("float32")

        o = attended(dot, scaled, value, shape, self.keys, self.value_dim, self.dtype)
        return te.create_prim_func([q, kv, length, scale, o])

    def _lengths(self) -> np.ndarray:
        """Sequences of all keys and up to three fewer."""
        return np.maximum(self.keys - np.arange(self.batch) % 4, self.queries).astype(np.int32)

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        # Queries twice as long as keys, so that the softmax prefers some keys to others.
        q = fill(rng, (self.batch, self.queries, self.heads, self.dim), dtype, 2.0)
        kv = fill(rng, (self.batch, self.keys, self.dim), dtype)
        return [q, kv, self._lengths(), np.full(1, self.dim**-0.5, np.float32)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        q, kv, lengths, scale = inputs
        out = np.empty((self.batch, self.queries, self.heads, self.value_dim), NUMPY[self.dtype])
        for b in range(self.batch):
            for i in range(self.queries):
                seen = widened(kv[b, : lengths[b] - self.queries + 1 + i])
                out[b, i] = reference_head(widened(q[b, i]), seen, seen[:, : self.value_dim], scale[0])
        return [out]

    @property
    def flops(self) -> int:
        pairs = sum(int(length) - self.queries + 1 + i for length in self._lengths() for i in range(self.queries))
        return 2 * pairs * self.heads * (self.dim + self.value_dim)

    @property
    def traffic(self) -> int:
        """All but the keys that shorter sequences do not have."""
        numbers = self.batch * self.queries * self.heads * (self.dim + self.value_dim)
        numbers += int(self._lengths().sum()) * self.dim
        return numbers * NUMPY[self.dtype].itemsize + 4 * (self.batch + 1)

    @property
    def label(self) -> str:
        heads = f"{self.heads} heads of {self.dim}/{self.value_dim}"
        return f"{self.batch} x {self.queries} on {self.keys}, {heads} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[MlaDecode]:
        yield cls(3, 1, 64, 8, 48, 32)
        yield cls(2, 2, 37, 3, 29, 21, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[MlaDecode]:
        if len(arguments) != 5 or [len(shape) for shape, _ in arguments] != [4, 3, 1, 1, 4]:
            return
        ((batch, queries, heads, dim), dtype), keys, value = arguments[0], arguments[1][0][1], arguments[4][0][3]
        if dtype in cls.choices["dtype"] and value <= dim and queries <= keys:
            yield cls(batch, queries, keys, heads, dim, value, dtype)
