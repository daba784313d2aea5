"""What linear layers of plain numbers share: one product of matrices, or one for each entry of a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE, product_nt
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


class MatMul(Operator):
    """``C[..., m, n] = sum_k A[..., m, k] W[..., n, k]``, summed in float32, rounded once at the end.

    A subclass adds the parameters and says in ``lead`` what stands for the dots. Stages: ``S`` sums and ``C`` rounds,
    or ``C`` alone where that is float32.
    """

    weights: ClassVar[tuple[str, ...]] = ("W",)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "dtype": ("float32", "bfloat16"),
        "out": ("float32", "bfloat16"),
    }
    m: int
    n: int
    k: int
    dtype: str
    out: str

    @property
    def lead(self) -> tuple[int, ...]:
        """Axes before those of the matrices."""
        return ()

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        a = te.placeholder((*self.lead, self.m, self.k), self.dtype, "A")
        w = te.placeholder((*self.lead, self.n, self.k), self.dtype, "W")
        k = te.reduce_axis((0, self.k), "k")
        shape = (*self.lead, self.m, self.n)

        def product(*at):  # type: ignore[no-untyped-def]
            *lead, i, j = at
            row, column = (*lead, i, k), (*lead, j, k)
            return te.sum(a[row].astype("float32") * w[column].astype("float32"), axis=k)

        if self.out == "float32":
            c = te.compute(shape, product, name="C")
        else:
            total = te.compute(shape, product, name="S")
            c = te.compute(shape, lambda *at: total[at].astype(self.out), name="C")
        return te.create_prim_func([a, w, c])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        a = fill(rng, (*self.lead, self.m, self.k), dtype)
        return [a, fill(rng, (*self.lead, self.n, self.k), dtype, self.k**-0.5)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        c = np.empty((*self.lead, self.m, self.n), NUMPY[self.out])
        for at in np.ndindex(*self.lead):
            c[at] = product_nt(inputs[0][at], inputs[1][at])
        return [c]

    @property
    def flops(self) -> int:
        return 2 * math.prod(self.lead) * self.m * self.n * self.k

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.out],)

    @property
    def arithmetic(self) -> str:
        return self.dtype

    @property
    def label(self) -> str:
        batch = "".join(f"{extent} x " for extent in self.lead)
        tail = "" if self.out == self.dtype else f"->{SHORT[self.out]}"
        return f"{batch}{self.m}x{self.n}x{self.k} {SHORT[self.dtype]}{tail}"
