"""Arrays in files that a program inherits open and maps: gigabytes reach it without being copied through a pipe."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass

import numpy as np

from headstart_runtime.memory import CACHE_LINE
from tuner.guarded import PATTERN

# Of the machines that are emulated.
PAGE = 4096
# Bytes written or read at once; more than 2 GiB is not possible.
CHUNK = 1 << 30


@dataclass(frozen=True)
class ArrayFile:
    """A file in memory that holds an array, as near to the end of its last page as alignment lets it be.

    The few bytes before and behind the array hold a pattern that tells whether a program wrote there.

    Attributes:
        descriptor: of the file; it has no name.
        start: where the array starts.
        size: bytes of the array.
        room: bytes of the file, whole pages.
    """

    descriptor: int
    start: int
    size: int
    room: int

    @classmethod
    def of(cls, array: np.ndarray) -> ArrayFile:
        """A file with a copy of a contiguous array.

        Raises:
            MemoryError: there is no room.
        """
        room = -(-(array.nbytes + CACHE_LINE) // PAGE) * PAGE
        start = (room - array.nbytes) // CACHE_LINE * CACHE_LINE
        descriptor = os.memfd_create("headstart")
        made = cls(descriptor, start, array.nbytes, room)
        try:
            os.truncate(descriptor, room)
            made.write(array)
        except OSError as error:
            os.close(descriptor)
            raise MemoryError(str(error)) from None
        return made

    def write(self, array: np.ndarray) -> None:
        """Put an array there, and the pattern around it in order."""
        end = self.start + self.size
        os.pwrite(self.descriptor, bytes([PATTERN]) * self.start, 0)
        os.pwrite(self.descriptor, bytes([PATTERN]) * (self.room - end), end)
        data = _bytes(array)
        for at in range(0, self.size, CHUNK):
            os.pwrite(self.descriptor, data[at : at + CHUNK], self.start + at)

    def read(self, array: np.ndarray) -> None:
        """Copy what is there into an array."""
        data = _bytes(array)
        for at in range(0, self.size, CHUNK):
            os.preadv(self.descriptor, [data[at : at + CHUNK]], self.start + at)

    def harm(self) -> str | None:
        """What was done to the surroundings; None if nothing was."""
        end = self.start + self.size
        if set(os.pread(self.descriptor, self.start, 0)) - {PATTERN}:
            return "written before its start"
        behind = os.pread(self.descriptor, self.room - end, end)
        return "written behind its end" if set(behind) - {PATTERN} else None

    def close(self) -> None:
        """Give it back."""
        os.close(self.descriptor)


class Kept:
    """Files of arrays that nobody writes to: made when first asked for, gone when the array is."""

    def __init__(self) -> None:
        self._files: dict[int, ArrayFile] = {}

    def file(self, array: np.ndarray) -> ArrayFile:
        """The file of a read-only array.

        Raises:
            MemoryError: there is no room.
        """
        key = id(array)
        if key not in self._files:
            self._files[key] = ArrayFile.of(array)
            weakref.finalize(array, self._drop, key)
        return self._files[key]

    def _drop(self, key: int) -> None:
        self._files.pop(key).close()


def described(file: ArrayFile, array: np.ndarray, writable: bool) -> str:
    """An array as ``run.c`` reads it from its command line."""
    shape = ",".join(map(str, array.shape))
    return ":".join(map(str, (file.descriptor, file.start, file.size, int(writable), shape)))


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
