"""One array that a kernel takes, as manifests list it; needs numpy alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

# Types that numpy has itself; the rest are in ml_dtypes.
PLAIN = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
NARROW = re.compile(r"bfloat16|float8_e\dm\d(b\d+)?(fn)?(uz)?|float[46]_e\dm\d(fn)?|u?int[24]")


@dataclass(frozen=True)
class KernelArgument:
    """One array that a kernel takes, C-contiguous.

    Attributes:
        name: as in the operator's definition.
        role: ``input``, ``output``, or ``prepared`` (weights that were laid out by the kernel itself).
        shape, dtype: what it must be; dtype by numpy's and TVM's common names (``bfloat16``, ``float8_e4m3fn``).
    """

    name: str
    role: str
    shape: tuple[int, ...]
    dtype: str

    @cached_property
    def numpy_dtype(self) -> np.dtype:
        """The numpy dtype, from ``ml_dtypes`` where numpy has none, and without that an unsigned integer for the bits.

        Raises:
            TypeError: there is none that a kernel could have.
        """
        if PLAIN.fullmatch(self.dtype):
            return np.dtype(self.dtype)
        if NARROW.fullmatch(self.dtype):
            try:
                import ml_dtypes
            except ImportError:
                return np.dtype(np.uint16 if self.dtype == "bfloat16" else np.uint8)
            found = getattr(ml_dtypes, self.dtype, None)
            if isinstance(found, type) and np.dtype(found).name == self.dtype:
                return np.dtype(found)
        raise TypeError(f"{self.dtype!r} is not a dtype of kernels")

    @cached_property
    def nbytes(self) -> int:
        """Bytes it holds."""
        return prod(self.shape) * self.numpy_dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"
