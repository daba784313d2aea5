"""Operators in torch, by name: what the torch peers compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schedules.operator import Operator
from tuner.bench.torch_ops import attention, linear, routing, rows
from tuner.bench.torch_ops.made import Ways

# Functions are called as the operators are.
MODULES = (linear, rows, routing, attention)


def ways(operator: Operator) -> Ways:
    """Ways to compute an operator in torch; empty where there is none."""
    for module in MODULES:
        found: Callable[[Any], Ways] | None = getattr(module, operator.name, None)
        if found is not None and found.__module__ == module.__name__:
            return found(operator)
    return {}
