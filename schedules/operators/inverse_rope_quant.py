"""Attention's output turned back and quantised to fp8, as DeepSeek-V4's output projection takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, MX_GROUP, padded
from schedules.dtypes import NUMPY, SHORT
from schedules.operator import Arrays, Operator, Tolerance, fill
from schedules.operators.rope import reference_rotation, rotation
from schedules.quantise import SCALES, quantise, quantised, tolerances
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class InverseRopeQuant(Operator):
    """The last ``rotary`` channels of each head turn backwards, pairs interleaved; then each head is quantised.

    ``rope`` (inverse) and ``act_quant`` in one kernel, as vLLM's ``fused_inv_rope_fp8_quant``, in float32 until codes
    are made. Inputs ``X[tokens, heads, dim]``, ``COS`` and ``SIN[tokens, rotary / 2]`` in float32; outputs ``Q``
    ``[tokens, heads, dim]`` in e4m3 and ``SQ[tokens, heads, dim / group]``: where ``group`` divides ``dim``, the same
    memory as ``A`` and ``SA`` of ``batched_linear_fp8``, whose groups are heads side by side. Stages: ``F`` float32,
    padded with zeros to whole groups, ``M`` maxima.

    Attributes:
        tokens, heads, dim: of the input.
        rotary: channels that turn, even, at most ``dim``.
        dtype: of the input, ``bfloat16`` or ``float32``.
        group: columns that share a scale.
        scale: what scales are stored as, ``float32`` or ``ue8m0``.
    """

    name: ClassVar[str] = "inverse_rope_quant"
    summary: ClassVar[str] = "inverse rotary embedding of the last channels of heads, quantised to fp8"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32"), **SCALES}
    tokens: int
    heads: int
    dim: int
    rotary: int
    dtype: str = "bfloat16"
    group: int = BLOCK
    scale: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rotary % 2 or self.rotary > self.dim:
            raise InputError(f"operator {self.name!r}: rotary is {self.rotary}, must be even and at most {self.dim}")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        half, start = self.rotary // 2, self.dim - self.rotary
        x = te.placeholder((self.tokens, self.heads, self.dim), self.dtype, "X")
        cos = te.placeholder((self.tokens, half), "float32", "COS")
        sin = te.placeholder((self.tokens, half), "float32", "SIN")
        turned = rotation(x, cos, sin, start, "interleaved", True)

        def value(t, h, d):  # type: ignore[no-untyped-def]
            if not start:
                return turned(t, h, d)
            return tirx.if_then_else(d >= start, turned(t, h, d), x[t, h, d].astype("float32"))

        f = padded((self.tokens, self.heads, self.dim), self.group, value, "F")
        return te.create_prim_func([x, cos, sin, *quantised(f, self.dim, self.group, self.scale)])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        angle = rng.uniform(-np.pi, np.pi, (self.tokens, self.rotary // 2)).astype(np.float32)
        return [fill(rng, (self.tokens, self.heads, self.dim), NUMPY[self.dtype]), np.cos(angle), np.sin(angle)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x, cos, sin = (array.astype(np.float32) for array in inputs)
        y = reference_rotation(x, cos, sin, self.dim - self.rotary, "interleaved", True)
        return quantise(y, self.group, self.scale)

    @property
    def flops(self) -> int:
        return 3 * self.tokens * self.heads * (self.rotary + self.dim)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return tolerances(self.tokens * self.heads * self.dim, self.scale)

    @property
    def label(self) -> str:
        form = f"1x{self.group}{' ue8m0' * (self.scale == 'ue8m0')}"
        return f"{self.tokens}x{self.heads}x{self.dim} {SHORT[self.dtype]}->fp8 {form}, last {self.rotary}"

    @classmethod
    def examples(cls) -> Iterable[InverseRopeQuant]:
        yield cls(16, 2, 256, 64)
        yield cls(5, 3, 34, 34, "float32")
        yield cls(7, 2, 80, 16, "bfloat16", MX_GROUP, "ue8m0")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[InverseRopeQuant]:
        shape, dtype = arguments[0]
        if len(arguments) != 5 or len(shape) != 3 or len(arguments[1][0]) != 2 or dtype not in cls.choices["dtype"]:
            return
        rotary, scale = 2 * arguments[1][0][1], "ue8m0" if arguments[4][1] == "uint8" else "float32"
        if rotary <= shape[2]:
            yield from (cls(*shape, rotary, dtype, group, scale) for group in (BLOCK, MX_GROUP))
