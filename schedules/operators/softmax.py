"""Softmax over the last axis."""

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
class Softmax(Operator):
    """``y = exp(x - max(x)) / sum(exp(x - max(x)))`` of each row, in float32, rounded once.

    Stages are those of ``tvm.topi.nn.softmax``, which ONNX and torch programs come to as well:
    ``T_softmax_maxelem``, ``T_softmax_exp``, ``T_softmax_expsum``, ``T_softmax_norm``; for bfloat16 with ``F`` and
    ``Y``, the casts, around them.

    Attributes:
        rows, cols: rows and their length.
        dtype: of both arguments, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "softmax"
    summary: ClassVar[str] = "softmax over the last axis"
    row_parameter: ClassVar[str] = "rows"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("float32", "bfloat16")}
    rows: int
    cols: int
    dtype: str = "float32"

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, topi

        x = te.placeholder((self.rows, self.cols), self.dtype, "X")
        if self.dtype == "float32":
            return te.create_prim_func([x, topi.nn.softmax(x)])
        f = te.compute(x.shape, lambda i, j: x[i, j].astype("float32"), name="F")
        normal = topi.nn.softmax(f)
        y = te.compute(x.shape, lambda i, j: normal[i, j].astype(self.dtype), name="Y")
        return te.create_prim_func([x, y])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        return [fill(rng, (self.rows, self.cols), NUMPY[self.dtype], 3.0)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x = inputs[0].astype(np.float32)
        y = np.exp(x - x.max(-1, keepdims=True))
        return [(y / y.sum(-1, keepdims=True)).astype(NUMPY[self.dtype])]

    @property
    def flops(self) -> int:
        return 5 * self.rows * self.cols

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def label(self) -> str:
        return f"{self.rows}x{self.cols} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[Softmax]:
        yield cls(16, 256)
        yield cls(5, 101)
        yield cls(7, 130, "bfloat16")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Softmax]:
        shape, dtype = arguments[0]
        if len(arguments) == 2 and len(shape) == 2 and dtype in cls.choices["dtype"]:
            yield cls(*shape, dtype)
