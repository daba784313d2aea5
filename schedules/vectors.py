"""Expressions over the lanes of one vector: combining them, and putting them in another order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def pick(vector: Any, lanes: Sequence[int]) -> Any:
    """Some lanes of a vector in the order given; a scalar where that is one."""
    from tvm import tirx

    return tirx.Shuffle([vector], [tirx.const(lane) for lane in lanes])


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
