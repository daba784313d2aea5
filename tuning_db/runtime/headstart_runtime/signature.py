"""The arrays that a kernel takes, and what is checked of those it is given; needs numpy and tvm-ffi, no compiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm_ffi

from headstart_runtime.argument import PLAIN, KernelArgument
from headstart_runtime.dlpack import DIRECT, ON_CPU, learn, raw, template, tensor


class Signature:
    """The arguments of a kernel, outputs last, and the checks of arrays that are given for them.

    Args:
        name: what errors call the kernel.
        arguments: inputs, then outputs.
    """

    def __init__(self, name: str, arguments: Sequence[KernelArgument]) -> None:
        self.name, self.arguments = name, tuple(arguments)
        self.first_output = sum(a.role != "output" for a in self.arguments)
        self._plain = tuple(a.numpy_dtype if PLAIN.fullmatch(a.dtype) else None for a in self.arguments)
        self._itemsizes = tuple(a.numpy_dtype.itemsize for a in self.arguments)
        # Each output with each other argument, and their bytes.
        outputs, sizes = range(self.first_output, len(self.arguments)), [a.nbytes for a in self.arguments]
        self._pairs = [(at, to, sizes[at], sizes[to]) for at in outputs for to in range(len(sizes)) if to != at]
        self._templates = tuple(template(a.shape, a.dtype) for a in self.arguments)

    def call(self, function: Callable[..., Any], arrays: Sequence[Any], fresh: bool = False) -> None:
        """Call a compiled function on arrays, none of them copied.

        The function checks shapes, types, strides and device itself. What it takes on trust is checked here: that
        arrays start at whole elements (torch's and tvm-ffi's do), and that outputs share memory with nothing.

        Args:
            function: takes an array for each argument.
            arrays: of numpy, torch or another library with DLPack.
            fresh: the outputs were allocated for this call, and share memory with nothing.

        Raises:
            TypeError, ValueError: what is wrong with an array, in one line that names the argument; nothing was
                computed.
        """
        passed: Sequence[Any] = arrays
        starts: Sequence[int] = ()
        try:
            if not DIRECT.issuperset(map(type, arrays)):
                passed, starts = zip(*map(self._pass_on, arrays, range(len(self.arguments))), strict=True)
                right = not any(start % size for start, size in zip(starts, self._itemsizes, strict=True))
            else:
                right = True
            if right and (fresh or self._overlap(starts or [a.data_ptr() for a in arrays]) is None):
                function(*passed)
                return
            error: Exception | None = None
        except (TypeError, ValueError, BufferError) as raised:
            error = raised
        raise self.problem(self.tensors(arrays)) or error or ValueError(f"{self.name}: an array cannot be used")

    def _pass_on(self, array: Any, at: int) -> tuple[Any, int]:
        """What to pass for an array, and where it starts.

        Raises:
            TypeError, ValueError, BufferError: it cannot be shared; ``problem`` says why.
        """
        if type(array) is np.ndarray:
            flags = array.flags
            # numpy has one object for each of its own dtypes; comparing names takes microseconds.
            if array.dtype is not self._plain[at] or not flags.writeable:
                wanted = self.arguments[at]
                fits = array.shape == wanted.shape and array.dtype == wanted.numpy_dtype and flags.c_contiguous
                if not fits or (at >= self.first_output and not flags.writeable):
                    raise ValueError
                return raw(array, self._templates[at])
            made = tvm_ffi.from_dlpack(array)
        else:
            learn(array)
            made = tensor(array)
        return made, made.data_ptr()

    def _overlap(self, starts: Sequence[int]) -> tuple[int, int] | None:
        """An output and another argument that share memory."""
        for at, other, size, length in self._pairs:
            start, begin = starts[at], starts[other]
            if begin < start + size and start < begin + length:
                return at, other
        return None

    def tensors(self, arrays: Sequence[Any]) -> list[tvm_ffi.Tensor]:
        """The arrays as tensors that share their memory, for as long as one likes.

        Raises:
            TypeError: something that is no array.
            ValueError: an array that cannot be shared, or a read-only output.
        """
        return [self._tensor(argument, array) for argument, array in zip(self.arguments, arrays, strict=True)]

    def _tensor(self, argument: KernelArgument, array: Any) -> tvm_ffi.Tensor:
        if isinstance(array, tvm_ffi.Tensor):
            return array
        try:
            if argument.role == "output" and isinstance(array, np.ndarray) and not array.flags.writeable:
                raise ValueError("the array is read-only")
            if isinstance(array, np.ndarray) and array.dtype == argument.numpy_dtype:
                return tensor(array, argument.dtype)
            return tensor(array)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.name}: {argument.role} {argument.name!r}: {error}") from None

    def problem(self, tensors: Sequence[tvm_ffi.Tensor]) -> Exception | None:
        """What is wrong with arguments, in one line; None where they are what they must be."""
        starts = [given.data_ptr() for given in tensors]
        for argument, given, start, size in zip(self.arguments, tensors, starts, self._itemsizes, strict=True):
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
            if start % size:
                return ValueError(f"{where} does not start at a whole {argument.dtype}")
        if (found := self._overlap(starts)) is not None:
            output, other = (self.arguments[at].name for at in found)
            return ValueError(f"{self.name}: output {output!r} shares memory with {other!r}")
        return None
