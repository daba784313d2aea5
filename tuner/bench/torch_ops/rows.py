"""Operators over the rows of a matrix in torch: norms, activations, quantisation, tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from schedules.operators.act_quant import ActQuant
from schedules.operators.add import Add
from schedules.operators.embedding import Embedding
from schedules.operators.gelu import Gelu
from schedules.operators.hadamard import Hadamard, sylvester
from schedules.operators.layernorm import LayerNorm
from schedules.operators.rmsnorm import RmsNorm
from schedules.operators.rope import Rope
from schedules.operators.softmax import Softmax
from schedules.operators.swiglu import SwiGlu
from schedules.operators.topk import TopK
from tuner.bench.torch_ops.made import Function, Made, Ways, function, tensor

# The largest e4m3 value, and the least maximum that a scale is made for (DeepSeek's act_quant).
E4M3_MAX, LEAST = 448.0, 1e-4


def rmsnorm(operator: RmsNorm) -> Ways:
    """The formula, and ``F.rms_norm`` where nothing is added first."""

    def formula(x: torch.Tensor, *more: torch.Tensor) -> Any:
        h = x.float() + more[0].float() if operator.residual else x.float()
        y = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + operator.eps)
        y = (y * more[-1].float() if operator.weight else y).to(x.dtype)
        return (y, h.to(x.dtype)) if operator.residual else y

    def fused(x: torch.Tensor, *weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (operator.dim,), weight[0] if weight else None, operator.eps)

    gain = (1 + operator.residual,) if operator.weight else ()
    ways: Ways = {"the formula": lambda inputs: function(formula, inputs, gain)}
    return ways if operator.residual else ways | {"F.rms_norm": lambda inputs: function(fused, inputs, gain)}


def layernorm(operator: LayerNorm) -> Ways:
    """``F.layer_norm``."""

    def body(x: torch.Tensor, g: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (operator.dim,), g, b, operator.eps)

    return {"F.layer_norm": lambda inputs: function(body, inputs, parameters=(1, 2))}


def softmax(operator: Softmax) -> Ways:
    """``torch.softmax``."""
    return {"torch.softmax": lambda inputs: function(lambda x: torch.softmax(x, -1), inputs)}


def gelu(operator: Gelu) -> Ways:
    """``F.gelu``."""
    return {"F.gelu": lambda inputs: function(F.gelu, inputs)}


def add(operator: Add) -> Ways:
    """``torch.add``."""
    return {"torch.add": lambda inputs: function(torch.add, inputs)}


def embedding(operator: Embedding) -> Ways:
    """``F.embedding``."""
    return {"F.embedding": lambda inputs: function(F.embedding, inputs, parameters=(1,))}


def topk(operator: TopK) -> Ways:
    """``torch.topk``, its indices sorted."""

    def body(x: torch.Tensor) -> torch.Tensor:
        return x.topk(operator.k, sorted=False).indices.sort(-1).values

    return {"torch.topk": lambda inputs: function(body, inputs)}


def swiglu(operator: SwiGlu) -> Ways:
    """The formula, with ``F.silu``."""

    def body(x: torch.Tensor, *weight: torch.Tensor) -> Any:
        gate, up = x.float().split(operator.dim, -1)
        if operator.limit:
            gate, up = gate.clamp(max=operator.limit), up.clamp(-operator.limit, operator.limit)
        h = F.silu(gate) * up
        h = h * weight[0][:, None] if operator.weighted else h
        return quantise(h, operator.group, operator.scale) if operator.quantize else h.to(x.dtype)

    return {"the formula": lambda inputs: function(body, inputs)}


def act_quant(operator: ActQuant) -> Ways:
    """The formula, ending in a cast."""

    def body(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return quantise(x.float(), operator.group, operator.scale)

    return {"the formula": lambda inputs: function(body, inputs)}


def quantise(x: torch.Tensor, group: int, form: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and scales of float32 rows, ``max(amax, LEAST) / 448`` or, as ``ue8m0``, the next power of two."""
    tokens, dim = x.shape
    grouped = F.pad(x, (0, -dim % group)).reshape(tokens, -1, group)
    scale = grouped.abs().amax(-1).clamp(min=LEAST) * (1 / E4M3_MAX)
    stored = scale
    if form == "ue8m0":
        fraction, exponent = torch.frexp(scale)
        exponent = torch.where(fraction == 0.5, exponent - 1, exponent)
        scale, stored = torch.exp2(exponent.float()), (exponent + 127).to(torch.uint8)
    value = (grouped / scale[..., None]).clamp(-E4M3_MAX, E4M3_MAX).reshape(tokens, -1)[:, :dim]
    return value.to(torch.float8_e4m3fn), stored


def rope(operator: Rope) -> Ways:
    """Pairs turned, and put together again with what is not turned."""

    def body(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        cos, sin = cos[:, None], -sin[:, None] if operator.inverse else sin[:, None]
        start, end = operator.start, operator.start + operator.rotary
        part = x[..., start:end].float()
        interleaved = operator.layout == "interleaved"
        a, b = (part[..., 0::2], part[..., 1::2]) if interleaved else part.chunk(2, -1)
        turned = a * cos - b * sin, a * sin + b * cos
        whole = torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)
        return torch.cat([x[..., :start], whole.to(x.dtype), x[..., end:]], -1)

    return {"the formula": lambda inputs: function(body, inputs)}


def hadamard(operator: Hadamard) -> Ways:
    """A product with the matrix."""

    def body(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return (x.float() @ matrix).to(x.dtype)

    def make(inputs: Sequence[np.ndarray]) -> Made:
        matrix = (sylvester(operator.dim) * operator.dim**-0.5).astype(np.float32)
        return Made(Function(body, tensor(matrix)), (tensor(inputs[0]),))

    return {"torch.matmul": make}
