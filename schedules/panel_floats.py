"""Formats of panels of float32 and bfloat16 weights."""

from __future__ import annotations

from schedules.llvm_text import Text, splat
from schedules.panel_format import Format, Pairs


class Float32(Format):
    """float32 as it is."""

    stored, depth, steps = "float32", 1, 1

    def read(self, text: Text, address: str) -> list[str]:
        return [text.load(self.operand, address, 4)]


class Bfloat16Wide(Format):
    """Two bfloat16 in 32 bits become two float32 by a shift and a mask."""

    stored, depth, steps, together = "uint16", 2, 2, 2

    def read(self, text: Text, address: str) -> list[str]:
        return widened_pairs(text, text.load(f"<{self.lanes} x i32>", address, 2), self.lanes)


class Bfloat16Pairs(Pairs):
    """Two bfloat16 in 32 bits are what ``dpbf16ps`` takes."""

    stored, depth, steps, together = "uint16", 2, 1, 2

    def read(self, text: Text, address: str) -> list[str]:
        return [text.load(self.operand, address, 2)]


def widened_pairs(text: Text, words: str, lanes: int) -> list[str]:
    """The float32 of the lower and of the upper bfloat16 in each of ``lanes`` 32-bit words."""
    kind = f"<{lanes} x i32>"
    even = text.op(f"shl {kind} {words}, {splat(16, 'i32', lanes)}")
    odd = text.op(f"and {kind} {words}, {splat(-65536, 'i32', lanes)}")
    return [text.op(f"bitcast {kind} {value} to <{lanes} x float>") for value in (even, odd)]
