"""What the linear layers of a mixture of experts share, however rows are assigned to experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from schedules.block_scaled import BLOCKS_FP8, MX_GROUP, MXFP4, BlockScaled, rows_of_fp8
from schedules.dtypes import NUMPY, SHORT, TOLERANCE, product_nt, widened
from schedules.operator import Arrays, Operator, Tolerance, fill
from targets.errors import InputError


class Experts(Operator):
    """Inputs ``A[..., k]`` and ``W[groups, n, k]`` with, but for bfloat16, scales ``SA`` and ``SW``.

    Weights by ``dtype``: ``bfloat16``; ``float8_e4m3fn`` with 128x128 float32 scales; ``float4_e2m1fn`` as ``uint8``
    pairs, the even column in the low four bits, with a ue8m0 ``uint8`` scale for 32 columns (DeepSeek-V4). With fp8
    and fp4 weights the activations are e4m3 with 1x128 float32 scales, as in V4's reference ``inference/model.py``, or
    with 1x32 ue8m0 scales, as in DeepGEMM's Mega MoE (``group``).
    """

    weights: ClassVar[tuple[str, ...]] = ("W", "SW")
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float8_e4m3fn", "float4_e2m1fn")}
    groups: int
    n: int
    k: int
    dtype: str
    group: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype == "float4_e2m1fn" and self.k % MX_GROUP:
            raise InputError(f"operator {self.name!r}: k is {self.k}, must be a multiple of {MX_GROUP} for fp4")
        rows_of_fp8(self.name, self.group)

    @property
    def formats(self) -> tuple[BlockScaled, BlockScaled]:
        """How fp8 activations and fp8 or fp4 weights are stored."""
        return rows_of_fp8(self.name, self.group), MXFP4 if self.dtype == "float4_e2m1fn" else BLOCKS_FP8

    def random(self, rng: np.random.Generator, *rows: int) -> tuple[Arrays, Arrays]:
        """Activations of these leading axes and weights, each with their scales where they have any."""
        size = self.k**-0.5
        if self.dtype == "bfloat16":
            dtype = NUMPY["bfloat16"]
            return [fill(rng, (*rows, self.k), dtype)], [fill(rng, (self.groups, self.n, self.k), dtype, size)]
        left, right = self.formats
        return left.random(rng, *rows, self.k), right.random(rng, self.groups, self.n, self.k, size=size)

    def product(self, rows: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> np.ndarray:
        """Some rows of activations times the weights of one expert, in bfloat16."""
        if self.dtype == "bfloat16":
            return product_nt(widened(rows[0]), weights[0]).astype(NUMPY["bfloat16"])
        left, right = self.formats
        return right.times(left.values(*rows), *weights).astype(NUMPY["bfloat16"])

    def moved(self, experts: int, rows: int) -> int:
        """Bytes of the weights of some experts, and of some rows of input and output."""
        if self.dtype == "bfloat16":
            return 2 * (experts * self.n * self.k + rows * (self.k + self.n))
        left, right = self.formats
        return experts * right.nbytes(self.n, self.k) + rows * (left.nbytes(1, self.k) + 2 * self.n)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["bfloat16"],)

    @property
    def arithmetic(self) -> str:
        return "bfloat16" if self.dtype == "bfloat16" else "float8_e4m3fn"

    @property
    def short(self) -> str:
        """The formats, for people."""
        activations = "" if self.dtype == "bfloat16" or self.group != MX_GROUP else f" by fp8 1x{MX_GROUP}"
        return SHORT[self.dtype] + activations
