"""Layer normalisation of each token, with gain and bias."""

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
class LayerNorm(Operator):
    """``y = (x - mean) / sqrt(var + eps) * g + b`` over the last axis, in float32, rounded once.

    The variance is the mean square of ``x - mean``, in a second pass, so that a large mean costs no digits. Stages:
    ``M`` sum, ``V`` sum of squared deviations, ``Y``.

    Attributes:
        tokens, dim: rows and their length.
        dtype: of every argument, ``bfloat16`` or ``float32``.
        eps: added to the variance.
    """

    name: ClassVar[str] = "layernorm"
    summary: ClassVar[str] = "layer normalisation with gain and bias"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    dim: int
    dtype: str = "bfloat16"
    eps: float = 1e-6

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        x = te.placeholder((self.tokens, self.dim), self.dtype, "X")
        g = te.placeholder((self.dim,), self.dtype, "G")
        b = te.placeholder((self.dim,), self.dtype, "B")
        inverse, eps = tirx.const(1.0 / self.dim, "float32"), tirx.const(self.eps, "float32")
        k = te.reduce_axis((0, self.dim), "k")
        m = te.compute((self.tokens,), lambda i: te.sum(x[i, k].astype("float32"), axis=k), name="M")

        def centred(i, j):  # type: ignore[no-untyped-def]
            return x[i, j].astype("float32") - m[i] * inverse

        k = te.reduce_axis((0, self.dim), "k")
        v = te.compute((self.tokens,), lambda i: te.sum(centred(i, k) * centred(i, k), axis=k), name="V")

        def normal(i, j):  # type: ignore[no-untyped-def]
            value = centred(i, j) * tirx.rsqrt(v[i] * inverse + eps)
            return (value * g[j].astype("float32") + b[j].astype("float32")).astype(self.dtype)

        return te.create_prim_func([x, g, b, te.compute((self.tokens, self.dim), normal, name="Y")])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        x = fill(rng, (self.tokens, self.dim), dtype) + rng.standard_normal((self.tokens, 1)).astype(dtype)
        return [x, rng.uniform(0.5, 1.5, self.dim).astype(dtype), rng.standard_normal(self.dim).astype(dtype)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x, g, b = (array.astype(np.float32) for array in inputs)
        centred = x - x.mean(-1, keepdims=True)
        y = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(self.eps)) * g + b
        return [y.astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return 7 * self.tokens * self.dim

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.dim} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[LayerNorm]:
        yield cls(16, 128)
        yield cls(5, 101, "float32")
        yield cls(1, 768, "float32", 1e-12)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[LayerNorm]:
        shape, dtype = arguments[0]
        if len(arguments) == 4 and len(shape) == 2 and dtype in cls.choices["dtype"]:
            yield from (cls(*shape, dtype, eps) for eps in (1e-6, 1e-5, 1e-12))
