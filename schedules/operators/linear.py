"""Dense linear layer, ``C[m, n] = sum_k A[m, k] W[n, k]``, the weight stored as the model stores it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from schedules.matmul import MatMul


@dataclass(frozen=True)
class Linear(MatMul):
    """``A[m, k] @ W[n, k]^T -> C[m, n]``, accumulated in float32, rounded once at the end.

    Attributes:
        m, n, k: tokens, output features, input features.
        dtype: of both inputs, ``float32`` or ``bfloat16``.
        out: of the output, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "linear"
    summary: ClassVar[str] = "dense linear layer, A[m,k] W[n,k]^T"
    row_parameter: ClassVar[str] = "m"
    m: int
    n: int
    k: int
    dtype: str = "float32"
    out: str = "float32"

    @classmethod
    def examples(cls) -> Iterable[Linear]:
        yield cls(16, 256, 512)
        yield cls(1, 37, 101)
        yield cls(7, 96, 256, "bfloat16", "bfloat16")
        yield cls(5, 64, 130, "bfloat16", "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[Linear]:
        if len(arguments) == 3 and all(len(shape) == 2 for shape, _ in arguments):
            (m, k), dtype = arguments[0]
            (n, _), _ = arguments[1]
            out = arguments[2][1]
            if dtype in cls.choices["dtype"] and out in cls.choices["out"]:
                yield cls(m, n, k, dtype, out)
