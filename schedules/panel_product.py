"""What the linear operators have in common, as ``schedules/spaces/panels.py`` sees them: rows that share weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schedules.block_scaled import BLOCKS_FP8, ROWS_FP8, BlockScaled
from schedules.experts import Experts
from schedules.operator import Operator
from schedules.operators.batched_linear import BatchedLinear
from schedules.operators.batched_linear_fp8 import BatchedLinearFp8
from schedules.operators.grouped_linear import GroupedLinear
from schedules.operators.grouped_linear_masked import GroupedLinearMasked
from schedules.operators.linear import Linear
from schedules.operators.linear_int8 import LinearInt8
from schedules.scaled_linear import ScaledLinear

Shapes = dict[str, tuple[tuple[int, ...], str]]


@dataclass(frozen=True)
class Product:
    """``C[g, i, j] = sum_k A[g, i, k] W[set of g, j, k]``, with scales where these are codes, sums in float32.

    Attributes:
        groups, rows: groups of rows, and how many of each share weights.
        total: rows in all where ``order`` is ``flat``; the last group may then have fewer than ``rows``.
        n, k: output and input features.
        sets: weights there are.
        dtype: of activations and weights that are no codes.
        out: type of the output.
        left, right: how codes of activations and weights are stored; None where they are none.
        order: whether rows of ``A`` and ``C`` are ``flat``, or ``[group, row]``, or ``[row, group]``.
        extra: ``EXPERT``: which set a group has; ``COUNT``: how many rows of a group are in use; or nothing.
        channels: whether ``A`` has a scale for each row and ``W`` for each column, which multiply the output.
    """

    groups: int
    rows: int
    total: int
    n: int
    k: int
    sets: int
    dtype: str
    out: str
    left: BlockScaled | None = None
    right: BlockScaled | None = None
    order: str = "flat"
    extra: str = ""
    channels: bool = False

    @property
    def laid_out(self) -> tuple[str, ...]:
        """Arguments that are laid out anew."""
        return ("W", "SW") if self.right else ("W",)

    @property
    def weight(self) -> str:
        """Type of a weight."""
        return self.right.dtype if self.right else self.dtype

    @property
    def stored(self) -> str:
        """Type of an element of the weights' array."""
        return "uint8" if self.right and self.right.packed else self.weight

    @property
    def width(self) -> int:
        """Elements in a row of the weights' array."""
        return self.k // 2 if self.right and self.right.packed else self.k

    @property
    def group(self) -> int:
        """Columns of k that share a scale of the weights; 0 where there are no scales."""
        return self.right.columns if self.right else 0

    @property
    def scale(self) -> str:
        """Type of the weights' scales in memory."""
        return "uint8" if self.right and self.right.power else "float32"

    @property
    def row_scales(self) -> bool:
        """Whether activations have scales that are no powers of two."""
        return self.left is not None and not self.left.power

    def row(self, group: Any, i: Any) -> list[Any]:
        """Indices of a row of ``A`` and ``C``."""
        found = {"flat": [group * self.rows + i], "[group, row]": [group, i], "[row, group]": [i, group]}
        return found[self.order]

    def weights(self, number: Any) -> list[Any]:
        """Indices of a set of weights."""
        return [] if self.order == "flat" and not self.extra else [number]

    def shapes(self) -> Shapes:
        """Shape and type of every argument in order, by the operators' names."""
        lead = {
            "flat": [self.total],
            "[group, row]": [self.groups, self.rows],
            "[row, group]": [self.rows, self.groups],
        }[self.order]
        sets = self.weights(self.sets)
        found: Shapes = {"A": ((*lead, self.k), self.left.dtype if self.left else self.dtype)}
        if self.left:
            found["SA"] = ((*lead, -(-self.k // self.left.columns)), "uint8" if self.left.power else "float32")
        if self.channels:
            found["SA"] = (tuple(lead), "float32")
        if self.extra:
            found[self.extra] = ((self.groups,), "int32")
        found["W"] = ((*sets, self.n, self.width), self.stored)
        if self.right:
            found["SW"] = ((*sets, *self.right.shapes(self.n, self.k)[1]), self.scale)
        if self.channels:
            found["SW"] = ((*sets, self.n), "float32")
        found["C"] = ((*lead, self.n), self.out)
        return found


def product_of(op: Operator | None) -> Product | None:
    """An operator as a product; None if it is not one."""
    if isinstance(op, Linear):
        return Product(1, op.m, op.m, op.n, op.k, 1, op.dtype, op.out)
    if isinstance(op, LinearInt8):
        return Product(1, op.m, op.m, op.n, op.k, 1, "int8", "bfloat16", channels=True)
    if isinstance(op, ScaledLinear):
        return Product(1, op.m, op.m, op.n, op.k, 1, "", "bfloat16", *op.formats)
    if isinstance(op, BatchedLinear):
        return Product(op.batch, op.m, op.m, op.n, op.k, op.batch, op.dtype, op.out, order="[group, row]")
    if isinstance(op, BatchedLinearFp8):
        formats = (ROWS_FP8, BLOCKS_FP8)
        return Product(op.batch, op.m, op.m, op.n, op.k, op.batch, "", "bfloat16", *formats, order="[row, group]")
    if isinstance(op, Experts):
        left, right = (None, None) if op.dtype == "bfloat16" else op.formats
        rest = (op.n, op.k, op.groups, op.dtype, "bfloat16", left, right)
        if isinstance(op, GroupedLinear):
            return Product(op.blocks, op.block, op.rows, *rest, "flat", "EXPERT")
        if isinstance(op, GroupedLinearMasked):
            return Product(op.groups, op.rows, op.rows, *rest, "[group, row]", "COUNT")
    return None
