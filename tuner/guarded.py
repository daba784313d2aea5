"""Arrays between guards: a kernel that writes where it must not is found out, or ends its process on the spot.

An array has memory of its own. Behind it, as close as the alignment lets it be, and before it are pages that may be
neither read nor written; the few bytes between array and pages hold a pattern that is looked at after a trial. An
array that is only read is made so for the processor too: a kernel that overwrites its input ends.
"""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import dataclass

import numpy as np

from headstart_runtime.memory import CACHE_LINE

# Bytes before and behind an array that may not be touched; they are addresses only, no memory.
GUARD = 16 << 20
# What the bytes around an array hold.
PATTERN = 0xC9
# From this size on, large pages are asked for, as numpy and frameworks do: reading many small ones is slower.
LARGE = 4 << 20


@dataclass(frozen=True)
class Guarded:
    """An array, and the bytes before and behind it that nobody has any business with."""

    array: np.ndarray
    before: np.ndarray
    behind: np.ndarray

    def harm(self) -> str | None:
        """What was done to the surroundings; None if nothing was."""
        if (self.before != PATTERN).any():
            return "written before its start"
        return "written behind its end" if (self.behind != PATTERN).any() else None

    def mend(self) -> None:
        """Put the surroundings in order again, for the next trial."""
        self.before[:] = self.behind[:] = PATTERN


def guard(array: np.ndarray, writable: bool = False) -> Guarded:
    """Move an array between guards.

    Args:
        array: of any shape and type; it is copied.
        writable: whether the array itself may be written to.

    Raises:
        MemoryError: there is no room.
    """
    page = mmap.PAGESIZE
    # At least a cache line before the array, less than one behind it.
    room = -(-(array.nbytes + CACHE_LINE) // page) * page
    try:
        memory = mmap.mmap(-1, room + 2 * GUARD, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(str(error)) from None
    if room >= LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, np.uint8)
    start = (GUARD + room - array.nbytes) // CACHE_LINE * CACHE_LINE
    end = start + array.nbytes
    whole[GUARD:start] = whole[end : GUARD + room] = PATTERN
    moved = whole[start:end]
    moved[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    _protect(whole[:GUARD], 0)
    _protect(whole[GUARD + room :], 0)
    if not writable:
        moved.flags.writeable = False
        _protect(whole[GUARD : GUARD + room], mmap.PROT_READ)
    return Guarded(moved.view(array.dtype).reshape(array.shape), whole[GUARD:start], whole[end : GUARD + room])


def _protect(pages: np.ndarray, access: int) -> None:
    """Say what may be done with whole pages."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(pages.ctypes.data), ctypes.c_size_t(pages.nbytes), access):
        raise OSError(ctypes.get_errno(), "cannot protect the guards of an array")
