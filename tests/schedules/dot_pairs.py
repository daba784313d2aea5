"""Products of pairs of bfloat16 in instructions that every chip has, for tests on chips without ``dpbf16ps``."""

from __future__ import annotations

from schedules.tile_kernel import Tile
from schedules.vector_text import Function


def emulated(tile: Tile, f: Function, a: str, b: str, c: str) -> str:
    """``c + a0 b0 + a1 b1`` in each lane; takes the place of ``Tile._step``."""
    if not tile.pairs:
        return f.multiply_add(a, b, c)
    left, right = (f.op(f"bitcast {f.floats} {x} to {f.words}") for x in (a, b))
    for shift in (16, 0):
        halves = []
        for word in (left, right):
            moved = f.op(f"shl {f.words} {word}, {f.word(shift)}")
            kept = f.op(f"and {f.words} {moved}, {f.word(-65536)}")
            halves.append(f.op(f"bitcast {f.words} {kept} to {f.floats}"))
        c = f.multiply_add(halves[0], halves[1], c)
    return c
