"""Layers of a decoder in torch that run kernels of bundles: linear, RMS norm, gated MLP; bfloat16 and fp8 weights.

Each takes and returns what the layer that it stands for does, with any number of rows: those for which there is no
kernel go to torch, by the policy of the ``Kernels``. There are no gradients.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from headstart_runtime.dispatch import Kernels
from headstart_runtime.family import Family
from headstart_runtime.kernel import Kernel
from headstart_runtime.torch import quantised
from headstart_runtime.torch.operators import Operator
from headstart_runtime.weights import Weights, dtype_name

GROUP = quantised.BLOCK
# Parameters of operators: activations in fp8 with a float32 scale for each 128 columns.
SCALED = {"group": GROUP, "scale": "float32"}


class Linear(nn.Module):
    """``x @ w.T``, plus the bias where there is one.

    Args:
        kernels: where kernels are.
        weights: ``w[n, k]`` in a float type, or codes ``w[n, k]`` in e4m3 with scales ``[n / 128, k / 128]``, for
            which activations are quantised, a scale for each 128 columns.
        bias: ``[n]`` or None.
    """

    def __init__(self, kernels: Kernels, weights: Weights, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        matrix = weights.arrays[0]
        self.out_features, self.in_features = matrix.shape
        self.weights, self.bias = weights, bias
        self.coded = len(weights.arrays) == 2
        if self.coded:
            self._quantise = kernels.call("act_quant", **SCALED)
            self._product = kernels.call("linear_fp8")
        else:
            self._product = kernels.call("linear", out=dtype_name(matrix.dtype))
        self._operator = Operator(self._rows, self._shapes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x[..., k]`` to ``[..., n]``."""
        y = self._operator(x.reshape(-1, self.in_features))
        return y.view(*x.shape[:-1], self.out_features)

    def kernels(self) -> list[Kernel | Family]:
        """Those that take these weights, whatever the rows."""
        return self._product.kernels_of(self.weights)

    def product(self, *rows: torch.Tensor) -> torch.Tensor:
        """Of contiguous rows ``[m, k]``, or of their codes and scales."""
        fallback = quantised.linear if self.coded else functional.linear
        y = self._product((*rows, self.weights), fallback)
        return y if self.bias is None else y.add_(self.bias)

    def _rows(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        return self.product(*self._quantise((x,), quantised.quantise)) if self.coded else self.product(x)

    def _shapes(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_empty((x.shape[0], self.out_features))

    def extra_repr(self) -> str:
        """For the module's repr."""
        return f"{self.in_features}, {self.out_features}{', fp8' * self.coded}"


class Joined(nn.Module):
    """Linear layers that read the same input, as one.

    The first part computes always, the others take what it left for them, and nothing is kept when all have taken it.
    What is kept belongs to a thread. An input must not change between the calls of its parts.
    """

    def __init__(self, linear: Linear, sizes: list[int]) -> None:
        super().__init__()
        self.linear, self.sizes = linear, sizes
        # A graph is traced by one thread, and what it keeps meanwhile is no part of it.
        self._kept, self._traced = _Kept(), _Left()

    def parts(self) -> list[Part]:
        """A module for each layer."""
        return [Part(self, at) for at in range(len(self.sizes))]

    def take(self, x: torch.Tensor, at: int) -> torch.Tensor:
        """The output of one part."""
        kept = self._traced if torch.compiler.is_compiling() else self._kept
        if at == 0 or kept.x is not x or at not in kept.left:
            kept.x, kept.left = x, dict(enumerate(self.linear(x).split(self.sizes, -1)))
        y = kept.left.pop(at)
        if not kept.left:
            kept.x = None
        return y


class _Left:
    def __init__(self) -> None:
        self.x: torch.Tensor | None = None
        self.left: dict[int, torch.Tensor] = {}


class _Kept(_Left, threading.local):
    """One for each thread."""


class Part(nn.Module):
    """One of several joined linear layers."""

    def __init__(self, joined: Joined, at: int) -> None:
        super().__init__()
        self.joined, self.at = joined, at

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x[..., k]`` to ``[..., n]`` of this part."""
        return self.joined.take(x, self.at)


class RmsNorm(nn.Module):
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last axis, in float32, rounded once."""

    def __init__(self, kernels: Kernels, weight: torch.Tensor, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = weight, eps
        self._norm = kernels.call("rmsnorm", eps=eps)
        self._operator = Operator(self._rows, torch.empty_like)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x[..., dim]``."""
        return self._operator(x.reshape(-1, self.weight.shape[0])).view(x.shape)

    def _rows(self, x: torch.Tensor) -> torch.Tensor:
        return self._norm((x.contiguous(), self.weight), self._fallback)

    def _fallback(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, weight.shape, weight, self.eps)

    def extra_repr(self) -> str:
        """For the module's repr."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


class GatedMlp(nn.Module):
    """``down(silu(gate(x)) * up(x))``, gate and up in one matrix; quantised in between where weights are fp8.

    Args:
        gate_up: gate first.
        down: the second layer.
    """

    def __init__(self, kernels: Kernels, gate_up: Linear, down: Linear) -> None:
        super().__init__()
        self.gate_up, self.down = gate_up, down
        how: dict[str, Any] = {"quantize": True, **SCALED} if down.coded else {"quantize": False}
        self._activate = kernels.call("swiglu", limit=0.0, weighted=False, **how)
        self.activations = self._activate.entries
        self._operator = Operator(self._rows, self._shapes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x[..., hidden]`` to the same shape."""
        y = self._operator(x.reshape(-1, self.gate_up.in_features))
        return y.view(*x.shape[:-1], self.down.out_features)

    def _rows(self, x: torch.Tensor) -> torch.Tensor:
        h = self._activate((self.gate_up._rows(x),), self._fallback)
        return self.down.product(*h) if self.down.coded else self.down.product(h)

    def _fallback(self, x: torch.Tensor) -> Any:
        gate, up = x.chunk(2, -1)
        h = functional.silu(gate.float()) * up.float()
        return quantised.quantise(h) if self.down.coded else h.to(x.dtype)

    def _shapes(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_empty((x.shape[0], self.down.out_features))
