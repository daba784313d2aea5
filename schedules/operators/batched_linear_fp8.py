"""Batched block-scaled fp8 linear layer: a weight of its own for each head or group of heads of a token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, BLOCKS_FP8, ROWS_FP8, padded, product
from schedules.dtypes import NUMPY, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class BatchedLinearFp8(Operator):
    """``C[m, h, n] = sum_k A[m, h, k] W[h, n, k]`` with scales ``SA[m, h, k/128]`` and ``SW[h, n/128, k/128]``.

    DeepGEMM's ``fp8_einsum("bhr,hdr->bhd")`` with recipe (1, 128, 128), as DeepSeek-V4's ``wo_a`` needs it: a token's
    groups lie side by side in input and output. Summed in float32, rounded once to bfloat16; stages as of
    ``linear_fp8``: ``Af``, ``Wf``, ``S``, ``C``.

    Attributes:
        batch: heads or groups, ``h``.
        m, n, k: tokens, output features, input features; none has to divide by 128.
    """

    name: ClassVar[str] = "batched_linear_fp8"
    summary: ClassVar[str] = "fp8 linear layer with a weight for each group of a token, A[m,b,k] W[b,n,k]^T"
    row_parameter: ClassVar[str] = "m"
    weights: ClassVar[tuple[str, ...]] = ("W", "SW")
    batch: int
    m: int
    n: int
    k: int

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        a, sa = ROWS_FP8.placeholders("A", self.m, self.batch, self.k)
        w, sw = BLOCKS_FP8.placeholders("W", self.batch, self.n, self.k)
        af = padded((self.m, self.batch, self.k), BLOCK, lambda *at: ROWS_FP8.value(a, sa, *at), "Af")
        wf = padded((self.batch, self.n, self.k), BLOCK, lambda *at: BLOCKS_FP8.value(w, sw, *at), "Wf")
        b, r = te.reduce_axis((0, -(-self.k // BLOCK)), "b"), te.reduce_axis((0, BLOCK), "r")

        def total(i, h, j):  # type: ignore[no-untyped-def]
            factors = [*ROWS_FP8.factor(sa, i, h, b), *BLOCKS_FP8.factor(sw, h, j, b)]
            return product((af, i, h), (wf, h, j), factors, (b, r))

        s = te.compute((self.m, self.batch, self.n), total, name="S")
        c = te.compute(s.shape, lambda i, h, j: s[i, h, j].astype("bfloat16"), name="C")
        return te.create_prim_func([a, sa, w, sw, c])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        activations = ROWS_FP8.random(rng, self.m, self.batch, self.k)
        return [*activations, *BLOCKS_FP8.random(rng, self.batch, self.n, self.k, size=self.k**-0.5)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        a, sa, w, sw = inputs
        c = np.empty((self.m, self.batch, self.n), NUMPY["bfloat16"])
        for h in range(self.batch):
            c[:, h] = BLOCKS_FP8.times(ROWS_FP8.values(a[:, h], sa[:, h]), w[h], sw[h])
        return [c]

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.m * self.n * self.k

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["bfloat16"],)

    @property
    def arithmetic(self) -> str:
        return "float8_e4m3fn"

    @property
    def label(self) -> str:
        return f"{self.batch} x {self.m}x{self.n}x{self.k} fp8"

    @classmethod
    def examples(cls) -> Iterable[BatchedLinearFp8]:
        yield cls(4, 16, 128, 256)
        yield cls(3, 1, 37, 101)
        yield cls(2, 7, 130, 300)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[BatchedLinearFp8]:
        if len(arguments) == 5 and all(len(shape) == 3 for shape, _ in arguments):
            ((m, batch, k), dtype), ((_, n, _), stored) = arguments[0], arguments[2]
            if dtype == stored == "float8_e4m3fn":
                yield cls(batch, m, n, k)
