"""Linear layers in torch. For fp8 and fp4 weights a dense layer of the same shape, which is what a user has instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from schedules.operators.batched_linear import BatchedLinear
from schedules.operators.grouped_linear import GroupedLinear
from schedules.operators.linear import Linear
from schedules.operators.linear_int8 import LinearInt8
from tuner.bench.torch_ops.made import Function, Made, Ways, float32, function, tensor
from tuner.bench.values import values

# Types that stand in for few-bit ones. Where a chip has no bfloat16 arithmetic, float32 is torch's best.
DENSE = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def linear(operator: Linear) -> Ways:
    """``F.linear`` of the types as they are; where bfloat16 is to give float32, of wider or with a wider result."""
    if operator.dtype == operator.out:
        return {"F.linear": lambda inputs: function(F.linear, inputs, parameters=(1,))}
    return _dense(lambda inputs: (float32(inputs[0]), float32(inputs[1])), F.linear)


def batched_linear(operator: BatchedLinear) -> Ways:
    """``torch.bmm`` with the weights transposed."""

    def body(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        c = torch.bmm(a, w.transpose(1, 2))
        return c.float() if operator.out == "float32" else c

    def make(inputs: Sequence[np.ndarray]) -> Made:
        made = function(body, inputs, parameters=(1,))
        return Made(made.module, made.arguments, stand_in=operator.dtype != operator.out)

    return {"torch.bmm": make}


def linear_fp8(operator: Any) -> Ways:
    """A dense layer over the values of codes and scales, whatever their format: ``A``, ``SA``, ``W``, ``SW``."""
    return _dense(_values, F.linear)


linear_mxfp8 = linear_fp4 = linear_fp8


def linear_int8(operator: LinearInt8) -> Ways:
    """Integers by ``torch._int_mm``, or a dense layer over the values."""

    def body(a: torch.Tensor, sa: torch.Tensor, sw: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return (torch._int_mm(a, w.t()) * (sa[:, None] * sw)).to(torch.bfloat16)

    def integers(inputs: Sequence[np.ndarray]) -> Made:
        a, sa, w, sw = (tensor(x) for x in inputs)
        return Made(Function(body, w), (a, sa, sw))

    def valued(inputs: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        a, sa, w, sw = inputs
        return torch.from_numpy(a * sa[:, None]), torch.from_numpy(w * sw[:, None])

    return {"torch._int_mm": integers, **_dense(valued, F.linear)}


def batched_linear_fp8(operator: Any) -> Ways:
    """A dense product for each batch entry, which stands between the tokens and the columns."""

    def body(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.einsum("mbk,bnk->mbn", a, w)

    return _dense(_values, body)


def _values(inputs: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    a, sa, w, sw = inputs
    return torch.from_numpy(values(a, sa)), torch.from_numpy(values(w, sw))


def _dense(
    operands: Callable[[Sequence[np.ndarray]], tuple[torch.Tensor, torch.Tensor]], body: Callable[..., Any]
) -> Ways:
    """``body`` of activations and weights in each of the types that stand in."""

    def way(dtype: torch.dtype) -> Callable[[Sequence[np.ndarray]], Made]:
        def make(inputs: Sequence[np.ndarray]) -> Made:
            a, w = operands(inputs)
            return Made(Function(body, w.to(dtype)), (a.to(dtype),), stand_in=True)

        return make

    return {f"a dense {name} layer": way(dtype) for name, dtype in DENSE.items()}


def grouped_linear(operator: GroupedLinear) -> Ways:
    """A dense layer for each expert that has rows; routing is known beforehand, which favours torch."""

    def way(dtype: torch.dtype, stand_in: bool) -> Callable[[Sequence[np.ndarray]], Made]:
        return lambda inputs: _grouped(operator, inputs, dtype, stand_in)

    if operator.dtype == "bfloat16":
        return {"F.linear for each expert": way(torch.bfloat16, False)}
    return {f"a dense {name} layer for each expert": way(dtype, True) for name, dtype in DENSE.items()}


def _grouped(operator: GroupedLinear, inputs: Sequence[np.ndarray], dtype: torch.dtype, stand_in: bool) -> Made:
    """Inputs are ``A``, ``EXPERT``, ``W``, or ``A``, ``SA``, ``EXPERT``, ``W``, ``SW``; rows come sorted by expert."""
    coded = operator.dtype != "bfloat16"
    expert = np.repeat(inputs[2 if coded else 1], operator.block)[: operator.rows]
    numbers, counts = np.unique(expert, return_counts=True)
    if coded:
        a = torch.from_numpy(values(*inputs[:2]))
        weights = [torch.from_numpy(values(inputs[3][number], inputs[4][number])).to(dtype) for number in numbers]
    else:
        a, weights = tensor(inputs[0]), [tensor(inputs[2][number]) for number in numbers]

    def body(x: torch.Tensor, *matrices: torch.Tensor) -> torch.Tensor:
        parts = x.split(counts.tolist())
        done = [F.linear(part, matrix) for part, matrix in zip(parts, matrices, strict=True)]
        return done[0] if len(done) == 1 else torch.cat(done)

    return Made(Function(body, *weights), (a.to(dtype),), stand_in)
