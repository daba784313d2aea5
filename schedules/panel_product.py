"""What the linear operators have in common, as ``schedules/spaces/panels.py`` sees them: rows that share weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schedules.block_scaled import BLOCK
from schedules.operator import Operator
from schedules.operators.batched_linear import BatchedLinear
from schedules.operators.grouped_linear import FP4_GROUP, GroupedLinear
from schedules.operators.linear import Linear
from schedules.operators.linear_fp8 import LinearFp8


@dataclass(frozen=True)
class Product:
    """``C[g, i, j] = sum_k A[g, i, k] W[set of g, j, k]`` with scales, sums in float32.

    Attributes:
        groups, rows: groups of rows, and how many of each share weights.
        n, k: output and input features.
        sets: weights there are; a group's is the one that ``EXPERT`` says, or its own.
        dtype: of the weights, by the names of ``panel_format.format_for``.
        activation: type of the activations.
        out: type of the output.
        group: columns of k that share a scale of the weights; 0 is no scales.
        across: rows of weights that share a scale.
        scale: type of the weights' scales, ``float32`` or ``uint8`` (ue8m0).
        batched: whether groups are a dimension of ``A`` and ``C``.
        total: rows of ``A`` and ``C`` in all; the last group may have fewer than ``rows``.
        routed: whether there is an ``EXPERT``.
    """

    groups: int
    rows: int
    n: int
    k: int
    sets: int
    dtype: str
    activation: str
    out: str
    group: int = 0
    across: int = 1
    scale: str = "float32"
    batched: bool = False
    routed: bool = False
    total: int = 0

    @property
    def stored(self) -> str:
        """Type of the weights' array."""
        return "uint8" if self.dtype == "float4_e2m1fn" else self.dtype

    @property
    def width(self) -> int:
        """Elements in a row of the weights' array."""
        return self.k // 2 if self.dtype == "float4_e2m1fn" else self.k

    def row(self, group: Any, i: Any) -> list[Any]:
        """Indices of a row of ``A`` and ``C``."""
        return [group, i] if self.batched else [group * self.rows + i]

    def weights(self, number: Any) -> list[Any]:
        """Indices of a set of weights."""
        return [number] if self.batched or self.routed else []

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of every argument in order, by the operators' names."""
        lead = [self.groups, self.rows] if self.batched else [self.total]
        sets = self.weights(self.sets)
        found = {"A": ((*lead, self.k), self.activation)}
        if self.activation == "float8_e4m3fn":
            found["SA"] = ((*lead, -(-self.k // BLOCK)), "float32")
        if self.routed:
            found["EXPERT"] = ((self.groups,), "int32")
        found["W"] = ((*sets, self.n, self.width), self.stored)
        if self.group:
            found["SW"] = ((*sets, -(-self.n // self.across), -(-self.k // self.group)), self.scale)
        found["C"] = ((*lead, self.n), self.out)
        return found


def product_of(op: Operator | None) -> Product | None:
    """An operator as a product; None if it is not one."""
    if isinstance(op, Linear):
        return Product(1, op.m, op.n, op.k, 1, op.dtype, op.dtype, op.out, total=op.m)
    if isinstance(op, BatchedLinear):
        size = (op.batch, op.m, op.n, op.k, op.batch)
        return Product(*size, op.dtype, op.dtype, op.out, batched=True, total=op.m)
    if isinstance(op, LinearFp8):
        fp8 = "float8_e4m3fn"
        return Product(1, op.m, op.n, op.k, 1, fp8, fp8, "bfloat16", BLOCK, BLOCK, total=op.m)
    if isinstance(op, GroupedLinear):
        scales: Sequence[Any] = {
            "bfloat16": (),
            "float8_e4m3fn": (BLOCK, BLOCK, "float32"),
            "float4_e2m1fn": (FP4_GROUP, 1, "uint8"),
        }[op.dtype]
        activation = "bfloat16" if op.dtype == "bfloat16" else "float8_e4m3fn"
        size = (op.blocks, op.block, op.n, op.k, op.groups)
        return Product(*size, op.dtype, activation, "bfloat16", *scales, routed=True, total=op.rows)
    return None
