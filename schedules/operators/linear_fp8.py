"""Block-scaled fp8 linear layer: activations scaled by 1x128, weights by 128x128, as DeepSeek models store them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from schedules.block_scaled import BLOCKS_FP8, ROWS_FP8, BlockScaled
from schedules.scaled_linear import ScaledLinear, dense_sizes


@dataclass(frozen=True)
class LinearFp8(ScaledLinear):
    """``C[m, n] = sum_b sum_{k in block b} A[m, k] W[n, k] SA[m, b] SW[n/128, b]``, rounded once to bfloat16.

    Summed in float32, as DeepGEMM's ``fp8_gemm_nt`` does. The scales stand inside one sum rather than between two,
    so that a schedule is free to add lanes, blocks or both first. Stages: ``Af``, ``Wf`` decode (padded to whole
    blocks with zeros), ``S`` sums, ``C`` rounds.

    Attributes:
        m, n, k: tokens, output features, input features; none has to divide by 128.
    """

    name: ClassVar[str] = "linear_fp8"
    summary: ClassVar[str] = "fp8 linear layer, 1x128 and 128x128 block scales, bf16 out"
    row_parameter: ClassVar[str] = "m"
    m: int
    n: int
    k: int

    @property
    def formats(self) -> tuple[BlockScaled, BlockScaled]:
        return ROWS_FP8, BLOCKS_FP8

    @property
    def label(self) -> str:
        return f"{self.m}x{self.n}x{self.k} fp8"

    @classmethod
    def examples(cls) -> Iterable[LinearFp8]:
        yield cls(16, 256, 512)
        yield cls(1, 130, 300)
        yield cls(3, 37, 101)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[LinearFp8]:
        sizes = dense_sizes(arguments)
        if sizes and arguments[1][1] == arguments[3][1] == "float32":
            yield cls(*sizes)
