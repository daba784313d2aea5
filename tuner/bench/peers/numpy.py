"""numpy, as somebody writes it who cares: weights widened and laid out beforehand, BLAS wherever there is a product."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from schedules.dtypes import NUMPY, widened
from schedules.operator import Arrays, Operator
from schedules.operators.batched_linear import BatchedLinear
from schedules.operators.linear import Linear
from tuner.bench.loaded import Loaded, Request, Unsupported
from tuner.bench.values import values

# Makes a function of no arguments that computes the outputs.
Make = Callable[[Any, Arrays], Callable[[], Arrays]]


def load(request: Request) -> Loaded:
    """A function of this module's own where it has one, else the operator's reference."""
    operator = request.workload.instance
    if operator is None:
        raise Unsupported("numpy has no version of a program that is no known operator")
    make, note = MADE.get(operator.name, (_reference, "the reference"))
    functions = [make(operator, copy) for copy in request.copies]
    results: list[Arrays] = [[] for _ in functions]

    def call(at: int) -> None:
        results[at] = functions[at]()

    near = [request.copies[0][0].reshape(-1).view(np.uint8)]
    return Loaded([functools.partial(call, at) for at in range(len(functions))], lambda: results[0], near, note)


def _reference(operator: Operator, inputs: Arrays) -> Callable[[], Arrays]:
    return lambda: operator.reference(inputs)


def _linear(operator: Linear, inputs: Arrays) -> Callable[[], Arrays]:
    a, w = inputs[0], widened(inputs[1]).T
    out = NUMPY[operator.out]
    return lambda: [(widened(a) @ w).astype(out, copy=False)]


def _batched_linear(operator: BatchedLinear, inputs: Arrays) -> Callable[[], Arrays]:
    a, w = inputs[0], widened(inputs[1]).transpose(0, 2, 1)
    out = NUMPY[operator.out]
    return lambda: [np.matmul(widened(a), w).astype(out, copy=False)]


def _coded(operator: Operator, inputs: Arrays) -> Callable[[], Arrays]:
    a, sa, codes, sw = inputs
    w = values(codes, sw).T
    return lambda: [(values(a, sa) @ w).astype(NUMPY["bfloat16"])]


MADE: dict[str, tuple[Make, str]] = {
    "linear": (_linear, "float32 weights"),
    "batched_linear": (_batched_linear, "float32 weights"),
    "linear_fp8": (_coded, "float32 weights"),
    "linear_mxfp8": (_coded, "float32 weights"),
    "linear_fp4": (_coded, "float32 weights"),
}
