"""Sinkhorn normalisation: small matrices, one a token, made nearly doubly stochastic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class Sinkhorn(Operator):
    """``softmax`` of each row plus eps, columns normalised, then ``iters - 1`` times rows and columns.

    To normalise is to divide by the sum plus eps. Semantics of ``hc_split_sinkhorn`` in DeepSeek-V4's
    ``inference/kernel.py``; input ``L[tokens, hc, hc]`` is ``COMB`` of ``hc_pre``, output ``C`` of the same shape,
    both float32. (R. Sinkhorn, P. Knopp, Pacific Journal of Mathematics 21(2), 1967.)

    One stage, ``C``, of which a token is one step: what a schedule can choose is how tokens are divided.

    Attributes:
        tokens, hc: matrices and their size.
        iters: normalisations of the columns.
        eps: of the softmax and of every division.
    """

    name: ClassVar[str] = "sinkhorn"
    summary: ClassVar[str] = "small matrices made nearly doubly stochastic"
    row_parameter: ClassVar[str] = "tokens"
    tokens: int
    hc: int = 4
    iters: int = 20
    eps: float = 1e-6

    def prim_func(self) -> tirx.PrimFunc:
        from tvm.script import tirx as T

        tokens, hc, rounds, eps = self.tokens, self.hc, self.iters - 1, self.eps

        # fmt: off
        @T.prim_func(s_tir=True)
        def main(L: T.Buffer((tokens, hc, hc), "float32"), C: T.Buffer((tokens, hc, hc), "float32")):  # type: ignore
            T.func_attr({"tirx.noalias": True})
            for t in range(tokens):
                with T.sblock("C"):
                    v_t = T.axis.spatial(tokens, t)
                    T.reads(L[v_t, 0:hc, 0:hc])
                    T.writes(C[v_t, 0:hc, 0:hc])
                    m = T.sblock_alloc_buffer((hc, hc), "float32", scope="local")
                    s = T.sblock_alloc_buffer((hc,), "float32", scope="local")
                    for i in range(hc):
                        s[i] = L[v_t, i, 0]
                        for j in range(hc):
                            s[i] = T.max(s[i], L[v_t, i, j])
                    for i, j in T.grid(hc, hc):
                        m[i, j] = T.exp(L[v_t, i, j] - s[i])
                    for i in range(hc):
                        s[i] = T.float32(0)
                        for j in range(hc):
                            s[i] = s[i] + m[i, j]
                    for i, j in T.grid(hc, hc):
                        m[i, j] = m[i, j] / s[i] + T.float32(eps)
                    for j in range(hc):
                        s[j] = T.float32(eps)
                    for i, j in T.grid(hc, hc):
                        s[j] = s[j] + m[i, j]
                    for i, j in T.grid(hc, hc):
                        m[i, j] = m[i, j] / s[j]
                    for _ in range(rounds):
                        for i in range(hc):
                            s[i] = T.float32(eps)
                            for j in range(hc):
                                s[i] = s[i] + m[i, j]
                        for i, j in T.grid(hc, hc):
                            m[i, j] = m[i, j] / s[i]
                        for j in range(hc):
                            s[j] = T.float32(eps)
                        for i, j in T.grid(hc, hc):
                            s[j] = s[j] + m[i, j]
                        for i, j in T.grid(hc, hc):
                            m[i, j] = m[i, j] / s[j]
                    for i, j in T.grid(hc, hc):
                        C[v_t, i, j] = m[i, j]
        # fmt: on
        return main

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [rng.standard_normal((self.tokens, self.hc, self.hc), np.float32) * np.float32(2)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        eps = np.float32(self.eps)
        m = np.exp(inputs[0] - inputs[0].max(axis=2, keepdims=True))
        m = m / m.sum(axis=2, keepdims=True) + eps
        m = m / (m.sum(axis=1, keepdims=True) + eps)
        for _ in range(self.iters - 1):
            m = m / (m.sum(axis=2, keepdims=True) + eps)
            m = m / (m.sum(axis=1, keepdims=True) + eps)
        return [m]

    @property
    def flops(self) -> int:
        return self.tokens * self.hc**2 * (4 * self.iters + 2)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["float32"],)

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.hc}x{self.hc} fp32, {self.iters} iterations"

    @classmethod
    def examples(cls) -> Iterable[Sinkhorn]:
        yield cls(16)
        yield cls(5, 3, 2)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Sinkhorn]:
        shape, dtype = arguments[0]
        if len(arguments) == 2 and len(shape) == 3 and shape[1] == shape[2] and dtype == "float32":
            yield cls(shape[0], shape[1])
