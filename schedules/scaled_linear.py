"""What linear layers of block-scaled codes share, whatever the formats of activations and weights are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.block_scaled import BLOCK, BlockScaled, padded, product
from schedules.dtypes import NUMPY, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance

if TYPE_CHECKING:
    from tvm import tirx


class ScaledLinear(Operator):
    """``C[m, n] = sum_k A[m, k] W[n, k]`` of codes and scales ``A``, ``SA``, ``W``, ``SW``, rounded once to bfloat16.

    Summed in float32. Scales that are not powers of two stand inside one sum rather than between two, so that a
    schedule is free to add lanes, blocks or both first. Stages: ``Af``, ``Wf`` decode (padded with zeros to whole
    blocks of 128), ``S`` sums, ``C`` rounds.
    """

    weights: ClassVar[tuple[str, ...]] = ("W", "SW")
    m: int
    n: int
    k: int

    @property
    @abstractmethod
    def formats(self) -> tuple[BlockScaled, BlockScaled]:
        """How activations and weights are stored."""

    @property
    def k_blocks(self) -> int:
        """Blocks of 128 input features, the last one perhaps partial."""
        return -(-self.k // BLOCK)

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        left, right = self.formats
        a, sa = left.placeholders("A", self.m, self.k)
        w, sw = right.placeholders("W", self.n, self.k)
        af = padded((self.m, self.k), BLOCK, lambda *at: left.value(a, sa, *at), "Af")
        wf = padded((self.n, self.k), BLOCK, lambda *at: right.value(w, sw, *at), "Wf")
        b, r = te.reduce_axis((0, self.k_blocks), "b"), te.reduce_axis((0, BLOCK), "r")

        def total(i, j):  # type: ignore[no-untyped-def]
            return product((af, i), (wf, j), [*left.factor(sa, i, b), *right.factor(sw, j, b)], (b, r))

        s = te.compute((self.m, self.n), total, name="S")
        c = te.compute((self.m, self.n), lambda i, j: s[i, j].astype("bfloat16"), name="C")
        return te.create_prim_func([a, sa, w, sw, c])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        left, right = self.formats
        return [*left.random(rng, self.m, self.k), *right.random(rng, self.n, self.k, size=self.k**-0.5)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        left, right = self.formats
        return [right.times(left.values(*inputs[:2]), *inputs[2:]).astype(NUMPY["bfloat16"])]

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE["bfloat16"],)

    @property
    def arithmetic(self) -> str:
        return "float8_e4m3fn"


def dense_sizes(arguments: Sequence[tuple[tuple[int, ...], str]]) -> tuple[int, int, int] | None:
    """``m, n, k`` of arguments that may be those of a dense layer with e4m3 activations; None where they are not."""
    if len(arguments) != 5 or any(len(shape) != 2 for shape, _ in arguments) or arguments[0][1] != "float8_e4m3fn":
        return None
    m, k = arguments[0][0]
    return m, arguments[2][0][0], k
