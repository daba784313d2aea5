"""Hadamard transform of each row, which spreads outliers before quantisation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx

# Bits of the index that one stage transforms: sums of 16 terms.
BITS = 4
# Bit n is the parity of the number of ones in n < 16.
PARITY = 0x6996


@dataclass(frozen=True)
class Hadamard(Operator):
    """``y = x H / sqrt(dim)``, ``H[i, j] = (-1)^popcount(i & j)`` (Sylvester's matrix), in float32, rounded once.

    ``H`` of 2^n is a Kronecker product, so four bits of the index are transformed at a time: stages ``H0``, ``H1``
    and so on, then ``Y``. DeepSeek-V4's indexer rotates queries and keys so (``rotate_activation``, ``dim`` 128).

    Attributes:
        tokens, dim: rows and their length, a power of two.
        dtype: of input and output, ``bfloat16`` or ``float32``.
    """

    name: ClassVar[str] = "hadamard"
    summary: ClassVar[str] = "Hadamard transform of each row"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    dim: int
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim & (self.dim - 1) or self.dim < 2:
            raise InputError(f"operator {self.name!r}: dim is {self.dim}, must be a power of two")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        shape = (self.tokens, self.dim)
        x = te.placeholder(shape, self.dtype, "X")
        stage = transformed(x)
        scale = tirx.const(self.dim**-0.5, "float32")
        y = te.compute(shape, lambda t, j: (stage[t, j] * scale).astype(self.dtype), name="Y")
        return te.create_prim_func([x, y])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.tokens, self.dim), NUMPY[self.dtype])]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        y = inputs[0].astype(np.float32) @ sylvester(self.dim) * np.float32(self.dim**-0.5)
        return [y.astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return self.tokens * self.dim * (self.dim.bit_length() - 1)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.dim} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[Hadamard]:
        yield cls(16, 128)
        yield cls(5, 64, "float32")
        yield cls(3, 512, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Hadamard]:
        shape, dtype = arguments[0]
        if (
            len(arguments) == 2
            and len(shape) == 2
            and dtype in cls.choices["dtype"]
            and shape[1].bit_count() == 1 < shape[1]
        ):
            yield cls(*shape, dtype)


def transformed(x: Any) -> Any:
    """TE stages ``H0``, ``H1`` and so on: the transform of each row, in float32 and not scaled."""
    step, dim = 1, int(x.shape[1])
    while step < dim:
        x = _stage(x, step, min(1 << BITS, dim // step))
        step <<= BITS
    return x


def _stage(x: Any, step: int, size: int) -> Any:
    """The transform over the digit of the index that counts ``size`` steps of ``step``."""
    from tvm import te, tirx

    r = te.reduce_axis((0, size), "r")

    def total(t, j):  # type: ignore[no-untyped-def]
        digit, whole = j // step % size, j // (step * size) * (step * size)
        odd = (tirx.const(PARITY) >> (r.var & digit)) & 1
        value = x[t, whole + r * step + j % step].astype("float32")
        return te.sum(tirx.Select(odd == 0, value, -value), axis=r)

    return te.compute(x.shape, total, name=f"H{(step.bit_length() - 1) // BITS}")


def sylvester(dim: int) -> np.ndarray:
    """The matrix of ``dim`` rows in numpy, not scaled."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < dim:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
