"""Dense linear layer, ``C[m, n] = sum_k A[m, k] W[n, k]``, the weight stored as the model stores it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE, product_nt
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class Linear(Operator):
    """``A[m, k] @ W[n, k]^T -> C[m, n]``, accumulated in float32, rounded once at the end.

    Attributes:
        m, n, k: tokens, output features, input features.
        dtype: of both inputs, ``float32`` or ``bfloat16``.
        out: of the output, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "linear"
    summary: ClassVar[str] = "dense linear layer, A[m,k] W[n,k]^T"
    weights: ClassVar[tuple[str, ...]] = ("W",)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "dtype": ("float32", "bfloat16"),
        "out": ("float32", "bfloat16"),
    }
    m: int
    n: int
    k: int
    dtype: str = "float32"
    out: str = "float32"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        a = te.placeholder((self.m, self.k), self.dtype, "A")
        w = te.placeholder((self.n, self.k), self.dtype, "W")
        k = te.reduce_axis((0, self.k), "k")

        def product(i, j):  # type: ignore[no-untyped-def]
            return te.sum(a[i, k].astype("float32") * w[j, k].astype("float32"), axis=k)

        if self.out == "float32":
            c = te.compute((self.m, self.n), product, name="C")
        else:
            total = te.compute((self.m, self.n), product, name="S")
            c = te.compute((self.m, self.n), lambda i, j: total[i, j].astype(self.out), name="C")
        return te.create_prim_func([a, w, c])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        return [fill(rng, (self.m, self.k), dtype), fill(rng, (self.n, self.k), dtype, self.k**-0.5)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        a, w = inputs
        return [product_nt(a, w).astype(NUMPY[self.out])]

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.out],)

    @property
    def arithmetic(self) -> str:
        return self.dtype

    @property
    def label(self) -> str:
        tail = "" if self.out == self.dtype else f"->{SHORT[self.out]}"
        return f"{self.m}x{self.n}x{self.k} {SHORT[self.dtype]}{tail}"

    @classmethod
    def examples(cls) -> Iterable[Linear]:
        yield cls(16, 256, 512)
        yield cls(1, 37, 101)
        yield cls(7, 96, 256, "bfloat16", "bfloat16")
        yield cls(5, 64, 130, "bfloat16", "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Linear]:
        if len(arguments) == 3 and all(len(shape) == 2 for shape, _ in arguments):
            (m, k), dtype = arguments[0]
            (n, _), _ = arguments[1]
            out = arguments[2][1]
            if dtype in cls.choices["dtype"] and out in cls.choices["out"]:
                yield cls(m, n, k, dtype, out)
