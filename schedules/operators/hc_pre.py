"""Manifold-constrained hyper-connections, before a block: residual streams become one input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class HcPre(Operator):
    """``y = sum_i pre_i X_i`` with the coefficients that a token's streams ask for.

    ``mix = MIX / sqrt(mean(X^2) + eps)``, where ``MIX`` is the product of the flattened streams with ``hc_fn`` (a
    ``linear``); then ``pre = sigmoid(mix SCALE[0] + BASE) + eps``, ``post = 2 sigmoid(mix SCALE[1] + BASE)`` and
    ``comb = mix SCALE[2] + BASE``, the columns of ``MIX`` and ``BASE`` being pre, post and comb row by row. ``COMB`` is
    what ``sinkhorn`` takes. Semantics of ``hc_pre`` and ``hc_split_sinkhorn`` in DeepSeek-V4's ``inference``.

    Inputs ``X[tokens, hc, dim]``, ``MIX[tokens, hc (hc + 2)]``, ``SCALE[3]``, ``BASE[hc (hc + 2)]``; outputs
    ``Y[tokens, dim]``, ``POST[tokens, hc]``, ``COMB[tokens, hc, hc]``; all float32 but ``X`` and ``Y``. Stages: ``Q``
    sum of squares, ``N`` its factor, ``PRE``, ``S`` the sum over streams.

    Attributes:
        tokens, dim: rows and the width of the model.
        hc: residual streams.
        dtype: of ``X`` and ``Y``, ``bfloat16`` or ``float32``.
        eps: of the mean square and of ``pre``.
    """

    name: ClassVar[str] = "hc_pre"
    summary: ClassVar[str] = "hyper-connections: residual streams to the input of a block"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    dim: int
    hc: int = 4
    dtype: str = "bfloat16"
    eps: float = 1e-6

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        hc, columns = self.hc, self.hc * (self.hc + 2)
        x = te.placeholder((self.tokens, hc, self.dim), self.dtype, "X")
        mix = te.placeholder((self.tokens, columns), "float32", "MIX")
        scale = te.placeholder((3,), "float32", "SCALE")
        base = te.placeholder((columns,), "float32", "BASE")
        factor = inverse_rms(x, self.eps)
        y = collapsed(x, lambda t, i: mix[t, i] * factor[t] * scale[0] + base[i], self.eps)
        two = tirx.const(2.0, "float32")
        post = te.compute(
            (self.tokens, hc),
            lambda t, i: two * sigmoid(mix[t, hc + i] * factor[t] * scale[1] + base[hc + i]),
            name="POST",
        )

        def comb(t, i, j):  # type: ignore[no-untyped-def]
            at = (2 + i) * hc + j
            return mix[t, at] * factor[t] * scale[2] + base[at]

        return te.create_prim_func([x, mix, scale, base, y, post, te.compute((self.tokens, hc, hc), comb, name="COMB")])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        columns = self.hc * (self.hc + 2)
        x = fill(rng, (self.tokens, self.hc, self.dim), NUMPY[self.dtype])
        mix, scale, base = (rng.standard_normal(shape, np.float32) for shape in ((self.tokens, columns), 3, columns))
        return [x, mix, scale, base]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        x, mix, scale, base = (array.astype(np.float32) for array in inputs)
        hc = self.hc
        mix = mix / np.sqrt(np.mean(np.square(x), axis=(1, 2)) + np.float32(self.eps))[:, None]
        pre, post, comb = np.split(mix, [hc, 2 * hc], axis=1)
        pre = reference_sigmoid(pre * scale[0] + base[:hc]) + np.float32(self.eps)
        post = 2 * reference_sigmoid(post * scale[1] + base[hc : 2 * hc])
        comb = comb * scale[2] + base[2 * hc :]
        y = np.einsum("ti,tid->td", pre, x).astype(NUMPY[self.dtype])
        return [y, post, comb.reshape(self.tokens, hc, hc)]

    @property
    def flops(self) -> int:
        return 4 * self.tokens * self.hc * self.dim

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype], TOLERANCE["float32"], TOLERANCE["float32"])

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.hc}x{self.dim} {SHORT[self.dtype]}"

    @classmethod
    def examples(cls) -> Iterable[HcPre]:
        yield cls(16, 128)
        yield cls(5, 101, 3, "float32")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[HcPre]:
        shape, dtype = arguments[0]
        if len(arguments) == 7 and len(shape) == 3 and dtype in cls.choices["dtype"]:
            yield cls(shape[0], shape[2], shape[1], dtype)


def inverse_rms(x: Any, eps: float) -> Any:
    """TE stages ``Q`` and ``N``: ``1 / sqrt(mean(x^2) + eps)`` of each token, over all its streams."""
    from tvm import te, tirx

    tokens, hc, dim = (int(extent) for extent in x.shape)
    i, d = te.reduce_axis((0, hc), "i"), te.reduce_axis((0, dim), "d")
    square = te.compute(
        (tokens,), lambda t: te.sum(x[t, i, d].astype("float32") * x[t, i, d].astype("float32"), axis=[i, d]), name="Q"
    )
    inverse, least = tirx.const(1.0 / (hc * dim), "float32"), tirx.const(eps, "float32")
    return te.compute((tokens,), lambda t: tirx.rsqrt(square[t] * inverse + least), name="N")


def collapsed(x: Any, logit: Any, eps: float) -> Any:
    """TE stages ``PRE``, ``S`` and ``Y``: ``sum_i (sigmoid(logit(t, i)) + eps) x[t, i]``, rounded."""
    from tvm import te, tirx

    tokens, hc, dim = (int(extent) for extent in x.shape)
    pre = te.compute((tokens, hc), lambda t, i: sigmoid(logit(t, i)) + tirx.const(eps, "float32"), name="PRE")
    i = te.reduce_axis((0, hc), "i")
    total = te.compute((tokens, dim), lambda t, d: te.sum(pre[t, i] * x[t, i, d].astype("float32"), axis=i), name="S")
    return te.compute((tokens, dim), lambda t, d: total[t, d].astype(x.dtype), name="Y")


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))`` of a float32 expression."""
    from tvm import tirx

    one = tirx.const(1.0, "float32")
    return one / (one + tirx.exp(-x))


def reference_sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))`` in numpy."""
    return 1 / (1 + np.exp(-x))
