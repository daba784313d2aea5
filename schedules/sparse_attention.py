"""Attention of all heads to a few rows of one shared cache, picked by index, however the cache is stored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from schedules.attention import Attention
from schedules.dtypes import NUMPY, SHORT, widened
from schedules.operator import Arrays, fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx

Cache = tuple[list[Any], Callable[[Any, Any], Any]]


@dataclass(frozen=True)
class SparseAttention(Attention):
    """``O[t, h] = sum_s softmax_s(SCALE Q[t, h] . ROW[IDX[t, s]]) ROW[IDX[t, s], :value_dim]``, softmax in float32.

    An index of -1 is no row. With ``sink`` the denominator of head ``h`` has one more term, ``exp(SINK[h])``. A token
    without any row gets zeros.

    Inputs ``Q[tokens, heads, dim]``, the arrays of the cache, ``IDX[tokens, topk + extra]`` in int32, ``SCALE[1]`` and
    ``SINK[heads]`` in float32, with ``tokens = batch queries``. Each sequence has the fewest rows that give every query
    as many up to its own, ``topk + extra + queries - 1``. Stages: ``D`` dot products, ``L`` scaled and masked, ``M``
    their maximum, ``P`` exponentials, ``S`` their sum, ``A`` weighted rows, ``O``.

    Attributes:
        batch, queries: sequences, and query tokens of each.
        heads, dim: heads and their width.
        value_dim: how many of the channels, from the first, are values.
        topk: rows of each token.
        extra: more rows of each token.
        sink: whether each head has a sink.
    """

    batch: int
    queries: int
    heads: int
    dim: int
    value_dim: int
    topk: int
    extra: int = 0
    sink: bool = False

    @abstractmethod
    def cache(self) -> Cache:
        """The arrays of the cache as TE inputs, and what channel ``d`` of row ``r`` is, in float32."""

    @abstractmethod
    def random_cache(self, rng: np.random.Generator) -> Arrays:
        """The arrays of a cache such as the model would have."""

    @abstractmethod
    def rows_of(self, cache: Sequence[np.ndarray], at: np.ndarray) -> np.ndarray:
        """Rows ``at`` of a cache in float32."""

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """Bytes of a row of the cache."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.value_dim > self.dim:
            raise InputError(f"operator {self.name!r}: value_dim is {self.value_dim}, must be at most {self.dim}")

    @property
    def rows(self) -> int:
        """Rows of the cache."""
        return self.batch * self.context

    @property
    def tokens(self) -> int:
        """Query tokens of all sequences."""
        return self.batch * self.queries

    @property
    def picked(self) -> int:
        """Indices of each token."""
        return self.topk + self.extra

    @property
    def context(self) -> int:
        """Rows of each sequence."""
        return self.picked + self.queries - 1

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        q = te.placeholder((self.tokens, self.heads, self.dim), self.dtype, "Q")
        cache, element = self.cache()
        idx = te.placeholder((self.tokens, self.picked), "int32", "IDX")
        scale = te.placeholder((1,), "float32", "SCALE")
        sink = te.placeholder((self.heads,), "float32", "SINK")
        none, least = tirx.const(0, "int32"), tirx.const(float("-inf"), "float32")

        def row(t, s, d):  # type: ignore[no-untyped-def]
            return element(tirx.max(idx[t, s], none), d)

        shape = (self.tokens, self.heads, self.picked)
        d = te.reduce_axis((0, self.dim), "d")
        dot = te.compute(shape, lambda t, h, s: te.sum(q[t, h, d].astype("float32") * row(t, s, d), axis=d), name="D")
        logit = te.compute(
            shape, lambda t, h, s: tirx.Select(idx[t, s] >= none, dot[t, h, s] * scale[0], least), name="L"
        )
        s = te.reduce_axis((0, self.picked), "s")
        # The maximum starts from the least finite number, so that a token without rows has exponentials of 0, not NaN.
        most = te.compute(shape[:2], lambda t, h: te.max(logit[t, h, s], axis=s), name="M")
        power = te.compute(shape, lambda t, h, s: tirx.exp(logit[t, h, s] - most[t, h]), name="P")
        s = te.reduce_axis((0, self.picked), "s")
        total = te.compute(shape[:2], lambda t, h: te.sum(power[t, h, s], axis=s), name="S")
        s = te.reduce_axis((0, self.picked), "s")
        output = (*shape[:2], self.value_dim)
        rows = te.compute(output, lambda t, h, v: te.sum(power[t, h, s] * row(t, s, v), axis=s), name="A")

        def normal(t, h, v):  # type: ignore[no-untyped-def]
            # The sum is at least 1 wherever there is a row, and 0 elsewhere.
            under = tirx.max(total[t, h], tirx.const(0.5, "float32"))
            under = under + tirx.exp(sink[h] - most[t, h]) if self.sink else under
            return (rows[t, h, v] / under).astype(self.dtype)

        return te.create_prim_func([q, *cache, idx, scale, *[sink] * self.sink, te.compute(output, normal, name="O")])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        q = fill(rng, (self.tokens, self.heads, self.dim), NUMPY[self.dtype])
        cache = self.random_cache(rng)
        idx = np.empty((self.tokens, self.picked), np.int32)
        for token in range(self.tokens):
            sequence, query = divmod(token, self.queries)
            own = self.picked + query - 1
            idx[token, 0] = own
            idx[token, 1:] = rng.permutation(own)[: self.picked - 1]
            idx[token] += sequence * self.context
            idx[token, self._present(token) :] = -1
        scale = np.full(1, self.dim**-0.5, np.float32)
        return [q, *cache, idx, scale, *[rng.standard_normal(self.heads, np.float32)] * self.sink]

    def _present(self, token: int) -> int:
        """How many indices of a token are rows in ``inputs``: all but up to three, its own row first."""
        return max(1, self.picked - (token + 1) % 4)

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        sinks = inputs[-1:] if self.sink else []
        q, *cache, idx, scale = inputs[: len(inputs) - len(sinks)]
        out = np.zeros((self.tokens, self.heads, self.value_dim), np.float32)
        for token in range(self.tokens):
            rows = self.rows_of(cache, idx[token][idx[token] >= 0])
            if not len(rows):
                continue
            logits = widened(q[token]) @ rows.T * scale
            most = logits.max(-1, keepdims=True)
            weights = np.exp(logits - most)
            total = weights.sum(-1, keepdims=True)
            if self.sink:
                total += np.exp(sinks[0][:, None] - most)
            out[token] = weights @ rows[:, : self.value_dim] / total
        return [out.astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        rows = sum(self._present(token) for token in range(self.tokens))
        return 2 * rows * self.heads * (self.dim + self.value_dim)

    @property
    def traffic(self) -> int:
        """All but the rows that the first query of a sequence leaves out: later ones may, too."""
        present = sum(self._present(sequence * self.queries) for sequence in range(self.batch))
        rows = present + self.batch * (self.queries - 1)
        numbers = self.tokens * self.heads * (self.dim + self.value_dim)
        single = self.tokens * self.picked + 1 + self.heads * self.sink
        return numbers * NUMPY[self.dtype].itemsize + rows * self.row_bytes + 4 * single

    @property
    def stored(self) -> str:
        """The short name of what rows are stored in."""
        return SHORT[self.dtype]

    @property
    def label(self) -> str:
        extra, sink = f"+{self.extra}" if self.extra else "", ", sink" * self.sink
        return (
            f"{self.batch}x{self.queries}, {self.heads} heads of {self.dim}/{self.value_dim}, {self.topk}{extra} rows "
            f"{self.stored}{sink}"
        )
