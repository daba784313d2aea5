"""Logits of DeepSeek's lightning indexer while decoding: the keys of each sequence lie in pages of one cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import MX_GROUP, MXFP4
from schedules.dtypes import SHORT, TOLERANCE
from schedules.indexer import FORMATS, logits, operands, random_operands, reference_logits, reference_operands
from schedules.operator import Arrays, Operator, Tolerance
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class MqaLogitsPaged(Operator):
    """``I[m, n] = sum_h relu(Q[m, h] . KEY[m, n]) * W[m, h]``, ``KEY[m, n] = K[TABLE[b, n / page], n % page]``.

    ``m = b queries + i`` is query ``i`` of sequence ``b``; it sees its first ``LEN[b, i]`` keys, and the others are
    -inf. Inputs ``Q[batch queries, heads, dim]``, ``K[pages, page, dim]`` with scales as of ``mqa_logits`` (``KS[pages,
    page]`` for fp8, ``SQ`` and ``SK`` for fp4), ``W``, ``TABLE[batch, keys / page]`` and ``LEN[batch, queries]`` in
    int32. Semantics of DeepGEMM's ``fp8_fp4_paged_mqa_logits``, which stores the scales of a page behind its codes;
    here they are an array of their own. Stages as of ``mqa_logits``.

    Attributes:
        batch, queries: sequences, and new tokens of each.
        keys: of the longest sequence.
        heads, dim: heads and their width.
        dtype: of queries and keys, ``bfloat16``, ``float8_e4m3fn`` or ``float4_e2m1fn``.
        page: keys of a page.
    """

    name: ClassVar[str] = "mqa_logits_paged"
    summary: ClassVar[str] = "indexer logits over a paged cache, as in decoding"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": FORMATS}
    batch: int
    queries: int
    keys: int
    heads: int
    dim: int
    dtype: str = "float8_e4m3fn"
    page: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype == "float4_e2m1fn" and self.dim % MX_GROUP:
            raise InputError(f"operator {self.name!r}: dim is {self.dim}, must be a multiple of {MX_GROUP} for fp4")

    @property
    def tokens(self) -> int:
        """Queries of all sequences."""
        return self.batch * self.queries

    @property
    def pages(self) -> int:
        """Pages of a sequence."""
        return -(-self.keys // self.page)

    @property
    def _shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of queries and of keys."""
        return (self.tokens, self.heads, self.dim), (self.batch * self.pages, self.page, self.dim)

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        inputs, (q, k) = operands(self.dtype, *self._shapes)
        w = te.placeholder((self.tokens, self.heads), "float32", "W")
        table = te.placeholder((self.batch, self.pages), "int32", "TABLE")
        length = te.placeholder((self.batch, self.queries), "int32", "LEN")
        d = te.reduce_axis((0, self.dim), "d")

        def place(m, n):  # type: ignore[no-untyped-def]
            return table[m // self.queries, n // self.page], n % self.page

        def dot(m, h, n):  # type: ignore[no-untyped-def]
            key = (*place(m, n), d)
            return te.sum(q[m, h, d].astype("float32") * k[key].astype("float32"), axis=d)

        output = logits(
            dot,
            w,
            (self.tokens, self.heads, self.keys),
            (lambda m, n: inputs[2][place(m, n)]) if self.dtype == "float8_e4m3fn" else None,
            lambda m, n: n < length[m // self.queries, m % self.queries],
        )
        return te.create_prim_func([*inputs, w, table, length, output])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        arrays, w = random_operands(rng, self.dtype, *self._shapes)
        table = rng.permutation(self.batch * self.pages).reshape(self.batch, self.pages).astype(np.int32)
        return [*arrays, w, table, self._lengths()]

    def _lengths(self) -> np.ndarray:
        """Sequences of all keys and up to three fewer; the last query sees all of its own, the one before one fewer."""
        last = self.keys - np.arange(self.batch) % 4
        lengths = last[:, None] - np.arange(self.queries)[::-1]
        return np.maximum(lengths, 1).astype(np.int32)

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        *arrays, w, table, lengths = inputs
        q, k = reference_operands(self.dtype, arrays)
        total = np.full((self.tokens, self.keys), -np.inf, np.float32)
        for b in range(self.batch):
            keys = k[table[b]].reshape(-1, self.dim)
            own = slice(b * self.queries, (b + 1) * self.queries)
            found = reference_logits(q[own], keys[: self.keys], w[own])
            total[own] = np.where(np.arange(self.keys) < lengths[b][:, None], found, -np.inf)
        return [total]

    @property
    def flops(self) -> int:
        return 2 * int(self._lengths().sum()) * self.heads * (self.dim + 1)

    @property
    def traffic(self) -> int:
        """Of the keys those that some query of their sequence sees."""
        seen = int(self._lengths().max(axis=1).sum())
        if self.dtype == "float4_e2m1fn":
            query, key = MXFP4.nbytes(1, self.dim), MXFP4.nbytes(1, self.dim)
        elif self.dtype == "float8_e4m3fn":
            query, key = self.dim, self.dim + 4
        else:
            query, key = 2 * self.dim, 2 * self.dim
        rest = self.tokens * self.heads + self.batch * (self.pages + self.queries) + self.tokens * self.keys
        return self.tokens * self.heads * query + seen * key + 4 * rest

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["float32"],)

    @property
    def arithmetic(self) -> str:
        return self.dtype

    @property
    def label(self) -> str:
        heads = f"{self.heads} heads of {self.dim} {SHORT[self.dtype]}"
        return f"{self.batch} x {self.queries} on {self.keys}, {heads}, pages of {self.page}"

    @classmethod
    def examples(cls) -> Iterable[MqaLogitsPaged]:
        yield cls(3, 1, 100, 8, 64, page=32)
        yield cls(2, 2, 37, 5, 37, "bfloat16", 16)
        yield cls(2, 3, 67, 3, 32, "float4_e2m1fn", 13)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[MqaLogitsPaged]:
        more = len(arguments) - 6
        if more not in (0, 1, 2) or len(arguments[0][0]) != 3 or len(arguments[2 if more == 2 else 1][0]) != 3:
            return
        dtype = FORMATS[more]
        (_, heads, dim), (_, page, _) = arguments[0][0], arguments[2 if more == 2 else 1][0]
        lengths, output = arguments[-2][0], arguments[-1][0]
        if len(lengths) != 2 or len(output) != 2 or (more == 2 and 2 * dim % MX_GROUP):
            return
        yield cls(*lengths, output[1], heads, 2 * dim if more == 2 else dim, dtype, page)
