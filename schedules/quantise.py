"""Quantisation to e4m3 with a scale for each group of columns, as the last stages of an operator: in TE and numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from schedules.dtypes import NUMPY, TOLERANCE, code_tolerance
from schedules.operator import Tolerance

E4M3_MAX = 448.0
# The least maximum that a scale is made for, so that a group of zeros divides by something (DeepSeek's act_quant).
LEAST = 1e-4
SCALES: Mapping[str, tuple[str, ...]] = {"scale": ("float32", "ue8m0")}
"""The parameter ``scale`` of operators that quantise: what scales are stored as."""


def quantised(x: Any, columns: int, group: int, scale: str = "float32") -> tuple[Any, Any]:
    """TE stages of padded float32 rows: codes ``Q[..., columns]`` and scales ``SQ``, by way of the maxima ``M``.

    ``s = max(amax, 1e-4) / 448`` for each ``group`` of columns and ``q = x / s`` to nearest even, saturating: the
    ``act_quant`` kernel of DeepSeek's reference inference code. With ``ue8m0`` the scale is rounded up to a power of
    two and kept as a ``uint8`` of its exponent plus 127, as that kernel does where ``scale_fmt`` says so.
    """
    from tvm import te, tirx

    from schedules.low_bit import encode_e4m3, encode_ue8m0

    *lead, width = (int(extent) for extent in x.shape)
    r = te.reduce_axis((0, group), "r")

    def largest(*at: Any) -> Any:
        column = (*at[:-1], at[-1] * group + r)
        return te.max(te.abs(x[column]), axis=r)

    most = te.compute((*lead, width // group), largest, name="M")
    least, inverse = tirx.const(LEAST, "float32"), tirx.const(1 / E4M3_MAX, "float32")

    def size(*at: Any) -> Any:
        return tirx.max(most[at], least) * inverse

    if scale == "float32":
        scales = te.compute(most.shape, size, name="SQ")
    else:
        scales = te.compute(most.shape, lambda *at: encode_ue8m0(size(*at)), name="SQ")

    def code(*at: Any) -> Any:
        block = (*at[:-1], at[-1] // group)
        stored = scales[block]
        if scale == "float32":
            return encode_e4m3(x[at] / stored)
        # Division by 2^e is multiplication by 2^-e.
        power = (tirx.const(254) - stored.astype("int32")) << tirx.const(23)
        return encode_e4m3(x[at] * tirx.reinterpret("float32", power))

    return te.compute((*lead, columns), code, name="Q"), scales


def quantise(x: np.ndarray, group: int, scale: str = "float32") -> list[np.ndarray]:
    """What ``quantised`` computes, in numpy: codes and scales of float32 rows."""
    *lead, columns = x.shape
    groups = -(-columns // group)
    whole = np.zeros((*lead, groups * group), np.float32)
    whole[..., :columns] = x
    amax = np.abs(whole).reshape(*lead, groups, group).max(-1)
    scales = np.maximum(amax, np.float32(LEAST)) * np.float32(1 / E4M3_MAX)
    if scale == "ue8m0":
        fraction, exponent = np.frexp(scales)
        exponent = np.where(fraction == 0.5, exponent - 1, exponent)
        scales, stored = np.ldexp(np.float32(1), exponent), (exponent + 127).astype(np.uint8)
    else:
        stored = scales
    ratio = x / np.repeat(scales, group, axis=-1)[..., :columns]
    return [np.clip(ratio, -E4M3_MAX, E4M3_MAX).astype(NUMPY["float8_e4m3fn"]), stored]


def tolerances(codes: int, scale: str = "float32") -> tuple[Tolerance, Tolerance]:
    """Of so many codes and of their scales.

    A power of two is exact, but where what is quantised was computed in float32 a maximum beside one may go to either:
    about one in a million does, and the codes of its group are then half or twice as large.
    """
    return code_tolerance(codes), TOLERANCE["float32"] if scale == "float32" else Tolerance(0.0, 0.0, 1 - 1e-4)
