"""Linear layer of fp4 weights and fp8 activations: a power of two for each 32 weights of a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from schedules.block_scaled import BLOCK, MX_GROUP, MXFP4, BlockScaled, rows_of_fp8
from schedules.scaled_linear import ScaledLinear, dense_sizes
from targets.errors import InputError


@dataclass(frozen=True)
class LinearFp4(ScaledLinear):
    """``C[m, n] = sum_k A[m, k] SA[m, k/group] W[n, k] 2^(SW[n, k/32] - 127)``, rounded once to bfloat16.

    Weights are e2m1 pairs in ``uint8``, the even column in the low four bits, with ``uint8`` exponents (ue8m0): the
    layout of DeepSeek-V4's checkpoints. Activations are e4m3: with 1x128 float32 scales as in V4's reference
    ``inference/model.py``, or with 1x32 ue8m0 scales, recipe (1, 1, 32) of DeepGEMM's ``fp8_fp4_gemm_nt``. Summed in
    float32. Stages: ``Af``, ``Wf`` decode, powers of two included (padded with zeros to whole blocks of 128), ``S``
    sums, ``C`` rounds.

    Attributes:
        m, n, k: tokens, output features, input features; ``k`` divides by 32.
        group: columns that share an activation scale, 128 (float32) or 32 (ue8m0).
    """

    name: ClassVar[str] = "linear_fp4"
    summary: ClassVar[str] = "linear layer of fp4 weights, 1x32 scales, and fp8 activations, bf16 out"
    row_parameter: ClassVar[str] = "m"
    m: int
    n: int
    k: int
    group: int = BLOCK

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k % MX_GROUP:
            raise InputError(f"operator {self.name!r}: k is {self.k}, must be a multiple of {MX_GROUP}")
        rows_of_fp8(self.name, self.group)

    @property
    def formats(self) -> tuple[BlockScaled, BlockScaled]:
        return rows_of_fp8(self.name, self.group), MXFP4

    @property
    def label(self) -> str:
        return f"{self.m}x{self.n}x{self.k} fp4, activations 1x{self.group}"

    @classmethod
    def examples(cls) -> Iterable[LinearFp4]:
        yield cls(16, 256, 512)
        yield cls(1, 37, 160)
        yield cls(7, 130, 288, 32)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[LinearFp4]:
        sizes = dense_sizes(arguments)
        if sizes and arguments[2][1] == arguments[3][1] == "uint8" and sizes[2] % MX_GROUP == 0:
            yield cls(*sizes, MX_GROUP if arguments[1][1] == "uint8" else BLOCK)
