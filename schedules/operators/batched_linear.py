"""Batched linear layer: a weight of its own for each batch entry, such as a head or a group of heads."""

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
class BatchedLinear(Operator):
    """``C[b, m, n] = sum_k A[b, m, k] W[b, n, k]``, summed in float32, rounded once at the end.

    W_UK and W_UV of DeepSeek-V3 (batch: heads) and wo_a of V4 (batch: output groups) are of this form.

    Attributes:
        batch: heads or groups.
        m, n, k: tokens, output features, input features.
        dtype: of both inputs, ``float32`` or ``bfloat16``.
        out: of the output, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "batched_linear"
    summary: ClassVar[str] = "linear layer with a weight for each batch entry, A[b,m,k] W[b,n,k]^T"
    weights: ClassVar[tuple[str, ...]] = ("W",)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "dtype": ("float32", "bfloat16"),
        "out": ("float32", "bfloat16"),
    }
    batch: int
    m: int
    n: int
    k: int
    dtype: str = "bfloat16"
    out: str = "bfloat16"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        a = te.placeholder((self.batch, self.m, self.k), self.dtype, "A")
        w = te.placeholder((self.batch, self.n, self.k), self.dtype, "W")
        k = te.reduce_axis((0, self.k), "k")
        shape = (self.batch, self.m, self.n)

        def product(b, i, j):  # type: ignore[no-untyped-def]
            return te.sum(a[b, i, k].astype("float32") * w[b, j, k].astype("float32"), axis=k)

        if self.out == "float32":
            c = te.compute(shape, product, name="C")
        else:
            total = te.compute(shape, product, name="S")
            c = te.compute(shape, lambda b, i, j: total[b, i, j].astype(self.out), name="C")
        return te.create_prim_func([a, w, c])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        a = fill(rng, (self.batch, self.m, self.k), dtype)
        return [a, fill(rng, (self.batch, self.n, self.k), dtype, self.k**-0.5)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        a, w = (x.astype(np.float32) for x in inputs)
        return [np.matmul(a, w.transpose(0, 2, 1)).astype(NUMPY[self.out])]

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.m * self.n * self.k

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.out],)

    @property
    def arithmetic(self) -> str:
        return self.dtype

    @property
    def label(self) -> str:
        tail = "" if self.out == self.dtype else f"->{SHORT[self.out]}"
        return f"{self.batch} x {self.m}x{self.n}x{self.k} {SHORT[self.dtype]}{tail}"

    @classmethod
    def examples(cls) -> Iterable[BatchedLinear]:
        yield cls(4, 16, 64, 96)
        yield cls(3, 1, 37, 101, "float32", "float32")
        yield cls(2, 7, 33, 130, "bfloat16", "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[BatchedLinear]:
        if len(arguments) == 3 and all(len(shape) == 3 for shape, _ in arguments):
            (batch, m, k), dtype = arguments[0]
            out = arguments[2][1]
            if dtype in cls.choices["dtype"] and out in cls.choices["out"]:
                yield cls(batch, m, arguments[1][0][1], k, dtype, out)
