"""What forms of attention share: types, stages of the softmax over all keys in TE, and the reference of one head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.dtypes import TOLERANCE
from schedules.operator import Operator, Tolerance

if TYPE_CHECKING:
    from tvm import te


class Attention(Operator):
    """Attention of any form: one type for everything but the softmax, which is in float32; one output."""

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("bfloat16", "float32")}
    dtype: str

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (TOLERANCE[self.dtype],)

    @property
    def arithmetic(self) -> str:
        return self.dtype


def attended(
    dot: Callable[..., Any],
    scaled: Callable[..., Any],
    value: Callable[..., Any],
    shape: Sequence[int],
    keys: int,
    width: int,
    dtype: str,
) -> te.Tensor:
    """``O[b, i, h, v] = sum_n softmax_n(logit) value(b, n, h, v)`` in float32, rounded once.

    Stages: ``QK`` dot products, ``D`` logits, ``M`` maxima, ``E`` exponentials, ``S`` their sums, ``P`` weighted sums,
    ``O``.

    Args:
        dot: of ``b, i, h, n``: the dot product of query and key, a ``te.sum``.
        scaled: of the dot product and ``b, i, h, n``: the logit.
        value: of ``b, n, h, v``: an element of a value in float32.
        shape: sequences, queries, heads.
        keys: how many.
        width: of a value.
        dtype: of the output.
    """
    from tvm import te, tirx

    dots = te.compute((*shape, keys), dot, name="QK")
    logits = te.compute((*shape, keys), lambda b, i, h, n: scaled(dots[b, i, h, n], b, i, h, n), name="D")
    n = te.reduce_axis((0, keys), "n")
    most = te.compute(shape, lambda b, i, h: te.max(logits[b, i, h, n], axis=n), name="M")
    powers = te.compute((*shape, keys), lambda b, i, h, n: tirx.exp(logits[b, i, h, n] - most[b, i, h]), name="E")
    n = te.reduce_axis((0, keys), "n")
    total = te.compute(shape, lambda b, i, h: te.sum(powers[b, i, h, n], axis=n), name="S")
    n = te.reduce_axis((0, keys), "n")
    mixed = te.compute(
        (*shape, width), lambda b, i, h, v: te.sum(powers[b, i, h, n] * value(b, n, h, v), axis=n), name="P"
    )
    return te.compute((*shape, width), lambda b, i, h, v: (mixed[b, i, h, v] / total[b, i, h]).astype(dtype), name="O")


def least() -> Any:
    """The least finite float32 as a TE constant: the logit of a key that a query does not see."""
    from tvm import tirx

    return tirx.const(float(np.finfo(np.float32).min), "float32")


def reference_head(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: np.float32, visible: np.ndarray | None = None
) -> np.ndarray:
    """``softmax(scale q k^T) v`` of float32 matrices; where not ``visible[query, key]``, the logit is -inf."""
    logits = q @ k.T * scale
    if visible is not None:
        logits = np.where(visible, logits, -np.inf)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers @ v / powers.sum(axis=1, keepdims=True)
