"""Attention and indexer logits in torch, in the type of the operands and in float32, whichever is faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from schedules.operators.mqa_logits import MqaLogits
from schedules.operators.sparse_mqa_fp8 import SparseMqaFp8
from schedules.sparse_attention import SparseAttention
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
            at = torch.arange(operator.keys, device=q.device)
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


def sparse_mqa(operator: SparseAttention) -> Ways:
    """Rows gathered, then two batched products with a softmax between them."""

    def make(dtype: torch.dtype, inputs: Sequence[np.ndarray]) -> Made:
        q, kv, *rest = (tensor(x) for x in inputs)
        body = _attention(operator, lambda at, rows: rows[at])
        return Made(Function(body), (q.to(dtype), *rest, kv.to(dtype)), operator.dtype == "bfloat16")

    return _ways(operator, make)


def sparse_mqa_fp8(operator: SparseMqaFp8) -> Ways:
    """The same of rows that are decoded after they were gathered."""

    def decoded_rows(at: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor, plain: torch.Tensor) -> torch.Tensor:
        coded = codes[at].to(plain.dtype).unflatten(-1, (-1, operator.group)) * scales[at][..., None]
        return torch.cat([coded.flatten(-2), plain[at]], -1)

    def make(dtype: torch.dtype, inputs: Sequence[np.ndarray]) -> Made:
        q, codes, scales, plain, *rest = inputs
        factors = np.exp2(scales.astype(np.float32) - 127) if operator.scale == "ue8m0" else scales
        cache = (tensor(codes), torch.from_numpy(factors).to(dtype), tensor(plain).to(dtype))
        body = _attention(operator, decoded_rows)
        return Made(Function(body), (tensor(q).to(dtype), *(tensor(x) for x in rest), *cache), stand_in=True)

    return _ways(operator, make)


def _attention(operator: SparseAttention, rows_of: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Attention of ``(q, idx, scale, [sink], *cache)``, the rows at indices given by ``rows_of(at, *cache)``."""

    def body(q: torch.Tensor, idx: torch.Tensor, scale: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        rows = rows_of(idx.clamp(min=0), *more[operator.sink :])
        logits = torch.bmm(q, rows.transpose(1, 2)).float() * scale
        logits = logits.masked_fill((idx < 0)[:, None], float("-inf"))
        if operator.sink:
            logits = torch.cat([logits, more[0][None, :, None].expand(operator.tokens, -1, 1)], -1)
        weights = torch.softmax(logits, -1)[..., : operator.picked]
        return torch.bmm(weights.to(rows.dtype), rows[..., : operator.value_dim])

    return body


def _ways(operator: SparseAttention, make: Callable[[torch.dtype, Sequence[np.ndarray]], Made]) -> Ways:
    names = DTYPES if operator.dtype == "bfloat16" else {"float32": torch.float32}
    return {f"products in {name}": partial(make, dtype) for name, dtype in names.items()}
