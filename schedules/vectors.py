"""Expressions over the lanes of one vector: combining them, and putting them in another order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any


def pick(vector: Any, lanes: Sequence[int], copies: int = 1) -> Any:
    """Some lanes of ``copies`` of a vector, at most as many as those have, in the order given.

    One lane is a scalar.
    """
    from tvm import tirx

    return tirx.Shuffle([vector] * copies, [tirx.const(lane) for lane in lanes])


def bound(value: Any, body: Callable[[Any], Any]) -> Any:
    """``body`` of a variable that holds ``value``: an expression is a tree, and would be computed at every use."""
    from tvm import tirx

    variable = tirx.Var("v", value.ty)
    return tirx.Let(variable, value, body(variable))


def combined(vector: Any, lanes: int, combine: Callable[[Any, Any], Any]) -> Any:
    """All lanes of a vector combined, halves first: the scalar; ``lanes`` is a power of two."""
    if lanes == 1:
        return vector
    half = lanes // 2

    def halves(v: Any) -> Any:
        return combine(pick(v, range(half)), pick(v, range(half, lanes)))

    return combined(bound(vector, halves), half, combine)


def largest(vector: Any, lanes: int) -> Any:
    """The largest lane."""
    from tvm import tirx

    return combined(vector, lanes, tirx.max)


def least(vector: Any, lanes: int) -> Any:
    """The least lane."""
    from tvm import tirx

    return combined(vector, lanes, tirx.min)


def total(vector: Any, lanes: int) -> Any:
    """The sum of the lanes."""
    return combined(vector, lanes, lambda a, b: a + b)


def with_lanes(dtype: str, lanes: int) -> str:
    """The name of TVM's vector type."""
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def butterflies(vector: Any, lanes: int) -> Any:
    """The Hadamard transform (not scaled) of the lanes of a vector, a power of two of them."""
    step = 1
    while step < lanes:
        vector = bound(vector, partial(_butterfly, lanes=lanes, step=step))
        step *= 2
    return vector


def _butterfly(v: Any, lanes: int, step: int) -> Any:
    """Sums in the lanes without the bit ``step``, differences in those with it."""
    from tvm import tirx

    signed = tirx.Shuffle([v, -v], [tirx.const(lane + lanes * bool(lane & step)) for lane in range(lanes)])
    return pick(v, [lane ^ step for lane in range(lanes)]) + signed
