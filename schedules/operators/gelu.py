"""Gaussian error linear unit, the exact form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import erf
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class Gelu(Operator):
    """``y = x (1 + erf(x / sqrt 2)) / 2`` in float32, rounded once (D. Hendrycks, K. Gimpel, arXiv 1606.08415).

    The program is the one that ONNX and torch come to as well, a stage for each operation (``T_multiply``,
    ``compute`` for erf, ``T_add``); for bfloat16 with ``F`` and ``Y``, the casts, around them.

    Attributes:
        tokens, dim: rows and their length.
        dtype: of input and output, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "gelu"
    summary: ClassVar[str] = "Gaussian error linear unit"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    dim: int
    dtype: str = "bfloat16"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx, topi

        x = te.placeholder((self.tokens, self.dim), self.dtype, "X")
        exact = self.dtype == "float32"
        value = x if exact else te.compute(x.shape, lambda i, j: x[i, j].astype("float32"), name="F")
        half, root = tirx.const(0.5, "float32"), tirx.const(0.5**0.5, "float32")
        y = value * (half + topi.erf(value * root) * half)
        if not exact:
            result = y
            y = te.compute(x.shape, lambda i, j: result[i, j].astype(self.dtype), name="Y")
        return te.create_prim_func([x, y])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.tokens, self.dim), NUMPY[self.dtype], 2.0)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x = inputs[0].astype(np.float64)
        # numpy has no erf; of at most 65536 values of bfloat16, each is computed once.
        values, at = np.unique(x, return_inverse=True)
        normal = np.array([0.5 + 0.5 * erf(value * 0.5**0.5) for value in values])[at].reshape(x.shape)
        return [(x * normal).astype(np.float32).astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return 8 * self.tokens * self.dim

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.dim} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[Gelu]:
        yield cls(16, 256)
        yield cls(5, 101, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Gelu]:
        shape, dtype = arguments[0]
        if len(arguments) == 2 and len(shape) == 2 and dtype in cls.choices["dtype"]:
            yield cls(*shape, dtype)
