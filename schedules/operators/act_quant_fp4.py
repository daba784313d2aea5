"""Dynamic quantisation of activations to fp4, a power of two for each group of columns of a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, code_tolerance
from schedules.operator import Arrays, Operator, Tolerance, fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx

E2M1_MAX = 6.0
# The least maximum that a scale is made for: a scale of 2^-126.
LEAST = 6.0 * 2.0**-126


@dataclass(frozen=True)
class ActQuantFp4(Operator):
    """``s = 2^ceil(log2(max(amax, 6 2^-126) / 6))``, ``q = x / s`` in e2m1, to nearest even, saturating.

    As ``fp4_quant`` of DeepSeek-V4's reference inference code. Outputs ``Q[tokens, dim / 2]``, ``uint8``, the even
    column in the low four bits, and ``SQ[tokens, dim / group]``, ``uint8``, the exponent plus 127 (ue8m0). Stage ``M``:
    maxima.

    Attributes:
        tokens, dim: rows and their length.
        group: columns that share a scale, even; it divides ``dim``.
        dtype: of the input, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "act_quant_fp4"
    summary: ClassVar[str] = "quantise activations to fp4 with a power of two for each group of columns"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    dim: int
    group: int = 32
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group % 2 or self.dim % self.group:
            raise InputError(f"operator {self.name!r}: group is {self.group}, must be even and divide {self.dim}")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        from schedules.low_bit import E2M1, encode, encode_ue8m0

        x = te.placeholder((self.tokens, self.dim), self.dtype, "X")
        r = te.reduce_axis((0, self.group), "r")
        shape = (self.tokens, self.dim // self.group)
        most = te.compute(
            shape, lambda i, g: te.max(te.abs(x[i, g * self.group + r].astype("float32")), axis=r), name="M"
        )
        least, inverse = tirx.const(LEAST, "float32"), tirx.const(1 / E2M1_MAX, "float32")

        scale = te.compute(shape, lambda i, g: encode_ue8m0(tirx.max(most[i, g], least) * inverse), name="SQ")

        def code(i, j):  # type: ignore[no-untyped-def]
            # Division by 2^e is multiplication by 2^-e.
            power = (tirx.const(254) - scale[i, j // self.group].astype("int32")) << tirx.const(23)
            return encode(x[i, j].astype("float32") * tirx.reinterpret("float32", power), E2M1)

        codes = te.compute(
            (self.tokens, self.dim // 2),
            lambda i, j: code(i, 2 * j) | (code(i, 2 * j + 1) << tirx.const(4, "uint8")),
            name="Q",
        )
        return te.create_prim_func([x, codes, scale])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.tokens, self.dim), NUMPY[self.dtype])]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x = inputs[0].astype(np.float32).reshape(self.tokens, -1, self.group)
        ratio = np.maximum(np.abs(x).max(axis=2), np.float32(LEAST)) * np.float32(1 / E2M1_MAX)
        fraction, exponent = np.frexp(ratio)
        exponent = np.where(fraction == 0.5, exponent - 1, exponent)
        value = np.clip(np.ldexp(x, -exponent[..., None]), -E2M1_MAX, E2M1_MAX).reshape(self.tokens, self.dim)
        code = value.astype(NUMPY["float4_e2m1fn"]).view(np.uint8) & 15
        return [code[:, ::2] | (code[:, 1::2] << 4), (exponent + 127).astype(np.uint8)]

    @property
    def flops(self) -> int:
        return 3 * self.tokens * self.dim

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (code_tolerance(self.tokens * self.dim // 2), Tolerance(0.0, 0.0))

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.dim} {SHORT[self.dtype]}->fp4 1x{self.group}"

    @classmethod
    def examples(cls) -> Iterable[ActQuantFp4]:
        yield cls(16, 128)
        yield cls(7, 130, 26, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[ActQuantFp4]:
        shape, dtype = arguments[0]
        if len(arguments) != 3 or len(shape) != 2 or dtype not in cls.choices["dtype"]:
            return
        scales, kind = arguments[2]
        if kind == "uint8" and len(scales) == 2 and shape[1] % scales[1] == 0 and shape[1] // scales[1] % 2 == 0:
            yield cls(*shape, shape[1] // scales[1], dtype)
