"""Manifold-constrained hyper-connections, before the language model head: residual streams become one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill
from schedules.operators.hc_pre import collapsed, inverse_rms, reference_sigmoid

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class HcHead(Operator):
    """``y = sum_i (sigmoid(mix_i SCALE + BASE_i) + eps) X_i``, ``mix = MIX / sqrt(mean(X^2) + eps)``.

    ``MIX`` is the product of the flattened streams with ``hc_head_fn`` (a ``linear``). Semantics of ``hc_head`` in
    DeepSeek-V4's ``inference/model.py``. Inputs ``X[tokens, hc, dim]``, ``MIX[tokens, hc]``, ``SCALE[1]``,
    ``BASE[hc]``; output ``Y[tokens, dim]``; stages as of ``hc_pre``.

    Attributes:
        tokens, dim: rows and the width of the model.
        hc: residual streams.
        dtype: of ``X`` and ``Y``, ``bfloat16`` or ``float32``.
        eps: of the mean square and of the coefficients.
    """

    name: ClassVar[str] = "hc_head"
    summary: ClassVar[str] = "hyper-connections: residual streams to the input of the head"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    dim: int
    hc: int = 4
    dtype: str = "bfloat16"
    eps: float = 1e-6

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        x = te.placeholder((self.tokens, self.hc, self.dim), self.dtype, "X")
        mix = te.placeholder((self.tokens, self.hc), "float32", "MIX")
        scale = te.placeholder((1,), "float32", "SCALE")
        base = te.placeholder((self.hc,), "float32", "BASE")
        factor = inverse_rms(x, self.eps)
        y = collapsed(x, lambda t, i: mix[t, i] * factor[t] * scale[0] + base[i], self.eps)
        return te.create_prim_func([x, mix, scale, base, y])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        x = fill(rng, (self.tokens, self.hc, self.dim), NUMPY[self.dtype])
        return [x, *(rng.standard_normal(shape, np.float32) for shape in ((self.tokens, self.hc), 1, self.hc))]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x, mix, scale, base = (array.astype(np.float32) for array in inputs)
        mix = mix / np.sqrt(np.mean(np.square(x), axis=(1, 2)) + np.float32(self.eps))[:, None]
        pre = reference_sigmoid(mix * scale + base) + np.float32(self.eps)
        return [np.einsum("ti,tid->td", pre, x).astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return 4 * self.tokens * self.hc * self.dim

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.hc}x{self.dim} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[HcHead]:
        yield cls(16, 128)
        yield cls(5, 101, 3, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[HcHead]:
        shape, dtype = arguments[0]
        if len(arguments) == 5 and len(shape) == 3 and dtype in cls.choices["dtype"]:
            yield cls(shape[0], shape[2], shape[1], dtype)
