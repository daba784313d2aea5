"""The arrays that a kernel takes, and what is checked of those it is given; needs numpy and tvm-ffi, no compiler."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import tvm_ffi

from headstart_runtime.dlpack import ON_CPU, tensor

# Types that numpy has itself; the rest are in ml_dtypes.
PLAIN = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")


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
        """The numpy dtype, from ``ml_dtypes`` where numpy has none.

        Raises:
            TypeError: there is none that a kernel could have.
        """
        if PLAIN.fullmatch(self.dtype):
            return np.dtype(self.dtype)
        import ml_dtypes

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


class Signature:
    """The arguments of a kernel, outputs last, and the checks of arrays that are given for them.

    Args:
        name: what errors call the kernel.
        arguments: inputs, then outputs.
    """

    def __init__(self, name: str, arguments: Sequence[KernelArgument]) -> None:
        self.name, self.arguments = name, tuple(arguments)
        self.first_output = sum(a.role != "output" for a in self.arguments)
        self._itemsizes = tuple(a.numpy_dtype.itemsize for a in self.arguments)
        self._sizes = tuple(a.nbytes for a in self.arguments)

    def tensors(self, arrays: Sequence[Any]) -> list[tvm_ffi.Tensor]:
        """The arrays as tensors that share their memory.

        Raises:
            TypeError: something that is no array.
            ValueError: a read-only output, an output that overlaps another argument.
        """
        made = [self._tensor(argument, array) for argument, array in zip(self.arguments, arrays, strict=True)]
        self._check_memory(made)
        return made

    def _tensor(self, argument: KernelArgument, array: Any) -> tvm_ffi.Tensor:
        if isinstance(array, tvm_ffi.Tensor):
            return array
        try:
            if argument.role == "output" and isinstance(array, np.ndarray) and not array.flags.writeable:
                raise ValueError("the array is read-only")
            return tensor(array)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}: {argument.role} {argument.name!r}: {error}") from None

    def _check_memory(self, tensors: Sequence[tvm_ffi.Tensor]) -> None:
        """Check what a compiled function takes on trust: whole elements, outputs that share memory with nothing."""
        starts = [given.data_ptr() for given in tensors]
        for argument, start, itemsize in zip(self.arguments, starts, self._itemsizes, strict=True):
            if start % itemsize:
                raise self.problem(tensors) or ValueError(
                    f"{self.name}: {argument.role} {argument.name!r} does not start at a whole {argument.dtype}"
                )
        for at in range(self.first_output, len(self.arguments)):
            start, end = starts[at], starts[at] + self._sizes[at]
            for other, (begin, size) in enumerate(zip(starts, self._sizes, strict=True)):
                if begin < end and start < begin + size and other != at:
                    raise self.problem(tensors) or ValueError(
                        f"{self.name}: output {self.arguments[at].name!r} shares memory with "
                        f"{self.arguments[other].name!r}"
                    )

    def problem(self, tensors: Sequence[tvm_ffi.Tensor]) -> Exception | None:
        """What is wrong with arguments, in one line; None where each by itself is what it must be."""
        for argument, given in zip(self.arguments, tensors, strict=True):
            where = f"{self.name}: {argument.role} {argument.name!r}"
            shape = ", ".join(map(str, given.shape))
            if str(given.dtype) != argument.dtype:
                return TypeError(f"{where} is {given.dtype}[{shape}], must be {argument}")
            if tuple(given.shape) != argument.shape:
                return ValueError(f"{where} is {given.dtype}[{shape}], must be {argument}")
            if given.__dlpack_device__()[0] != ON_CPU:
                return ValueError(f"{where} is on {given.device}, must be in CPU memory")
            if not given.is_contiguous():
                return ValueError(f"{where} is not C-contiguous; copy it with ascontiguousarray or contiguous()")
        return None
