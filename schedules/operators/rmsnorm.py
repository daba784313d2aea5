"""Root mean square normalisation of each token, with or without the residual added first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.block_scaled import padded
from schedules.dtypes import NUMPY, SHORT, TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance, fill

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class RmsNorm(Operator):
    """``h = x + res``, ``y = h / sqrt(mean(h^2) + eps) * g`` over the last axis, in float32, rounded once.

    Outputs ``Y`` and, with ``residual``, ``H`` (``h`` rounded to ``dtype``; ``y`` is of ``h`` before rounding, as in
    DeepSeek-V3.2 ``inference/model.py``). Stages: ``F`` is ``h`` in float32, ``Q`` the sum of squares.

    Attributes:
        tokens, dim: rows and their length.
        dtype: of every argument, ``bfloat16`` or ``float32``.
        residual: whether there is a second input to add, and ``H``.
        weight: whether there is a gain ``g[dim]``.
        eps: added to the mean square.
    """

    name: ClassVar[str] = "rmsnorm"
    summary: ClassVar[str] = "RMS normalisation, optionally of x + residual"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    tokens: int
    dim: int
    dtype: str = "bfloat16"
    residual: bool = False
    weight: bool = True
    eps: float = 1e-6

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te

        shape = (self.tokens, self.dim)
        x, res = (te.placeholder(shape, self.dtype, name) for name in ("X", "R"))
        g = te.placeholder((self.dim,), self.dtype, "G")
        f, normal = normalised(x, res if self.residual else None, g if self.weight else None, self.eps)
        outputs = [te.compute(shape, lambda i, j: normal(i, j).astype(self.dtype), name="Y")]
        if self.residual:
            outputs.append(te.compute(shape, lambda i, j: f[i, j].astype(self.dtype), name="H"))
        return te.create_prim_func([x, *[res] * self.residual, *[g] * self.weight, *outputs])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        dtype = NUMPY[self.dtype]
        arrays = [fill(rng, (self.tokens, self.dim), dtype) for _ in range(1 + self.residual)]
        return [*arrays, *[rng.uniform(0.5, 1.5, self.dim).astype(dtype)] * self.weight]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        arrays = reference_norm(inputs, self.residual, self.weight, self.eps)
        return [array.astype(NUMPY[self.dtype]) for array in arrays[: 1 + self.residual]]

    @property
    def flops(self) -> int:
        return self.tokens * self.dim * (3 + self.residual + self.weight)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],) * (1 + self.residual)

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.dim} {SHORT[self.dtype]}{' +res' * self.residual}{' no gain' * (not self.weight)}"

    @classmethod
    def examples(cls) -> Iterable[RmsNorm]:
        yield cls(16, 512)
        yield cls(5, 130, residual=True)
        yield cls(3, 101, "float32", residual=True)
        yield cls(7, 64, "float32", weight=False)

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[RmsNorm]:
        shape, dtype = arguments[0]
        if len(shape) != 2 or dtype not in cls.choices["dtype"]:
            return
        for residual in (False, True):
            for weight in (False, True):
                if len(arguments) == 2 + 2 * residual + weight:
                    yield from (cls(*shape, dtype, residual, weight, eps) for eps in (1e-6, 1e-5))


def normalised(
    x: Any, res: Any, g: Any, eps: float, square: str = "Q", group: int = 1
) -> tuple[Any, Callable[..., Any]]:
    """TE stage ``F``, ``x + res`` in float32, and by way of ``square`` what an element of it is normalised to.

    Args:
        x: rows.
        res: what is added to them, or None.
        g: gain of each column, or None.
        eps: added to the mean square.
        square: name of the stage that sums squares.
        group: ``F`` is padded with zeros to whole groups of so many columns.
    """
    from tvm import te, tirx

    tokens, dim = (int(extent) for extent in x.shape)

    def added(i: Any, j: Any) -> Any:
        value = x[i, j].astype("float32")
        return value if res is None else value + res[i, j].astype("float32")

    f = padded((tokens, dim), group, added, "F")
    k = te.reduce_axis((0, dim), "k")
    q = te.compute((tokens,), lambda i: te.sum(f[i, k] * f[i, k], axis=k), name=square)
    mean, least = tirx.const(1.0 / dim, "float32"), tirx.const(eps, "float32")

    def gain(j: Any) -> Any:
        value = g[j].astype("float32")
        return value if dim % group == 0 else tirx.if_then_else(j < dim, value, tirx.const(0.0, "float32"))

    def normal(i: Any, j: Any) -> Any:
        value = f[i, j] * tirx.rsqrt(q[i] * mean + least)
        return value if g is None else value * gain(j)

    return f, normal


def reference_norm(inputs: Sequence[np.ndarray], residual: bool, weight: bool, eps: float) -> list[np.ndarray]:
    """``y`` and ``h`` in float32, of rows, the residual and the gain where there are any."""
    values = [array.astype(np.float32) for array in inputs]
    h = values[0] + values[1] if residual else values[0]
    y = h / np.sqrt(np.mean(h * h, axis=-1, keepdims=True) + np.float32(eps))
    return [y * values[-1] if weight else y, h]
