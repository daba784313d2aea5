"""Memory that two processes see: arrays go into a sandbox and results come out without anything being parsed."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Sequence
from math import prod

import numpy as np

from schedules.workload import Argument, numpy_dtype

ALIGNMENT = 4096
# Seals of Linux's memfd: the size stays as it is; nobody else may write from now on.
SHRINK, GROW, FUTURE_WRITE = 0x2, 0x4, 0x10
ADD_SEALS = 1033


class Shared:
    """Arrays one after the other in memory that a child process inherits by its file descriptor.

    Args:
        arguments: shapes and types of the arrays.
        ours: whether this process alone may write to it.
    """

    def __init__(self, arguments: Sequence[Argument], ours: bool) -> None:
        size = total(arguments)
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("headstart", os.MFD_ALLOW_SEALING)
        else:
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        os.ftruncate(self.descriptor, size)
        self._memory = mmap.mmap(self.descriptor, size)
        if hasattr(os, "memfd_create"):
            import fcntl

            fcntl.fcntl(self.descriptor, ADD_SEALS, SHRINK | GROW | (FUTURE_WRITE if ours else 0))
        self.arrays = arrays(self._memory, arguments)

    def close(self) -> None:
        """Give it back; arrays that are still held keep it."""
        self.arrays = []
        with contextlib.suppress(BufferError):
            self._memory.close()
        os.close(self.descriptor)


def attach(descriptor: int, arguments: Sequence[Argument], write: bool) -> list[np.ndarray]:
    """The arrays of a ``Shared`` in the process that inherited it."""
    access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
    return arrays(mmap.mmap(descriptor, total(arguments), access=access), arguments)


def arrays(memory: mmap.mmap, arguments: Sequence[Argument]) -> list[np.ndarray]:
    """Views of the memory."""
    found, at = [], 0
    for argument in arguments:
        flat = np.frombuffer(memory, np.uint8, argument.nbytes, at)
        found.append(flat.view(numpy_dtype(argument.dtype)).reshape(argument.shape))
        at += _room(argument)
    return found


def total(arguments: Sequence[Argument]) -> int:
    """Bytes of memory that hold them."""
    return max(ALIGNMENT, sum(map(_room, arguments)))


def _room(argument: Argument) -> int:
    size = prod(argument.shape) * numpy_dtype(argument.dtype).itemsize
    return -(-size // ALIGNMENT) * ALIGNMENT
