"""The matrices that few-bit codes with block scales stand for: what a framework without such kernels computes with."""

from __future__ import annotations

import ml_dtypes
import numpy as np

E4M3 = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
E2M1 = np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float32)
# Extents of blocks that share a scale.
BLOCKS = (1, 16, 32, 64, 128)


def values(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Codes times scales, in float32.

    Args:
        codes: e4m3, or e2m1 as ``uint8`` pairs, the even column in the low four bits.
        scales: as many axes, one for each block; ``uint8`` are exponents plus 127 (ue8m0).
    """
    value = decoded(codes)
    factor = np.exp2(scales.astype(np.float32) - 127) if scales.dtype == np.uint8 else scales
    for axis, extent in enumerate(value.shape):
        factor = _spread(factor, axis, extent)
    value *= factor
    return value


def decoded(codes: np.ndarray) -> np.ndarray:
    """The float32 values of codes, two columns for each one of ``uint8`` pairs."""
    if codes.dtype == ml_dtypes.float8_e4m3fn:
        return E4M3.take(codes.view(np.uint8))
    return np.stack([E2M1.take(codes & 15), E2M1.take(codes >> 4)], axis=-1).reshape(*codes.shape[:-1], -1)


def _spread(factor: np.ndarray, axis: int, extent: int) -> np.ndarray:
    """Repeat along an axis up to an extent; the block is the one that gives so many scales."""
    count = factor.shape[axis]
    if count in (1, extent):
        return factor
    block = next(block for block in BLOCKS if -(-extent // block) == count)
    return np.repeat(factor, block, axis=axis).take(range(extent), axis=axis)
