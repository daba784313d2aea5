"""Few-bit formats against ml_dtypes: every code, and floats of every kind."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from schedules import low_bit

E4M3, E2M1 = ml_dtypes.float8_e4m3fn, ml_dtypes.float4_e2m1fn


def run(function: Callable[..., Any], x: np.ndarray, out: str, size: int) -> np.ndarray:
    """``function(buffer, index)`` for every index, built for this machine."""
    import tvm
    from tvm import te

    buffer = te.placeholder(x.shape, x.dtype.name, "X")
    y = te.compute((size,), lambda i: function(buffer, i), name="Y")
    tensors = tvm.runtime.tensor(x), tvm.runtime.tensor(np.zeros(size, out))
    tvm.compile(te.create_prim_func([buffer, y]), {"kind": "llvm"})["main"](*tensors)
    return tensors[1].numpy()


def floats() -> np.ndarray:
    """Every bfloat16, the neighbours of every rounding boundary, and random bits."""
    bfloat = np.arange(65536, dtype=np.uint16).view(ml_dtypes.bfloat16).astype(np.float32)
    codes = np.arange(127, dtype=np.uint8).view(E4M3).astype(np.float32)
    edges = np.concatenate([codes, (codes[1:] + codes[:-1]) / 2])
    near = np.concatenate([edges, np.nextafter(edges, np.float32(-1)), np.nextafter(edges, np.float32(1e9))])
    bits = np.random.default_rng(0).integers(0, 2**32, 1 << 18, np.uint32).view(np.float32)
    return np.concatenate([bfloat, near, -near, bits])


def test_decode_e4m3() -> None:
    codes = np.arange(256, dtype=np.uint8).view(E4M3)
    values = run(lambda x, i: low_bit.decode_e4m3(x[i]), codes, "float32", 256)
    expected = codes.astype(np.float32)
    expected[[127, 255]] = [480, -480]
    np.testing.assert_array_equal(values.view(np.uint32), expected.view(np.uint32))


def test_decode_e2m1() -> None:
    packed = np.arange(256, dtype=np.uint8)
    values = run(lambda x, i: low_bit.decode_e2m1(x[i // 2], i), packed, "float32", 512)
    nibbles = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)
    np.testing.assert_array_equal(values.view(np.uint32), nibbles.view(E2M1).astype(np.float32).view(np.uint32))


def test_decode_ue8m0() -> None:
    codes = np.arange(1, 255, dtype=np.uint8)
    values = run(lambda x, i: low_bit.decode_ue8m0(x[i]), codes, "float32", 254)
    np.testing.assert_array_equal(values, codes.view(ml_dtypes.float8_e8m0fnu).astype(np.float32))


def test_encode_ue8m0_rounds_up() -> None:
    powers = np.exp2(np.arange(-126, 127, dtype=np.float32))
    x = np.concatenate([powers, np.nextafter(powers, np.float32(np.inf)), np.float32(1.5) * powers])
    codes = run(lambda b, i: low_bit.encode_ue8m0(b[i]), x, "uint8", x.size)
    exponents = np.arange(1, 254)
    np.testing.assert_array_equal(codes, np.concatenate([exponents, exponents + 1, exponents + 1]))


@pytest.mark.parametrize(
    ("form", "dtype", "largest"), [(low_bit.E4M3, E4M3, 448.0), (low_bit.E2M1, E2M1, 6.0)], ids=["e4m3", "e2m1"]
)
def test_encode(form: low_bit.Format, dtype: type, largest: float) -> None:
    x = floats()
    x = x[~np.isnan(x)]
    codes = run(lambda b, i: low_bit.encode(b[i], form), x, "uint8", x.size)
    expected = np.clip(x, -largest, largest).astype(dtype).view(np.uint8)
    np.testing.assert_array_equal(codes, expected)


def test_encode_nan_is_the_largest() -> None:
    x = np.array([np.nan, -np.nan, np.inf, -np.inf], np.float32)
    x = np.append(x, np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32))
    codes = run(lambda b, i: low_bit.encode(b[i], low_bit.E4M3), x, "uint8", x.size)
    assert set(codes & 0x7F) == {0x7E}
