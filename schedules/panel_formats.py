"""Which format of panels is the fastest for a type of weights on a chip."""

from __future__ import annotations

from schedules.panel_codes import E2m1Bytes, E2m1Half, E2m1Shuffled, E4m3Bytes, E4m3Half
from schedules.panel_floats import Bfloat16Pairs, Bfloat16Wide, Float32
from schedules.panel_format import Format
from schedules.panel_int8 import Int8Dot, Int8Vnni, Int8Words
from targets import Target

# Lanes of the instructions of AVX-512 that have one width only.
WIDE = 16


def format_for(dtype: str, target: Target) -> Format | None:
    """The fastest format of a weight type on a chip; None where it has none."""
    lanes = target.lanes
    half = target.has("f16c") or target.has("avx512f") or str(target.tvm.get("mtriple", "")).startswith("aarch64")
    pairs = target.has("avx512bf16") and lanes == WIDE
    if dtype == "float32":
        return Float32(lanes)
    if dtype == "bfloat16":
        return Bfloat16Pairs(lanes) if pairs else Bfloat16Wide(lanes)
    if dtype == "int8":
        return _int8(target)
    if dtype == "float8_e4m3fn":
        return E4m3Bytes(lanes) if pairs and target.has("avx512vbmi") else E4m3Half(lanes) if half else None
    if dtype == "float4_e2m1fn":
        if pairs and target.has("avx512bw"):
            return E2m1Bytes(lanes)
        shuffled = lanes == 8 and target.has("avx2")
        return E2m1Shuffled(lanes) if shuffled else E2m1Half(lanes) if half else None
    return None


def _int8(target: Target) -> Format:
    lanes = target.lanes
    if target.has("avx512vnni" if lanes == WIDE else "avxvnni"):
        return Int8Vnni(lanes)
    if target.has("dotprod") and lanes % 4 == 0:
        return Int8Dot(lanes)
    return Int8Words(lanes)
