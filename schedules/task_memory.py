"""Memory of a task that functions in LLVM text work on: one buffer, divided into regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Bytes of a cache line.
LINE = 64


def ceiling(value: int, step: int) -> int:
    """``value`` rounded up to a multiple of ``step``."""
    return -(-value // step) * step


def spaced(elements: int) -> int:
    """Elements from one row of a gathered block to the next: an odd number of cache lines.

    Rows apart by a power of two would all be kept in the same few places of the first-level cache.
    """
    return (-(-elements * 4 // LINE) | 1) * LINE // 4


@dataclass(frozen=True)
class Region:
    """A part of a float32 buffer of our own.

    TVM lets buffers share memory, and shrinks them, by the accesses that it sees; a function that is given an address
    makes none. So a task has one buffer, its last element is written where TVM sees it, and regions divide it.
    """

    buffer: Any
    start: Any

    def at(self, index: Any = 0) -> Any:
        """The address of an element."""
        from tvm.script.ir_builder import tirx as T

        return T.address_of(self.buffer[self.start + index])

    def get(self, index: Any) -> Any:
        """An element."""
        return self.buffer[self.start + index]

    def put(self, index: Any, value: Any) -> None:
        """Write an element, 32 bits of any kind."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        T.buffer_store(self.buffer, tirx.reinterpret("float32", value), [self.start + index])

    def fill(self, count: int, lanes: int, value: float) -> None:
        """Set ``count`` elements, whole vectors."""
        from tvm.script.ir_builder import tirx as T

        with T.serial(0, count // lanes) as i, T.vectorized(0, lanes) as lane:
            T.buffer_store(self.buffer, T.float32(value), [self.start + (i * lanes + lane)])


def allocate(sizes: Mapping[str, int]) -> dict[str, Region]:
    """A buffer with a region of each size, in elements."""
    from tvm.script.ir_builder import tirx as T

    starts, total = {}, 0
    for name, size in sizes.items():
        starts[name] = total
        total += ceiling(size, LINE // 4)
    buffer = T.alloc_buffer((total,), "float32")
    T.buffer_store(buffer, T.float32(0), [total - 1])
    return {name: Region(buffer, start) for name, start in starts.items()}


def call(function: str, *arguments: Any) -> None:
    """Call a function of the imported text."""
    from tvm.script.ir_builder import tirx as T

    T.evaluate(T.call_extern("void", function, *arguments))


def first_of(place: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first channel of a row. (Python 3.10 has no star in a subscript.)"""
    return (*place, 0)
