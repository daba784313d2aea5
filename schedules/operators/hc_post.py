"""Manifold-constrained hyper-connections, after a block: its output goes back into the residual streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class HcPost(Operator):
    """``Z_j = post_j y + sum_i comb[i, j] X_i`` in float32, rounded once.

    Semantics of ``hc_post`` in DeepSeek-V4's ``inference/model.py``. Inputs ``Y[tokens, dim]`` (the block's output),
    ``X[tokens, hc, dim]``, ``POST[tokens, hc]``, ``COMB[tokens, hc, hc]`` (doubly stochastic); output
    ``Z[tokens, hc, dim]``. Stages: ``S`` the sum over streams, ``Z``.

    Attributes:
        tokens, dim: rows and the width of the model.
        hc: residual streams.
        dtype: of ``Y``, ``X`` and ``Z``, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "hc_post"
    summary: ClassVar[str] = "hyper-connections: the output of a block back into the residual streams"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    dim: int
    hc: int = 4
    dtype: str = "bfloat16"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        y = te.placeholder((self.tokens, self.dim), self.dtype, "Y")
        x = te.placeholder((self.tokens, self.hc, self.dim), self.dtype, "X")
        post = te.placeholder((self.tokens, self.hc), "float32", "POST")
        comb = te.placeholder((self.tokens, self.hc, self.hc), "float32", "COMB")
        i = te.reduce_axis((0, self.hc), "i")
        mixed = te.compute(
            x.shape, lambda t, j, d: te.sum(comb[t, i, j] * x[t, i, d].astype("float32"), axis=i), name="S"
        )
        z = te.compute(
            x.shape,
            lambda t, j, d: (post[t, j] * y[t, d].astype("float32") + mixed[t, j, d]).astype(self.dtype),
            name="Z",
        )
        return te.create_prim_func([y, x, post, comb, z])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        y, x = fill(rng, (self.tokens, self.dim), dtype), fill(rng, (self.tokens, self.hc, self.dim), dtype)
        post = rng.uniform(0, 2, (self.tokens, self.hc)).astype(np.float32)
        comb = rng.uniform(0, 1, (self.tokens, self.hc, self.hc)).astype(np.float32)
        return [y, x, post, comb / comb.sum(axis=1, keepdims=True)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        y, x, post, comb = (array.astype(np.float32) for array in inputs)
        z = post[:, :, None] * y[:, None, :] + np.einsum("tij,tid->tjd", comb, x)
        return [z.astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return 2 * self.tokens * self.hc * (self.hc + 1) * self.dim

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.hc}x{self.dim} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[HcPost]:
        yield cls(16, 128)
        yield cls(5, 101, 3, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[HcPost]:
        if len(arguments) == 5 and len(arguments[1][0]) == 3:
            (tokens, hc, dim), dtype = arguments[1]
            if dtype in cls.choices["dtype"]:
                yield cls(tokens, dim, hc, dtype)
