"""Linear layer of a mixture of experts: rows sorted by expert, in blocks that share one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, decoded_e4m3, padded, random_activation, scaled
from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import te, tirx

# Weights that share a ue8m0 scale (OCP Microscaling specification 1.0, MXFP4).
FP4_GROUP = 32
# Rows of weights that the reference decodes at once, whole blocks of scales.
SLICE = 512


@dataclass(frozen=True)
class GroupedLinear(Operator):
    """``C[i, j] = sum_k A[i, k] W[EXPERT[i / block], j, k]``, summed in float32, rounded once to bfloat16.

    The contiguous layout of DeepGEMM's ``m_grouped_gemm_nt``: rows come sorted by expert and padded to blocks.
    Weights by ``dtype``: ``bfloat16``; ``float8_e4m3fn`` with 128x128 float32 scales; ``float4_e2m1fn`` as ``uint8``
    pairs, the even column in the low four bits, with a ue8m0 ``uint8`` scale for 32 columns (DeepSeek-V4). With fp8
    and fp4 weights the activations are e4m3 with 1x128 scales, as in V4's reference ``inference/model.py``.

    Stages: ``Af`` and ``Wf`` decode (fp4 scales included, since they are exact powers of two; ``Wf`` is of one
    expert for each block of rows), ``S`` sums, ``C`` rounds.

    Attributes:
        rows: tokens times experts per token, in all.
        groups: experts.
        n, k: output and input features of each expert.
        block: rows that share an expert; the last block may be partial.
        dtype: of the weights.
    """

    name: ClassVar[str] = "grouped_linear"
    summary: ClassVar[str] = "mixture-of-experts linear layer, rows sorted by expert"
    weights: ClassVar[tuple[str, ...]] = ("W", "SW")
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float8_e4m3fn", "float4_e2m1fn")}
    rows: int
    groups: int
    n: int
    k: int
    block: int
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype == "float4_e2m1fn" and self.k % FP4_GROUP:
            raise InputError(f"operator {self.name!r}: k is {self.k}, must be a multiple of {FP4_GROUP} for fp4")

    @property
    def blocks(self) -> int:
        """Blocks of rows."""
        return -(-self.rows // self.block)

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        expert = te.placeholder((self.blocks,), "int32", "EXPERT")
        if self.dtype == "bfloat16":
            arguments, total = self._plain(expert)
        else:
            arguments, total = self._scaled(expert)
        c = te.compute(total.shape, lambda i, j: total[i, j].astype("bfloat16"), name="C")
        return te.create_prim_func([*arguments, c])

    def _plain(self, expert: te.Tensor) -> tuple[list[te.Tensor], te.Tensor]:
        from tvm import te

        a = te.placeholder((self.rows, self.k), "bfloat16", "A")
        w = te.placeholder((self.groups, self.n, self.k), "bfloat16", "W")
        k = te.reduce_axis((0, self.k), "k")

        def product(i, j):  # type: ignore[no-untyped-def]
            return te.sum(a[i, k].astype("float32") * w[expert[i // self.block], j, k].astype("float32"), axis=k)

        return [a, expert, w], te.compute((self.rows, self.n), product, name="S")

    def _scaled(self, expert: te.Tensor) -> tuple[list[te.Tensor], te.Tensor]:
        from tvm import te

        from schedules.low_bit import decode_e2m1, decode_e4m3, decode_ue8m0

        columns = -(-self.k // BLOCK)
        a = te.placeholder((self.rows, self.k), "float8_e4m3fn", "A")
        sa = te.placeholder((self.rows, columns), "float32", "SA")
        four = self.dtype == "float4_e2m1fn"
        if four:
            w = te.placeholder((self.groups, self.n, self.k // 2), "uint8", "W")
            sw = te.placeholder((self.groups, self.n, self.k // FP4_GROUP), "uint8", "SW")
        else:
            w = te.placeholder((self.groups, self.n, self.k), "float8_e4m3fn", "W")
            sw = te.placeholder((self.groups, -(-self.n // BLOCK), columns), "float32", "SW")

        def weight(b, j, k):  # type: ignore[no-untyped-def]
            if four:
                return decode_e2m1(w[expert[b], j, k // 2], k) * decode_ue8m0(sw[expert[b], j, k // FP4_GROUP])
            return decode_e4m3(w[expert[b], j, k])

        af = decoded_e4m3(a, "Af")
        wf = padded((self.blocks, self.n, self.k), BLOCK, weight, "Wf")
        b = te.reduce_axis((0, columns), "b")
        r = te.reduce_axis((0, BLOCK), "r")

        def total(i, j):  # type: ignore[no-untyped-def]
            at, scale = b * BLOCK + r, sa[i, b]
            if not four:
                scale = scale * sw[expert[i // self.block], j // BLOCK, b]
            return te.sum(af[i, at] * wf[i // self.block, j, at] * scale, axis=[b, r])

        return [a, sa, expert, w, sw], te.compute((self.rows, self.n), total, name="S")

    def inputs(self, rng: np.random.Generator) -> Arrays:
        # Distinct experts as far as there are, then each as often as the next; sorted, as routing leaves them.
        order = rng.permutation(self.groups)
        expert = np.sort(np.resize(order, self.blocks)).astype(np.int32)
        shape = (self.groups, self.n, self.k)
        if self.dtype == "bfloat16":
            dtype = NUMPY["bfloat16"]
            return [fill(rng, (self.rows, self.k), dtype), expert, fill(rng, shape, dtype, self.k**-0.5)]
        a, sa = random_activation(rng, self.rows, self.k)
        if self.dtype == "float8_e4m3fn":
            w = fill(rng, shape, NUMPY["float8_e4m3fn"], 64.0)
            sw = rng.uniform(0.5, 1.5, (self.groups, -(-self.n // BLOCK), -(-self.k // BLOCK))).astype(np.float32)
            return [a, sa, expert, w, sw * np.float32(self.k**-0.5 / 64)]
        # Any code is as likely as any other, so that the weights have a root mean square of about 3 before scaling.
        middle = 127 - round(np.log2(3 * self.k**0.5))
        w = codes(rng, (*shape[:2], self.k // 2), 0, 256)
        return [a, sa, expert, w, codes(rng, (*shape[:2], self.k // FP4_GROUP), middle - 2, middle + 2)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        if self.dtype == "bfloat16":
            a, expert = inputs[0].astype(np.float32), inputs[1]
        else:
            a, expert = scaled(inputs[0], inputs[1], (1, BLOCK)), inputs[2]
        c = np.empty((self.rows, self.n), NUMPY["bfloat16"])
        of_row = np.repeat(expert, self.block)[: self.rows]
        # A slice of an expert at a time: decoded together they may not fit into memory, and slices stay in the cache.
        for number in np.unique(expert):
            chosen = np.flatnonzero(of_row == number)
            for start in range(0, self.n, SLICE):
                w = self._weights([array[number] for array in inputs if array.ndim == 3], slice(start, start + SLICE))
                c[chosen, start : start + SLICE] = (a[chosen] @ w.T).astype(c.dtype)
        return [c]

    def _weights(self, expert: Sequence[np.ndarray], rows: slice) -> np.ndarray:
        """Some rows of the weights of one expert in float32, from its weights and scales as stored."""
        if self.dtype == "bfloat16":
            return expert[0][rows].astype(np.float32)
        if self.dtype == "float8_e4m3fn":
            return scaled(expert[0][rows], expert[1][rows.start // BLOCK : -(-rows.stop // BLOCK)], (BLOCK, BLOCK))
        byte = np.arange(256, dtype=np.uint8)
        pairs = np.stack([byte & 15, byte >> 4], axis=-1).view(NUMPY["float4_e2m1fn"]).astype(np.float32)
        values = (
            pairs.view(np.float64)[:, 0]
            .take(expert[0][rows])
            .view(np.float32)
            .reshape(-1, self.k // FP4_GROUP, FP4_GROUP)
        )
        values *= np.exp2(expert[1][rows].astype(np.float32) - 127)[..., None]
        return values.reshape(-1, self.k)

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.n * self.k

    @property
    def traffic(self) -> int:
        columns = -(-self.k // BLOCK)
        each, scales, activation = {
            "bfloat16": (2 * self.n * self.k, 0, 2 * self.k),
            "float8_e4m3fn": (self.n * self.k, 4 * -(-self.n // BLOCK) * columns, self.k + 4 * columns),
            "float4_e2m1fn": (self.n * self.k // 2, self.n * self.k // FP4_GROUP, self.k + 4 * columns),
        }[self.dtype]
        experts = min(self.blocks, self.groups)
        return experts * (each + scales) + self.rows * (activation + 2 * self.n) + 4 * self.blocks

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["bfloat16"],)

    @property
    def arithmetic(self) -> str:
        return "bfloat16" if self.dtype == "bfloat16" else "float8_e4m3fn"

    @property
    def label(self) -> str:
        return f"{self.rows}x{self.n}x{self.k} {SHORT[self.dtype]}, {self.groups} experts, blocks of {self.block}"

    @classmethod
    def examples(cls) -> Iterable[GroupedLinear]:
        yield cls(16, 4, 96, 128, 4)
        yield cls(7, 3, 37, 101, 2)
        yield cls(16, 4, 130, 256, 4, "float8_e4m3fn")
        yield cls(5, 8, 37, 101, 1, "float8_e4m3fn")
        yield cls(16, 4, 96, 256, 4, "float4_e2m1fn")
        yield cls(5, 2, 33, 96, 2, "float4_e2m1fn")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[GroupedLinear]:
        plain = len(arguments) == 4
        if not plain and len(arguments) != 6:
            return
        (a, _), (expert, kind), (w, stored) = arguments[0], arguments[1 if plain else 2], arguments[2 if plain else 3]
        dtype = "float4_e2m1fn" if stored == "uint8" else stored
        if kind != "int32" or (len(a), len(expert), len(w)) != (2, 1, 3) or dtype not in cls.choices["dtype"]:
            return
        rows, k = a
        if dtype == "float4_e2m1fn" and k % FP4_GROUP:
            return
        # Block sizes that give this many blocks.
        for block in range(-(-rows // expert[0]), rows + 1):
            if -(-rows // block) != expert[0]:
                break
            yield cls(rows, w[0], w[1], k, block, dtype)


def codes(rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Random bytes in ``[low, high)``, drawn and repeated as ``fill`` does with floats."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.resize(rng.integers(low, high, min(size, 4_000_037), np.uint8), shape)
