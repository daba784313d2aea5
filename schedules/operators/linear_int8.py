"""int8 linear layer: a scale for each token and for each output feature, sums in integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class LinearInt8(Operator):
    """``C[m, n] = SA[m] SW[n] sum_k A[m, k] W[n, k]``, summed in int32, rounded once to bfloat16.

    What chips without fp8 run in its place: activations are quantised for each token, weights for each output feature
    (SmoothQuant, arXiv:2211.10438, section 4.2, per-token and per-channel; ``int8_gemm`` of CANN's recipes for V4).
    Codes are at least -127, as symmetric quantisation leaves them. Stages: ``S`` sums, ``C`` scales and rounds.

    Attributes:
        m, n, k: tokens, output features, input features; ``k`` of up to 133,000, so that no sum overflows.
    """

    name: ClassVar[str] = "linear_int8"
    summary: ClassVar[str] = "int8 linear layer, a scale for each token and output feature, bf16 out"
    row_parameter: ClassVar[str] = "m"
    weights: ClassVar[tuple[str, ...]] = ("W",)
    m: int
    n: int
    k: int

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        a, w = (te.placeholder((rows, self.k), "int8", name) for rows, name in ((self.m, "A"), (self.n, "W")))
        sa, sw = (te.placeholder((rows,), "float32", name) for rows, name in ((self.m, "SA"), (self.n, "SW")))
        k = te.reduce_axis((0, self.k), "k")

        def total(i, j):  # type: ignore[no-untyped-def]
            return te.sum(a[i, k].astype("int32") * w[j, k].astype("int32"), axis=k)

        def scaled(i, j):  # type: ignore[no-untyped-def]
            return (s[i, j].astype("float32") * (sa[i] * sw[j])).astype("bfloat16")

        s = te.compute((self.m, self.n), total, name="S")
        return te.create_prim_func([a, sa, w, sw, te.compute((self.m, self.n), scaled, name="C")])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        found = []
        for rows, size in ((self.m, 1.0), (self.n, self.k**-0.5)):
            codes = np.clip(np.rint(fill(rng, (rows, self.k), scale=40.0)), -127, 127).astype(np.int8)
            found += [codes, rng.uniform(0.5, 1.5, rows).astype(np.float32) * np.float32(size / 40.0)]
        return found

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        a, sa, w, sw = inputs
        left, parts = a.astype(np.float64), []
        for at in range(0, self.n, 4096):
            # Exact: products and sums of int8 are far below 2^53.
            parts.append(left @ w[at : at + 4096].astype(np.float64).T)
        scales = sa[:, None].astype(np.float64) * sw
        return [(np.concatenate(parts, axis=1) * scales).astype(np.float32).astype(NUMPY["bfloat16"])]

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["bfloat16"],)

    @property
    def arithmetic(self) -> str:
        return "int8"

    @property
    def label(self) -> str:
        return f"{self.m}x{self.n}x{self.k} int8"

    @classmethod
    def examples(cls) -> Iterable[LinearInt8]:
        yield cls(16, 256, 512)
        yield cls(1, 37, 101)
        yield cls(5, 70, 130)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[LinearInt8]:
        if [dtype for _, dtype in arguments] == ["int8", "float32", "int8", "float32", "bfloat16"]:
            shapes = [shape for shape, _ in arguments]
            if len(shapes[0]) == len(shapes[2]) == 2:
                yield cls(*shapes[0][:1], *shapes[2])
