"""Memory of arrays that starts where frameworks have it start, and where no vector load straddles two cache lines."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import tvm_ffi

# Bytes of a cache line; numpy keeps to multiples of 16.
CACHE_LINE = 64


def empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """A C-contiguous array at a cache line, not filled."""
    kind = np.dtype(dtype)
    room = np.empty(prod(shape) * kind.itemsize + CACHE_LINE, np.uint8)
    # Quicker than room.ctypes.data.
    start = -tvm_ffi.from_dlpack(room).data_ptr() % CACHE_LINE
    return np.ndarray(tuple(shape), kind, room, start)


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself where it is C-contiguous and starts at a cache line, else a copy that does."""
    if array.ctypes.data % CACHE_LINE == 0 and array.flags.c_contiguous:
        return array
    moved = empty(array.shape, array.dtype)
    moved.reshape(-1).view(np.uint8)[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return moved
