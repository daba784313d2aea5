"""Linear layer of a mixture of experts: rows sorted by expert, in blocks that share one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, MX_GROUP, padded, product
from schedules.dtypes import NUMPY
from schedules.experts import Experts
from schedules.operator import Arrays

if TYPE_CHECKING:
    from tvm import te, tirx


@dataclass(frozen=True)
class GroupedLinear(Experts):
    """``C[i, j] = sum_k A[i, k] W[EXPERT[i / block], j, k]``, summed in float32, rounded once to bfloat16.

    The contiguous layout of DeepGEMM's ``m_grouped_gemm_nt``: rows come sorted by expert and padded to blocks.
    Weights by ``dtype``: ``bfloat16``; ``float8_e4m3fn`` with 128x128 float32 scales; ``float4_e2m1fn`` as ``uint8``
    pairs, the even column in the low four bits, with a ue8m0 ``uint8`` scale for 32 columns (DeepSeek-V4). With fp8
    and fp4 weights the activations are e4m3 with 1x128 float32 scales, as in V4's reference ``inference/model.py``, or
    with 1x32 ue8m0 scales, as in DeepGEMM's Mega MoE.

    Stages: ``Af`` and ``Wf`` decode (ue8m0 scales included, since they are exact; ``Wf`` is of one expert for each
    block of rows), ``S`` sums, ``C`` rounds.

    Attributes:
        rows: tokens times experts per token, in all.
        groups: experts.
        n, k: output and input features of each expert.
        block: rows that share an expert; the last block may be partial.
        dtype: of the weights.
        group: columns that share an activation scale, 128 (float32) or 32 (ue8m0); of no meaning for bfloat16.
    """

    name: ClassVar[str] = "grouped_linear"
    summary: ClassVar[str] = "mixture-of-experts linear layer, rows sorted by expert"
    rows: int
    groups: int
    n: int
    k: int
    block: int
    dtype: str = "bfloat16"
    group: int = BLOCK

    @property
    def blocks(self) -> int:
        """Blocks of rows."""
        return -(-self.rows // self.block)

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        expert = te.placeholder((self.blocks,), "int32", "EXPERT")
        arguments, total = self._plain(expert) if self.dtype == "bfloat16" else self._scaled(expert)
        c = te.compute(total.shape, lambda i, j: total[i, j].astype("bfloat16"), name="C")
        return te.create_prim_func([*arguments, c])

    def _plain(self, expert: te.Tensor) -> tuple[list[te.Tensor], te.Tensor]:
        from tvm import te

        a = te.placeholder((self.rows, self.k), "bfloat16", "A")
        w = te.placeholder((self.groups, self.n, self.k), "bfloat16", "W")
        k = te.reduce_axis((0, self.k), "k")

        def total(i, j):  # type: ignore[no-untyped-def]
            return te.sum(a[i, k].astype("float32") * w[expert[i // self.block], j, k].astype("float32"), axis=k)

        return [a, expert, w], te.compute((self.rows, self.n), total, name="S")

    def _scaled(self, expert: te.Tensor) -> tuple[list[te.Tensor], te.Tensor]:
        from tvm import te

        left, right = self.formats
        a, sa = left.placeholders("A", self.rows, self.k)
        w, sw = right.placeholders("W", self.groups, self.n, self.k)
        af = padded((self.rows, self.k), BLOCK, lambda *at: left.value(a, sa, *at), "Af")
        shape = (self.blocks, self.n, self.k)
        wf = padded(shape, BLOCK, lambda block, j, k: right.value(w, sw, expert[block], j, k), "Wf")
        b, r = te.reduce_axis((0, -(-self.k // BLOCK)), "b"), te.reduce_axis((0, BLOCK), "r")

        def total(i, j):  # type: ignore[no-untyped-def]
            block = i // self.block
            factors = [*left.factor(sa, i, b), *right.factor(sw, expert[block], j, b)]
            return product((af, i), (wf, block, j), factors, (b, r))

        return [a, sa, expert, w, sw], te.compute((self.rows, self.n), total, name="S")

    def inputs(self, rng: np.random.Generator) -> Arrays:
        # Distinct experts as far as there are, then each as often as the next; sorted, as routing leaves them.
        order = rng.permutation(self.groups)
        expert = np.sort(np.resize(order, self.blocks)).astype(np.int32)
        activations, weights = self.random(rng, self.rows)
        return [*activations, expert, *weights]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        at = 1 if self.dtype == "bfloat16" else 2
        activations, expert, weights = inputs[:at], inputs[at], inputs[at + 1 :]
        c = np.empty((self.rows, self.n), NUMPY["bfloat16"])
        of_row = np.repeat(expert, self.block)[: self.rows]
        for number in np.unique(expert):
            chosen = np.flatnonzero(of_row == number)
            c[chosen] = self.product([x[chosen] for x in activations], [x[number] for x in weights])
        return [c]

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.n * self.k

    @property
    def traffic(self) -> int:
        return self.moved(min(self.blocks, self.groups), self.rows) + 4 * self.blocks

    @property
    def label(self) -> str:
        return f"{self.rows}x{self.n}x{self.k} {self.short}, {self.groups} experts, blocks of {self.block}"

    @classmethod
    def examples(cls) -> Iterable[GroupedLinear]:
        yield cls(16, 4, 96, 128, 4)
        yield cls(7, 3, 37, 101, 2)
        yield cls(16, 4, 130, 256, 4, "float8_e4m3fn")
        yield cls(5, 8, 37, 101, 1, "float8_e4m3fn")
        yield cls(16, 4, 96, 256, 4, "float4_e2m1fn")
        yield cls(5, 2, 33, 96, 2, "float4_e2m1fn")
        yield cls(7, 3, 33, 160, 2, "float4_e2m1fn", MX_GROUP)

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
        if dtype == "float4_e2m1fn" and k % MX_GROUP:
            return
        group = MX_GROUP if not plain and arguments[1][1] == "uint8" else BLOCK
        # Block sizes that give this many blocks.
        for block in range(-(-rows // expert[0]), rows + 1):
            if -(-rows // block) != expert[0]:
                break
            yield cls(rows, w[0], w[1], k, block, dtype, group)
