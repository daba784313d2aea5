"""Dynamic quantisation of activations to fp8, a scale for each group of columns of a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import padded
from schedules.dtypes import NUMPY, SHORT
from schedules.operator import Arrays, Operator, Tolerance, fill
from schedules.quantise import SCALES, quantise, quantised, tolerances

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class ActQuant(Operator):
    """``s = max(amax, 1e-4) / 448`` over each group of columns, ``q = x / s`` in e4m3, to nearest even, saturating.

    As ``act_quant`` of DeepSeek's reference inference code; with ``ue8m0`` the scale is rounded up to a power of two
    and stored as its exponent plus 127. Stages: ``F`` float32, padded with zeros to whole groups, ``M`` maxima;
    outputs ``Q`` codes and ``SQ`` scales.

    Attributes:
        tokens, dim: rows and their length.
        group: columns that share a scale, 128 or, on newer chips, 32; the last group may be partial.
        dtype: of the input, ``bfloat16`` or ``float32``.
        scale: what scales are stored as, ``float32`` or ``ue8m0``.
    """

    name: ClassVar[str] = "act_quant"
    summary: ClassVar[str] = "quantise activations to fp8 with a scale for each group of columns"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32"), **SCALES}
    tokens: int
    dim: int
    group: int = 128
    dtype: str = "bfloat16"
    scale: str = "float32"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        x = te.placeholder((self.tokens, self.dim), self.dtype, "X")
        f = padded((self.tokens, self.dim), self.group, lambda i, j: x[i, j].astype("float32"), "F")
        return te.create_prim_func([x, *quantised(f, self.dim, self.group, self.scale)])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.tokens, self.dim), NUMPY[self.dtype])]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        return quantise(inputs[0].astype(np.float32), self.group, self.scale)

    @property
    def flops(self) -> int:
        return 3 * self.tokens * self.dim

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return tolerances(self.tokens * self.dim, self.scale)

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.dim} {SHORT[self.dtype]}->fp8 1x{self.group}{' ue8m0' * (self.scale == 'ue8m0')}"

    @classmethod
    def examples(cls) -> Iterable[ActQuant]:
        yield cls(16, 512)
        yield cls(7, 130, 128, "float32")
        yield cls(5, 201, 32)
        yield cls(7, 201, 32, scale="ue8m0")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[ActQuant]:
        shape, dtype = arguments[0]
        if len(arguments) == 3 and len(shape) == 2 and dtype in cls.choices["dtype"]:
            scale = "ue8m0" if arguments[2][1] == "uint8" else "float32"
            yield from (cls(*shape, group, dtype, scale) for group in (128, 32, 64))
