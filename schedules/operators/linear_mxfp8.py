"""Linear layer in MXFP8: activations and weights in fp8, a power of two for each 32 columns of a row of either."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from schedules.block_scaled import MXFP8, BlockScaled
from schedules.scaled_linear import ScaledLinear, dense_sizes


@dataclass(frozen=True)
class LinearMxfp8(ScaledLinear):
    """``C[m, n] = sum_k A[m, k] 2^(SA[m, k/32] - 127) W[n, k] 2^(SW[n, k/32] - 127)``, rounded once to bfloat16.

    Both matrices are e4m3 codes with ``uint8`` exponents (ue8m0), MXFP8 of the OCP Microscaling specification 1.0;
    recipe (1, 1, 32) of DeepGEMM. Summed in float32. Stages: ``Af``, ``Wf`` decode, scales included since they are
    exact (padded with zeros to whole blocks of 128), ``S`` sums, ``C`` rounds.

    Attributes:
        m, n, k: tokens, output features, input features; the last group of 32 may be partial.
    """

    name: ClassVar[str] = "linear_mxfp8"
    summary: ClassVar[str] = "fp8 linear layer, 1x32 power-of-two scales of activations and weights, bf16 out"
    row_parameter: ClassVar[str] = "m"
    m: int
    n: int
    k: int

    @property
    def formats(self) -> tuple[BlockScaled, BlockScaled]:
        return MXFP8, MXFP8

    @property
    def label(self) -> str:
        return f"{self.m}x{self.n}x{self.k} mxfp8"

    @classmethod
    def examples(cls) -> Iterable[LinearMxfp8]:
        yield cls(16, 256, 512)
        yield cls(1, 130, 288)
        yield cls(3, 37, 101)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[LinearMxfp8]:
        sizes = dense_sizes(arguments)
        if sizes and arguments[2][1] == "float8_e4m3fn" and arguments[1][1] == arguments[3][1] == "uint8":
            yield cls(*sizes)
