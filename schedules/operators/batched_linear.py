"""Batched linear layer: a weight of its own for each batch entry, such as a head or a group of heads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from schedules.matmul import MatMul


@dataclass(frozen=True)
class BatchedLinear(MatMul):
    """``C[b, m, n] = sum_k A[b, m, k] W[b, n, k]``, summed in float32, rounded once at the end.

    W_UK and W_UV of DeepSeek-V3 (batch: heads) and wo_a of V4 (batch: output groups) are of this form.

    Attributes:
        batch: heads or groups.
        m, n, k: tokens, output features, input features.
        dtype: of both inputs, ``float32`` or ``bfloat16``.
        out: of the output, ``float32`` or ``bfloat16``.
    """

    name: ClassVar[str] = "batched_linear"
    summary: ClassVar[str] = "linear layer with a weight for each batch entry, A[b,m,k] W[b,n,k]^T"
    batch: int
    m: int
    n: int
    k: int
    dtype: str = "bfloat16"
    out: str = "bfloat16"

    @property
    def lead(self) -> tuple[int, ...]:
        return (self.batch,)

    @classmethod
    def examples(cls) -> Iterable[BatchedLinear]:
        yield cls(4, 16, 64, 96)
        yield cls(3, 1, 37, 101, "float32", "float32")
        yield cls(2, 7, 33, 130, "bfloat16", "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[BatchedLinear]:
        if len(arguments) == 3 and all(len(shape) == 3 for shape, _ in arguments):
            (batch, m, k), dtype = arguments[0]
            out = arguments[2][1]
            if dtype in cls.choices["dtype"] and out in cls.choices["out"]:
                yield cls(batch, m, arguments[1][0][1], k, dtype, out)
