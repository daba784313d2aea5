"""Arrays between guards: a kernel that writes where it must not is found out, or ends its process on the spot.

An array has memory of its own. Behind it, as close as the alignment lets it be, and before it are pages that may be
neither read nor written; the few bytes between array and pages hold a pattern that is looked at after a trial. An
array that is only read is sealed, for the processor too: a kernel that overwrites its input ends.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from headstart_runtime.memory import CACHE_LINE

# Bytes before and behind an array that may not be touched; they are addresses only, no memory.
GUARD = 16 << 20
# What the bytes around an array hold.
PATTERN = 0xC9
# From this size on, large pages are asked for, as numpy and frameworks do: reading many small ones is slower.
LARGE = 4 << 20


@dataclass(frozen=True)
class Guarded:
    """An array, and the bytes before and behind it that nobody has any business with; ``pages`` are those of all."""

    array: np.ndarray
    before: np.ndarray
    behind: np.ndarray
    pages: np.ndarray

    def harm(self) -> str | None:
        """What was done to the surroundings; None if nothing was."""
        if (self.before != PATTERN).any():
            return "written before its start"
        return "written behind its end" if (self.behind != PATTERN).any() else None

    def mend(self) -> None:
        """Put the surroundings in order again, for the next trial."""
        self.before[:] = self.behind[:] = PATTERN

    def seal(self) -> None:
        """From now on nobody may write to the array."""
        self.array.flags.writeable = False
        _protect(self.pages, mmap.PROT_READ)


def guarded_empty(shape: Sequence[int], dtype: DTypeLike) -> Guarded:
    """A new array between guards, to be written to.

    Raises:
        MemoryError: there is no room.
    """
    array_type = np.dtype(dtype)
    size = math.prod(shape) * array_type.itemsize
    # At least a cache line before the array, less than one behind it.
    room = -(-(size + CACHE_LINE) // mmap.PAGESIZE) * mmap.PAGESIZE
    try:
        memory = mmap.mmap(-1, room + 2 * GUARD, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(str(error)) from None
    if room >= LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, np.uint8)
    start = (GUARD + room - size) // CACHE_LINE * CACHE_LINE
    end = start + size
    whole[GUARD:start] = whole[end : GUARD + room] = PATTERN
    _protect(whole[:GUARD], 0)
    _protect(whole[GUARD + room :], 0)
    array = whole[start:end].view(array_type).reshape(shape)
    return Guarded(array, whole[GUARD:start], whole[end : GUARD + room], whole[GUARD : GUARD + room])


def guard(array: np.ndarray) -> Guarded:
    """A copy of an array between guards, sealed.

    Raises:
        MemoryError: there is no room.
    """
    made = guarded_empty(array.shape, array.dtype)
    made.array[...] = array
    made.seal()
    return made


def _protect(pages: np.ndarray, access: int) -> None:
    """Say what may be done with whole pages."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(pages.ctypes.data), ctypes.c_size_t(pages.nbytes), access):
        raise OSError(ctypes.get_errno(), "cannot protect the guards of an array")
