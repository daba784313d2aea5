"""Attention and indexer logits in torch, in the type of the operands and in float32, whichever is faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from schedules.operators.mqa_logits import MqaLogits
from schedules.operators.sparse_mqa import SparseMqa
from tuner.bench.torch_ops.made import Function, Made, Ways, float32, tensor
from tuner.bench.values import decoded, values

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def mqa_logits(operator: MqaLogits) -> Ways:
    """Products of all heads with all keys, then the weighted sum over heads."""

    def body(q: torch.Tensor, k: torch.Tensor, w: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        dot = torch.relu(q.flatten(0, 1) @ k.T).view(operator.tokens, operator.heads, operator.keys)
        total = torch.bmm(w[:, None].to(dot.dtype), dot)[:, 0].float()
        if operator.dtype == "float8_e4m3fn":
            total = total * more[0]
        if operator.window:
            start, end = more[-2:]
            at = torch.arange(operator.keys)
            seen = (at >= start[:, None]) & (at < end[:, None])
            total = total.masked_fill(~seen, float("-inf"))
        return total

    def way(dtype: torch.dtype) -> Callable[[Sequence[np.ndarray]], Made]:
        def make(inputs: Sequence[np.ndarray]) -> Made:
            (q, k), scales, (w, *window) = _operands(operator, inputs)
            more = [tensor(x) for x in (w, *scales, *window)]
            return Made(Function(body), (q.to(dtype), k.to(dtype), *more), stand_in=True)

        return make

    return {f"products in {name}": way(dtype) for name, dtype in DTYPES.items()}


def _operands(
    operator: MqaLogits, inputs: Sequence[np.ndarray]
) -> tuple[tuple[torch.Tensor, torch.Tensor], Sequence[np.ndarray], Sequence[np.ndarray]]:
    """Queries and keys in float32, scales to be multiplied with logits, and the other inputs."""
    if operator.dtype == "float4_e2m1fn":
        q, sq, k, sk, *rest = inputs
        return (torch.from_numpy(values(q, sq)), torch.from_numpy(values(k, sk))), [], rest
    q, k, *rest = inputs
    if operator.dtype == "bfloat16":
        return (float32(q), float32(k)), [], rest
    return (torch.from_numpy(decoded(q)), torch.from_numpy(decoded(k))), rest[:1], rest[1:]


def sparse_mqa(operator: SparseMqa) -> Ways:
    """Rows gathered, then two batched products with a softmax between them."""

    def body(
        q: torch.Tensor, kv: torch.Tensor, idx: torch.Tensor, scale: torch.Tensor, *sink: torch.Tensor
    ) -> torch.Tensor:
        rows = kv[idx.clamp(min=0)]
        logits = torch.bmm(q, rows.transpose(1, 2)).float() * scale
        logits = logits.masked_fill((idx < 0)[:, None], float("-inf"))
        if operator.sink:
            logits = torch.cat([logits, sink[0][None, :, None].expand(operator.tokens, -1, 1)], -1)
        weights = torch.softmax(logits, -1)[..., : operator.picked]
        return torch.bmm(weights.to(rows.dtype), rows[..., : operator.value_dim])

    def way(dtype: torch.dtype) -> Callable[[Sequence[np.ndarray]], Made]:
        def make(inputs: Sequence[np.ndarray]) -> Made:
            q, kv = (tensor(x).to(dtype) for x in inputs[:2])
            stand_in = operator.dtype == "bfloat16"
            return Made(Function(body), (q, kv, *(tensor(x) for x in inputs[2:])), stand_in)

        return make

    names = DTYPES if operator.dtype == "bfloat16" else {"float32": torch.float32}
    return {f"products in {name}": way(dtype) for name, dtype in names.items()}
