"""Matrices of few-bit codes with a scale for each block, as models store weights and activations: in TE and numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from schedules.dtypes import NUMPY
from schedules.operator import fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import te

BLOCK = 128
# Columns that share a ue8m0 scale in the formats of the OCP Microscaling specification 1.0.
MX_GROUP = 32


@dataclass(frozen=True)
class BlockScaled:
    """How a matrix ``[..., rows, columns]`` is stored: codes, and a scale for each block of rows and columns.

    Codes are ``float8_e4m3fn``, or ``float4_e2m1fn`` as ``uint8`` pairs, the even column in the low four bits. Scales
    are float32 or, where ``power``, ``uint8`` exponents plus 127 (ue8m0). Those are applied where codes are decoded,
    which is exact; float32 scales stand in the sum of products, where a schedule may apply them to sums of a block.

    Attributes:
        dtype: of a code.
        rows, columns: of a block.
        power: whether scales are powers of two.
    """

    dtype: str
    rows: int
    columns: int
    power: bool

    @property
    def packed(self) -> bool:
        """Whether two codes share a byte."""
        return self.dtype == "float4_e2m1fn"

    def shapes(self, rows: int, columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Shapes of codes and scales of a matrix."""
        scales = -(-rows // self.rows), -(-columns // self.columns)
        return (rows, columns // 2 if self.packed else columns), scales

    def nbytes(self, rows: int, columns: int) -> int:
        """Bytes of a matrix."""
        codes, scales = self.shapes(rows, columns)
        return codes[0] * codes[1] + scales[0] * scales[1] * (1 if self.power else 4)

    def placeholders(self, name: str, *shape: int) -> tuple[te.Tensor, te.Tensor]:
        """TE inputs ``name`` and ``Sname`` of a matrix ``shape``, its last two axes rows and columns."""
        from tvm import te

        codes, scales = self.shapes(*shape[-2:])
        stored = te.placeholder((*shape[:-2], *codes), "uint8" if self.packed else self.dtype, name)
        return stored, te.placeholder((*shape[:-2], *scales), "uint8" if self.power else "float32", f"S{name}")

    def value(self, codes: Any, scales: Any, *at: Any) -> Any:
        """The float32 value of an element, without the scale where that stands in the sum."""
        from schedules.low_bit import decode_e2m1, decode_e4m3, decode_ue8m0

        *lead, row, column = at
        byte = (*lead, row, column // 2)
        value = decode_e2m1(codes[byte], column) if self.packed else decode_e4m3(codes[at])
        return value * decode_ue8m0(scales[self._block(*lead, row, column // self.columns)]) if self.power else value

    def factor(self, scales: Any, *at: Any) -> list[Any]:
        """The scale of a row and a block of columns that stands in the sum, if one does."""
        return [] if self.power else [scales[self._block(*at)]]

    def _block(self, *at: Any) -> tuple[Any, ...]:
        """Indices of a scale, of those of a row and a block of columns."""
        *lead, row, block = at
        return (*lead, row if self.rows == 1 else row // self.rows, block)

    def random(self, rng: np.random.Generator, *shape: int, size: float = 1.0) -> list[np.ndarray]:
        """Codes and scales of normal values (fp4: every code as likely) of a root mean square of about ``size``."""
        codes, scales = self.shapes(*shape[-2:])
        codes_shape, scales_shape = (*shape[:-2], *codes), (*shape[:-2], *scales)
        if self.packed:
            stored, spread = random_bytes(rng, codes_shape, 0, 256), 3.0
        else:
            stored, spread = fill(rng, codes_shape, NUMPY[self.dtype], 64.0), 64.0
        if self.power:
            middle = 127 + round(float(np.log2(size / spread)))
            return [stored, random_bytes(rng, scales_shape, middle - 1, middle + 2)]
        return [stored, rng.uniform(0.5, 1.5, scales_shape).astype(np.float32) * np.float32(size / spread)]

    def values(self, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """The float32 matrix that codes and scales, both of two axes, stand for."""
        values = decoded_pairs(codes) if self.packed else decoded(codes)
        factors = np.exp2(scales.astype(np.float32) - 127) if self.power else scales
        across = np.repeat(factors, self.rows, axis=0)[: values.shape[0]]
        if values.shape[1] % self.columns:
            values *= np.repeat(across, self.columns, axis=1)[:, : values.shape[1]]
        else:
            values.reshape(*across.shape, self.columns)[...] *= across[..., None]
        return values

    def times(self, left: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """``left[m, k] @ matrix[n, k]^T`` in float32."""
        # Some rows at a time, about a million numbers, which stay in the cache while decoded.
        rows = BLOCK * max(1, 2**20 // (BLOCK * left.shape[1]))
        parts = []
        for at in range(0, len(codes), rows):
            some = scales[at // self.rows : -(-(at + rows) // self.rows)]
            parts.append(left @ self.values(codes[at : at + rows], some).T)
        return np.concatenate(parts, axis=1)


# As DeepSeek models and DeepGEMM have them: activations and weights of V3; both kinds of the Microscaling formats.
ROWS_FP8 = BlockScaled("float8_e4m3fn", 1, BLOCK, False)
BLOCKS_FP8 = BlockScaled("float8_e4m3fn", BLOCK, BLOCK, False)
MXFP8 = BlockScaled("float8_e4m3fn", 1, MX_GROUP, True)
MXFP4 = BlockScaled("float4_e2m1fn", 1, MX_GROUP, True)


def rows_of_fp8(operator: str, group: int) -> BlockScaled:
    """How activations with a scale for each ``group`` of columns are stored: 128 (float32) or 32 (ue8m0).

    Raises:
        InputError: another ``group``, which ``operator`` does not take.
    """
    known = {BLOCK: ROWS_FP8, MX_GROUP: MXFP8}
    if group not in known:
        raise InputError(f"operator {operator!r}: group is {group}, must be {BLOCK} or {MX_GROUP}")
    return known[group]


def padded(shape: Sequence[int], block: int, value: Callable[..., Any], name: str) -> Any:
    """A float32 TE stage of ``value(*indices)``, the last axis of ``shape`` padded with zeros to whole blocks."""
    from tvm import te, tirx

    *outer, size = shape
    whole = -(-size // block) * block

    def element(*at: Any) -> Any:
        return tirx.if_then_else(at[-1] < size, value(*at), tirx.const(0.0, "float32"))

    return te.compute((*outer, whole), value if whole == size else element, name=name)


def product(
    left: Sequence[Any], right: Sequence[Any], factors: Sequence[Any], axes: Sequence[Any], where: Any = None
) -> Any:
    """``sum left right factors`` over a block axis and the one inside of it.

    Args:
        left, right: stage and its indices but the last.
        factors: scales of the block.
        axes: block, element of the block.
        where: a condition; elsewhere the sum is 0.
    """
    from tvm import te, tirx

    (a, *i), (w, *j), (b, r) = left, right, axes
    of_a, of_w = (*i, b * BLOCK + r), (*j, b * BLOCK + r)
    term = a[of_a] * w[of_w]
    if factors:
        term = term * math.prod(factors[1:], start=factors[0])
    if where is not None:
        term = tirx.if_then_else(where, term, tirx.const(0.0, "float32"))
    return te.sum(term, axis=[b, r])


def decoded(codes: np.ndarray) -> np.ndarray:
    """The float32 values of e4m3 codes; by table, ten times faster than a cast."""
    table = np.arange(256, dtype=np.uint8).view(NUMPY["float8_e4m3fn"]).astype(np.float32)
    return table.take(codes.view(np.uint8))


def decoded_pairs(codes: np.ndarray) -> np.ndarray:
    """The float32 values of rows of pairs of e2m1 codes, the last axis twice as long; by table."""
    byte = np.arange(256, dtype=np.uint8)
    pairs = np.stack([byte & 15, byte >> 4], axis=-1).view(NUMPY["float4_e2m1fn"]).astype(np.float32)
    return pairs.view(np.float64)[:, 0].take(codes).view(np.float32)


def random_bytes(rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Random bytes in ``[low, high)``, drawn and repeated as ``fill`` does with floats."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.resize(rng.integers(low, high, min(size, 4_000_037), np.uint8), shape)
