"""fp8 as DeepSeek's models store it, in plain torch: quantises weights, and stands in for kernels that a bundle lacks.

Codes are e4m3. Weights have a float32 scale for each 128 x 128 block, activations for each 128 columns of a row.
"""

from __future__ import annotations

import torch
from torch.nn import functional

BLOCK = 128
LARGEST = 448.0
# The least maximum that a scale is made for, so that a block of zeros divides by something.
LEAST = 1e-4


def quantise(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes ``[m, k]`` and scales ``[m, k / 128]`` of rows ``[m, k]``: ``max(amax, 1e-4) / 448`` of each group."""
    return _quantise(x, (1, BLOCK))


def quantise_weights(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes ``[n, k]`` and scales ``[n / 128, k / 128]`` of a matrix ``[n, k]``."""
    return _quantise(w, (BLOCK, BLOCK))


def values(codes: torch.Tensor, scales: torch.Tensor, rows: int) -> torch.Tensor:
    """What codes stand for, in float32.

    Args:
        rows: that share a scale: 1 or 128.
    """
    m, k = codes.shape
    return codes.float() * scales.repeat_interleave(rows, 0)[:m].repeat_interleave(BLOCK, 1)[:, :k]


def linear(a: torch.Tensor, sa: torch.Tensor, w: torch.Tensor, sw: torch.Tensor) -> torch.Tensor:
    """``a @ w.T`` of codes and scales in float32, rounded to bfloat16; decodes all weights, which is slow."""
    return functional.linear(values(a, sa, 1), values(w, sw, BLOCK)).to(torch.bfloat16)


def _quantise(x: torch.Tensor, block: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    (m, k), (high, wide) = x.shape, block
    whole = functional.pad(x.float(), (0, -k % wide, 0, -m % high)).view(-(-m // high), high, -(-k // wide), wide)
    scales = whole.abs().amax((1, 3)).clamp_min(LEAST) * (1 / LARGEST)
    codes = (whole / scales[:, None, :, None]).clamp(-LARGEST, LARGEST).view(-(-m // high) * high, -1)[:m, :k]
    return codes.to(torch.float8_e4m3fn).contiguous(), scales
