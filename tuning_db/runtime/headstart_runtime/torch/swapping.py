"""Replace the linear layers, RMS norms and gated MLPs of a decoder in torch by kernels of bundles.

    kernels = use("decode.bundle", "prefill.bundle")
    print(swap(model, kernels))

Layers are found by what they are and do, not by the model's class, so any decoder with Llama's names of layers will do
(transformers' Llama, Mistral, Qwen2, Qwen3, ...). What there is no kernel for is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from headstart_runtime.dispatch import Kernels
from headstart_runtime.torch import quantised
from headstart_runtime.torch.layers import GatedMlp, Joined, Linear, RmsNorm
from headstart_runtime.weights import Weights, dtype_name

ATTENTION = ("q_proj", "k_proj", "v_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


@dataclass
class Swapped:
    """What ``swap`` did: names of the layers that run kernels now, and why others were left.

    Attributes:
        layers: by kind: ``linear``, ``joined`` (linear layers of one input, as one), ``mlp``, ``norm``.
        left: reason by name.
        nbytes: of weights that were laid out, beside what there was.
    """

    layers: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    nbytes: int = 0

    def __str__(self) -> str:
        done = ", ".join(f"{len(names)} {kind}" for kind, names in sorted(self.layers.items())) or "nothing"
        text = f"swapped {done}; {self.nbytes / 2**20:.0f} MiB of weights laid out"
        for name, reason in self.left.items():
            text += f"\nleft {name}: {reason}"
        return text


def swap(model: nn.Module, kernels: Kernels, *, fp8: bool = False, keep: bool = True) -> Swapped:
    """Replace layers of a model in place, in CPU memory and for inference.

    Args:
        model: weights in bfloat16 or float32, or linear layers of transformers in fp8 with 128 x 128 blocks.
        kernels: of bundles for this model; with rows of decode and prefill.
        fp8: quantise the other linear layers, too, all but the LM head.
        keep: keep weights as they are beside those that are laid out, for rows that there is no kernel for; otherwise
            such a call is a ``MissError``.

    Returns:
        What was done.
    """
    return _Swap(kernels, fp8, keep).run(model)


class _Swap:
    def __init__(self, kernels: Kernels, fp8: bool, keep: bool) -> None:
        self.kernels, self.fp8, self.keep, self.done = kernels, fp8, keep, Swapped()

    def run(self, model: nn.Module) -> Swapped:
        with torch.no_grad():
            self._walk(model, "")
        return self.done

    def _walk(self, parent: nn.Module, path: str) -> None:
        for name, child in list(parent.named_children()):
            where = f"{path}{name}"
            made = self._mlp(child, where) or self._norm(child, where) or self._linear(child, where, name)
            if made is not None:
                setattr(parent, name, made)
                continue
            self._attention(child, where)
            self._walk(child, where + ".")

    def _linear(self, module: nn.Module, where: str, name: str) -> nn.Module | None:
        if not isinstance(module, nn.Linear):
            return None
        made = self._layer([module], where, self.fp8 and name != "lm_head")
        return self._swapped("linear", where, made)

    def _attention(self, module: nn.Module, where: str) -> None:
        """Join the projections of an attention, which then are no linear layers any more."""
        layers = [getattr(module, name, None) for name in ATTENTION]
        if not all(isinstance(layer, nn.Linear) for layer in layers):
            return
        made = self._layer(layers, f"{where}.{'+'.join(ATTENTION)}", self.fp8)
        if made is not None:
            joined = Joined(made, [layer.out_features for layer in layers])  # type: ignore[union-attr]
            for name, part in zip(ATTENTION, joined.parts(), strict=True):
                setattr(module, name, part)
            self._swapped("joined", where, made)

    def _mlp(self, module: nn.Module, where: str) -> nn.Module | None:
        gate, up, down = (getattr(module, name, None) for name in MLP)
        if not (isinstance(gate, nn.Linear) and isinstance(up, nn.Linear) and isinstance(down, nn.Linear)):
            return None
        if not _is_gated_mlp(module, gate, up, down):
            self._leave(where, "its activation is not silu(gate) * up")
            return None
        first, last = self._layer([gate, up], f"{where}.gate_proj+up_proj", self.fp8), None
        if first is not None:
            last = self._layer([down], f"{where}.down_proj", self.fp8)
        if first is None or last is None:
            return None
        made = GatedMlp(self.kernels, first, last)
        if not any(entry.params["dim"] == down.in_features for entry in made.activations):
            self._leave(where, f"no kernel for an activation of {down.in_features} columns")
            return None
        return self._swapped("mlp", where, made)

    def _norm(self, module: nn.Module, where: str) -> nn.Module | None:
        weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", getattr(module, "eps", None))
        if not isinstance(weight, nn.Parameter) or not isinstance(eps, float) or not _is_rms_norm(module, weight, eps):
            return None
        found = self.kernels.call("rmsnorm", eps=eps).entries
        if not any(e.params["dim"] == weight.shape[0] and e.params["dtype"] == dtype_name(weight.dtype) for e in found):
            self._leave(where, f"no kernel for a norm of {weight.shape[0]} columns in {dtype_name(weight.dtype)}")
            return None
        return self._swapped("norm", where, RmsNorm(self.kernels, weight.detach(), eps))

    def _layer(self, linears: list[Any], where: str, fp8: bool) -> Linear | None:
        """Linear layers of one input as one, where there is a kernel; noted as left where there is none."""
        problem = _unlike(linears)
        if problem is not None:
            self._leave(where, problem)
            return None
        arrays = [_arrays(linear, fp8) for linear in linears]
        joined = arrays[0] if len(arrays) == 1 else tuple(torch.cat(each) for each in zip(*arrays, strict=True))
        bias = None if linears[0].bias is None else torch.cat([linear.bias.detach() for linear in linears])
        weights = Weights(*joined)
        made = Linear(self.kernels, weights, bias)
        found = made.kernels()
        if not found:
            kind = "fp8" if made.coded else dtype_name(joined[0].dtype)
            self._leave(where, f"no kernel for {made.out_features} x {made.in_features} weights in {kind}")
            return None
        for kernel in found:
            weights.prepare(kernel)
        if not self.keep:
            weights.release()
        self.done.nbytes += weights.nbytes
        return made

    def _leave(self, where: str, reason: str) -> None:
        self.done.left[where] = reason

    def _swapped(self, kind: str, where: str, made: Any) -> Any:
        if made is not None:
            self.done.layers.setdefault(kind, []).append(where)
        return made


def _arrays(linear: Any, fp8: bool) -> tuple[torch.Tensor, ...]:
    """Weights of a linear layer, or codes and scales."""
    weight = linear.weight.detach()
    if _is_coded(linear):
        return weight.contiguous(), linear.weight_scale_inv.detach().float().contiguous()
    return quantised.quantise_weights(weight) if fp8 else (weight.contiguous(),)


def _is_coded(linear: Any) -> bool:
    return bool(linear.weight.dtype == torch.float8_e4m3fn)


def _unlike(linears: list[Any]) -> str | None:
    """Why layers cannot be one, or the one not a kernel; None where they can."""
    first = linears[0]
    for linear in linears:
        if linear.weight.device.type != "cpu":
            return f"its weights are on {linear.weight.device}, not in CPU memory"
        if _is_coded(linear):
            block, scheme = getattr(linear, "block_size", None), getattr(linear, "activation_scheme", None)
            if block is None or tuple(block) != (quantised.BLOCK,) * 2 or scheme != "dynamic":
                return f"fp8 with blocks of {block} and {scheme} scales of activations"
            if linear.out_features % quantised.BLOCK and len(linears) > 1:
                return "rows of scale blocks are not whole"
        elif type(linear) is not nn.Linear:
            return f"{type(linear).__name__} may compute something else than a linear layer"
        if linear.in_features != first.in_features or linear.weight.dtype != first.weight.dtype:
            return "the layers read inputs of different sizes or types"
        if (linear.bias is None) != (first.bias is None):
            return "some of the layers have a bias"
    return None


def _is_rms_norm(module: nn.Module, weight: torch.Tensor, eps: float) -> bool:
    """Whether that is what it computes; Gemma's norm, for one, adds 1 to its weight."""
    if weight.ndim != 1 or weight.device.type != "cpu" or len(list(module.parameters())) != 1:
        return False
    x = torch.randn(2, weight.shape[0], generator=torch.Generator().manual_seed(0)).to(weight.dtype)
    return _same(lambda: module(x), lambda: functional.rms_norm(x.float(), weight.shape, weight.float(), eps))


def _is_gated_mlp(module: nn.Module, gate: nn.Linear, up: nn.Linear, down: nn.Linear) -> bool:
    x = torch.randn(2, gate.in_features, generator=torch.Generator().manual_seed(0))
    if _is_coded(gate):  # transformers runs it on a GPU only
        act = getattr(module, "act_fn", None)
        return callable(act) and _same(lambda: act(x), lambda: functional.silu(x))
    x = x.to(gate.weight.dtype)
    return _same(lambda: module(x), lambda: down(functional.silu(gate(x)) * up(x)))


def _same(one: Callable[[], torch.Tensor], other: Callable[[], torch.Tensor]) -> bool:
    try:
        found, expected = one(), other()
    except (RuntimeError, TypeError, ValueError):
        return False
    if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
        return False
    scale = expected.float().square().mean().sqrt()
    return bool(((found.float() - expected.float()).abs() <= 0.02 * (expected.float().abs() + scale)).all())
