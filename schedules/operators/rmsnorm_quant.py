"""Root mean square normalisation of each token, quantised to fp8 for the linear layer that follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, MX_GROUP
from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill
from schedules.operators.rmsnorm import normalised, reference_norm
from schedules.quantise import SCALES, quantise, quantised, tolerances

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class RmsNormQuant(Operator):
    """``h = x + res``, ``y = h / sqrt(mean(h^2) + eps) * g``, and ``y`` in e4m3 with a scale for each group of columns.

    ``rmsnorm`` and ``act_quant`` in one kernel, as vLLM's ``rms_norm_per_block_quant``, in float32 until codes are
    made: ``y`` is not rounded before. Outputs ``Q``, ``SQ`` and, with ``residual``, ``H`` (``h`` rounded to ``dtype``).
    Stages: ``F`` is ``h`` in float32, padded with zeros to whole groups, ``SS`` the sum of squares, ``N`` is ``y``,
    ``M`` maxima.

    Attributes:
        tokens, dim: rows and their length.
        dtype: of the inputs and of ``H``, ``bfloat16`` or ``float32``.
        residual: whether there is a second input to add, and ``H``.
        eps: added to the mean square.
        group: columns that share a scale.
        scale: what scales are stored as, ``float32`` or ``ue8m0``.
    """

    name: ClassVar[str] = "rmsnorm_quant"
    summary: ClassVar[str] = "RMS normalisation, optionally of x + residual, quantised to fp8"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32"), **SCALES}
    tokens: int
    dim: int
    dtype: str = "bfloat16"
    residual: bool = False
    eps: float = 1e-6
    group: int = BLOCK
    scale: str = "float32"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        shape = (self.tokens, self.dim)
        x, res = (te.placeholder(shape, self.dtype, name) for name in ("X", "R"))
        g = te.placeholder((self.dim,), self.dtype, "G")
        f, normal = normalised(x, res if self.residual else None, g, self.eps, "SS", self.group)
        outputs = [*quantised(te.compute(f.shape, normal, name="N"), self.dim, self.group, self.scale)]
        if self.residual:
            outputs.append(te.compute(shape, lambda i, j: f[i, j].astype(self.dtype), name="H"))
        return te.create_prim_func([x, *[res] * self.residual, g, *outputs])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        arrays = [fill(rng, (self.tokens, self.dim), dtype) for _ in range(1 + self.residual)]
        return [*arrays, rng.uniform(0.5, 1.5, self.dim).astype(dtype)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        y, h = reference_norm(inputs, self.residual, True, self.eps)
        return [*quantise(y, self.group, self.scale), *[h.astype(NUMPY[self.dtype])] * self.residual]

    @property
    def flops(self) -> int:
        return self.tokens * self.dim * (7 + self.residual)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (*tolerances(self.tokens * self.dim, self.scale), *[TOLERANCE[self.dtype]] * self.residual)

    @property
    def label(self) -> str:
        form = f"1x{self.group}{' ue8m0' * (self.scale == 'ue8m0')}"
        return f"{self.tokens}x{self.dim} {SHORT[self.dtype]}->fp8 {form}{' +res' * self.residual}"

    @classmethod
    def examples(cls) -> Iterable[RmsNormQuant]:
        yield cls(16, 512)
        yield cls(5, 130, residual=True)
        yield cls(3, 201, "float32", True, 1e-6, MX_GROUP, "ue8m0")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[RmsNormQuant]:
        shape, dtype = arguments[0]
        if len(shape) != 2 or dtype not in cls.choices["dtype"] or len(arguments) not in (4, 6):
            return
        residual = len(arguments) == 6
        scale = "ue8m0" if arguments[4 if residual else 3][1] == "uint8" else "float32"
        for group in (BLOCK, MX_GROUP):
            yield from (cls(*shape, dtype, residual, eps, group, scale) for eps in (1e-6, 1e-5))
