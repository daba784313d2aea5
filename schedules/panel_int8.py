"""Formats of panels of int8 weights, whose sums are integers."""

from __future__ import annotations

from typing import ClassVar

from schedules.llvm_text import Text
from schedules.panel_format import Format


class Int8Words(Format):
    """int8 become 16 bits, and a product is the sum of two; ``vpmaddwd`` on x86."""

    stored, depth, steps, together = "int8", 2, 1, 2
    activation = "int16"

    @property
    def operand(self) -> str:
        return f"<{2 * self.lanes} x i16>"

    def read(self, text: Text, address: str) -> list[str]:
        narrow = f"<{2 * self.lanes} x i8>"
        return [text.op(f"sext {narrow} {text.load(narrow, address, 1)} to {self.operand}")]

    def product(self, text: Text, row: str, weight: str, total: str) -> str:
        # LLVM makes one instruction of this where the chip has it.
        halves = []
        for parity in (0, 1):
            lanes = range(parity, 2 * self.lanes, 2)
            both = (text.pick("i16", 2 * self.lanes, operand, lanes) for operand in (row, weight))
            wide = [text.op(f"sext <{self.lanes} x i16> {half} to {self.sums}") for half in both]
            halves.append(text.op(f"mul nsw {self.sums} {wide[0]}, {wide[1]}"))
        return text.op(f"add {self.sums} {text.op(f'add nsw {self.sums} {halves[0]}, {halves[1]}')}, {total}")


class _Int8Quads(Format):
    """Products are the sums of four."""

    stored, depth, steps, together = "int8", 4, 1, 4

    @property
    def operand(self) -> str:
        return f"<{4 * self.lanes} x i8>"

    def read(self, text: Text, address: str) -> list[str]:
        return [text.load(self.operand, address, 1)]


class Int8Vnni(_Int8Quads):
    """Activations without a sign times int8 weights by ``vpdpbusd`` of AVX512-VNNI or AVX-VNNI."""

    activation, offset = "uint8", 128

    @property
    def _multiply(self) -> str:
        return f"{self.sums} @llvm.x86.avx512.vpdpbusd.{32 * self.lanes}"

    @property
    def declarations(self) -> str:
        return f"declare {self._multiply}({self.sums}, {self.operand}, {self.operand})\n"

    def product(self, text: Text, row: str, weight: str, total: str) -> str:
        operands = f"{self.operand} {row}, {self.operand} {weight}"
        return text.op(f"call {self._multiply}({self.sums} {total}, {operands})")


class Int8Dot(_Int8Quads):
    """``sdot`` of Armv8.2, four lanes at a time."""

    activation = "int8"
    _multiply: ClassVar[str] = "<4 x i32> @llvm.aarch64.neon.sdot.v4i32.v16i8"

    @property
    def declarations(self) -> str:
        return f"declare {self._multiply}(<4 x i32>, <16 x i8>, <16 x i8>)\n"

    def product(self, text: Text, row: str, weight: str, total: str) -> str:
        parts = []
        for at in range(0, self.lanes, 4):
            acc = text.pick("i32", self.lanes, total, range(at, at + 4))
            a, b = (text.pick("i8", 4 * self.lanes, v, range(4 * at, 4 * at + 16)) for v in (row, weight))
            parts.append(text.op(f"call {self._multiply}(<4 x i32> {acc}, <16 x i8> {a}, <16 x i8> {b})"))
        return text.joined("i32", 4, parts)
