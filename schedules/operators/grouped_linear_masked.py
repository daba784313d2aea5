"""Linear layer of a mixture of experts: a fixed number of rows for each expert, of which some are in use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, MX_GROUP, padded, product
from schedules.dtypes import NUMPY
from schedules.experts import Experts
from schedules.operator import Arrays
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import te, tirx


@dataclass(frozen=True)
class GroupedLinearMasked(Experts):
    """``C[g, i, j] = sum_k A[g, i, k] W[g, j, k]`` where ``i < COUNT[g]``, and 0 elsewhere; ``COUNT`` is int32.

    The masked layout of DeepGEMM's ``m_grouped_gemm_nt_masked``, whose shapes stay the same from step to step while
    decoding; it leaves the other rows undefined, which could not be checked. Summed in float32, rounded once to
    bfloat16. Weights and activations as of ``grouped_linear``. Stages: ``Af`` and ``Wf`` decode (ue8m0 scales
    included), ``S`` sums, of zeros for a row that is not in use, ``C`` rounds.

    Attributes:
        groups: experts.
        rows: of each expert, in use or not.
        n, k: output and input features of each expert.
        expected: rows of an expert that are in use on average.
        dtype: of the weights.
        group: columns that share an activation scale, 128 (float32) or 32 (ue8m0); of no meaning for bfloat16.
    """

    name: ClassVar[str] = "grouped_linear_masked"
    summary: ClassVar[str] = "mixture-of-experts linear layer, a count of rows for each expert"
    groups: int
    rows: int
    n: int
    k: int
    expected: int
    dtype: str = "bfloat16"
    group: int = BLOCK

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.expected > self.rows:
            raise InputError(f"operator {self.name!r}: expected is {self.expected}, of {self.rows} rows")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        count = te.placeholder((self.groups,), "int32", "COUNT")
        arguments, total = self._plain(count) if self.dtype == "bfloat16" else self._scaled(count)
        c = te.compute(total.shape, lambda g, i, j: total[g, i, j].astype("bfloat16"), name="C")
        return te.create_prim_func([*arguments, c])

    def _plain(self, count: te.Tensor) -> tuple[list[te.Tensor], te.Tensor]:
        from tvm import te, tirx

        a = te.placeholder((self.groups, self.rows, self.k), "bfloat16", "A")
        w = te.placeholder((self.groups, self.n, self.k), "bfloat16", "W")
        k, zero = te.reduce_axis((0, self.k), "k"), tirx.const(0.0, "float32")

        def total(g, i, j):  # type: ignore[no-untyped-def]
            term = a[g, i, k].astype("float32") * w[g, j, k].astype("float32")
            return te.sum(tirx.if_then_else(i < count[g], term, zero), axis=k)

        return [a, count, w], te.compute((self.groups, self.rows, self.n), total, name="S")

    def _scaled(self, count: te.Tensor) -> tuple[list[te.Tensor], te.Tensor]:
        from tvm import te

        left, right = self.formats
        a, sa = left.placeholders("A", self.groups, self.rows, self.k)
        w, sw = right.placeholders("W", self.groups, self.n, self.k)
        af = padded((self.groups, self.rows, self.k), BLOCK, lambda *at: left.value(a, sa, *at), "Af")
        wf = padded((self.groups, self.n, self.k), BLOCK, lambda *at: right.value(w, sw, *at), "Wf")
        b, r = te.reduce_axis((0, -(-self.k // BLOCK)), "b"), te.reduce_axis((0, BLOCK), "r")

        def total(g, i, j):  # type: ignore[no-untyped-def]
            factors = [*left.factor(sa, g, i, b), *right.factor(sw, g, j, b)]
            return product((af, g, i), (wf, g, j), factors, (b, r), i < count[g])

        return [a, sa, count, w, sw], te.compute((self.groups, self.rows, self.n), total, name="S")

    def _spread(self) -> np.ndarray:
        """Counts from 0.7 to 1.3 of those expected, as DeepGEMM's tests draw them, as far as there are rows."""
        most = min(round(0.3 * self.expected), self.rows - self.expected)
        return self.expected + np.rint(np.linspace(-most, most, self.groups)).astype(np.int32)

    def inputs(self, rng: np.random.Generator) -> Arrays:
        activations, weights = self.random(rng, self.groups, self.rows)
        return [*activations, rng.permutation(self._spread()), *weights]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        at = 1 if self.dtype == "bfloat16" else 2
        activations, counts, weights = inputs[:at], inputs[at], inputs[at + 1 :]
        c = np.zeros((self.groups, self.rows, self.n), NUMPY["bfloat16"])
        for g, count in enumerate(counts):
            if count:
                c[g, :count] = self.product([x[g, :count] for x in activations], [x[g] for x in weights])
        return [c]

    @property
    def flops(self) -> int:
        return 2 * int(self._spread().sum()) * self.n * self.k

    @property
    def traffic(self) -> int:
        counts = self._spread()
        unused = self.groups * self.rows - int(counts.sum())
        return self.moved(int((counts > 0).sum()), int(counts.sum())) + 2 * unused * self.n + 4 * self.groups

    @property
    def label(self) -> str:
        return f"{self.groups} x {self.expected} of {self.rows}x{self.n}x{self.k} {self.short}"

    @classmethod
    def examples(cls) -> Iterable[GroupedLinearMasked]:
        yield cls(4, 12, 96, 128, 5)
        yield cls(3, 7, 37, 101, 7)
        yield cls(3, 8, 130, 256, 4, "float8_e4m3fn")
        yield cls(2, 5, 37, 101, 3, "float8_e4m3fn")
        yield cls(3, 7, 33, 160, 4, "float4_e2m1fn")
        yield cls(2, 6, 40, 96, 4, "float4_e2m1fn", MX_GROUP)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[GroupedLinearMasked]:
        plain = len(arguments) == 4
        if not plain and len(arguments) != 6:
            return
        (a, _), (count, kind), (w, stored) = arguments[0], arguments[1 if plain else 2], arguments[2 if plain else 3]
        dtype = "float4_e2m1fn" if stored == "uint8" else stored
        if kind != "int32" or (len(a), len(count), len(w)) != (3, 1, 3) or dtype not in cls.choices["dtype"]:
            return
        groups, rows, k = a
        if dtype == "float4_e2m1fn" and k % MX_GROUP:
            return
        # No shape shows how many rows are in use: half of them.
        group = MX_GROUP if not plain and arguments[1][1] == "uint8" else BLOCK
        yield cls(groups, rows, w[1], k, -(-rows // 2), dtype, group)
