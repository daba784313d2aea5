"""Block-scaled fp8 linear layer: activations scaled by 1x128, weights by 128x128, as DeepSeek models store them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, decoded_e4m3, random_activation, scaled
from schedules.dtypes import NUMPY, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class LinearFp8(Operator):
    """``C[m, n] = sum_b sum_{k in block b} A[m, k] W[n, k] SA[m, b] SW[n/128, b]``, rounded once to bfloat16.

    Summed in float32, as DeepGEMM's ``fp8_gemm_nt`` does. The scales stand inside one sum rather than between two,
    so that a schedule is free to add lanes, blocks or both first. Stages: ``Af``, ``Wf`` decode (padded to whole
    blocks with zeros), ``S`` sums, ``C`` rounds.

    Attributes:
        m, n, k: tokens, output features, input features; none has to divide by 128.
    """

    name: ClassVar[str] = "linear_fp8"
    summary: ClassVar[str] = "fp8 linear layer, 1x128 and 128x128 block scales, bf16 out"
    weights: ClassVar[tuple[str, ...]] = ("W", "SW")
    m: int
    n: int
    k: int

    @property
    def k_blocks(self) -> int:
        """Blocks of 128 input features, the last one perhaps partial."""
        return -(-self.k // BLOCK)

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        a = te.placeholder((self.m, self.k), "float8_e4m3fn", "A")
        sa = te.placeholder((self.m, self.k_blocks), "float32", "SA")
        w = te.placeholder((self.n, self.k), "float8_e4m3fn", "W")
        sw = te.placeholder((-(-self.n // BLOCK), self.k_blocks), "float32", "SW")
        af = decoded_e4m3(a, "Af")
        wf = decoded_e4m3(w, "Wf")
        b = te.reduce_axis((0, self.k_blocks), "b")
        r = te.reduce_axis((0, BLOCK), "r")

        def product(i, j):  # type: ignore[no-untyped-def]
            return te.sum(
                af[i, b * BLOCK + r] * wf[j, b * BLOCK + r] * (sa[i, b] * sw[j // BLOCK, b]),
                axis=[b, r],
            )

        s = te.compute((self.m, self.n), product, name="S")
        c = te.compute((self.m, self.n), lambda i, j: s[i, j].astype("bfloat16"), name="C")
        return te.create_prim_func([a, sa, w, sw, c])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        a, sa = random_activation(rng, self.m, self.k)
        w = fill(rng, (self.n, self.k), NUMPY["float8_e4m3fn"], 64.0)
        sw = rng.uniform(0.5, 1.5, (-(-self.n // BLOCK), self.k_blocks)).astype(np.float32)
        return [a, sa, w, sw * np.float32(self.k**-0.5 / 64)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        a, sa, w, sw = inputs
        left = scaled(a, sa, (1, BLOCK))
        c = np.empty((self.m, self.n), NUMPY["bfloat16"])
        # Some blocks of rows of the weights at a time, about a million, which stay in the cache while decoded.
        blocks = max(1, 2**20 // (BLOCK * self.k))
        for at in range(0, len(sw), blocks):
            rows = slice(at * BLOCK, (at + blocks) * BLOCK)
            c[:, rows] = (left @ scaled(w[rows], sw[at : at + blocks], (BLOCK, BLOCK)).T).astype(c.dtype)
        return [c]

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["bfloat16"],)

    @property
    def arithmetic(self) -> str:
        return "float8_e4m3fn"

    @property
    def label(self) -> str:
        return f"{self.m}x{self.n}x{self.k} fp8"

    @classmethod
    def examples(cls) -> Iterable[LinearFp8]:
        yield cls(16, 256, 512)
        yield cls(1, 130, 300)
        yield cls(3, 37, 101)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[LinearFp8]:
        if len(arguments) == 5 and all(len(shape) == 2 for shape, _ in arguments):
            (m, k), dtype = arguments[0]
            if dtype == "float8_e4m3fn":
                yield cls(m, arguments[2][0][0], k)
