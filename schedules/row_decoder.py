"""Rows of few-bit or bfloat16 numbers as float32 or as pairs of bfloat16, in vectors that any chip has.

Every e4m3 number, and every e2m1 number times a power of two, is a bfloat16 number, so both forms are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from schedules.block_scaled import MX_GROUP
from schedules.vector_text import Function


@dataclass(frozen=True)
class RowDecoder:
    """Writes ``(row, scales, out)``: ``dim`` numbers of a row.

    Attributes:
        lanes: of a vector.
        dtype: ``bfloat16``, ``float8_e4m3fn``, or ``float4_e2m1fn``: pairs in bytes, the even one in the low bits, with
            ``scales`` in ue8m0 for 32 numbers each.
        dim: numbers, of fp4 a multiple of 32.
        pairs: whether to write bfloat16, not float32; an odd number is followed by a zero.
        group: numbers of fp8 that share one of ``scales``; 0 is no scales.
        scale: of fp8, ``float32`` or ``ue8m0``; with ``pairs`` the latter.
    """

    lanes: int
    dtype: str
    dim: int
    pairs: bool
    group: int = 0
    scale: str = "ue8m0"

    def function(self) -> Function:
        """The function."""
        f = Function(self.lanes, "ptr noalias %row, ptr noalias %scales, ptr noalias %out")
        if self.dtype == "float4_e2m1fn":
            return self._fp4(f)
        element = "i16" if self.dtype == "bfloat16" else "i8"
        if self.group:
            return self._scaled(f)

        def block(at: str, _: list[str]) -> list[str]:
            codes = f.read(f"<{self.lanes} x {element}>", f.place("%row", at, element))
            self._write(f, self._value(f, codes, element), at)
            return []

        whole = self.dim // self.lanes * self.lanes
        if whole:
            f.loop(whole, [], block, self.lanes, rolled=True)
        if whole < self.dim:
            # A vector of the last numbers and zeros, for which a row of whole vectors has room.
            codes = f.few(element, f.place("%row", whole, element), self.dim - whole)
            self._write(f, self._value(f, codes, element), whole)
        return f

    def _value(self, f: Function, codes: str, element: str) -> str:
        """The float32 bits of codes."""
        if element == "i16":
            return f.widen(codes)
        words = f.op(f"sext <{self.lanes} x i8> {codes} to {f.words}")
        bits = f.op(f"shl {f.words} {f.op(f'and {f.words} {words}, {f.word(127)}')}, {f.word(20)}")
        # Exponents are 120 smaller than in float32. Numbers below the normal ones have 0 for 1 as their exponent, and
        # no leading one: it is put there and subtracted again, since denormals are slow.
        small = f.op(f"icmp ult {f.words} {bits}, {f.word(1 << 23)}")
        normal = f.op(f"add {f.words} {bits}, {f.word(120 << 23)}")
        raised = f.op(f"bitcast {f.words} {f.op(f'add {f.words} {bits}, {f.word(121 << 23)}')} to {f.floats}")
        below = f.op(f"fsub {f.floats} {raised}, {f.constant(2.0**-6)}")
        below = f.op(f"bitcast {f.floats} {below} to {f.words}")
        size = f.op(f"select <{self.lanes} x i1> {small}, {f.words} {below}, {f.words} {normal}")
        return f.op(f"or {f.words} {size}, {f.op(f'and {f.words} {words}, {f.word(-(1 << 31))}')}")

    def _write(self, f: Function, bits: str, at: str | int) -> None:
        """Store float32 bits at number ``at``."""
        if not self.pairs:
            f.write(f.words, bits, f.place("%out", at))
            return
        high = f.op(f"lshr {f.words} {bits}, {f.word(16)}")
        half = f"<{self.lanes} x i16>"
        f.write(half, f.op(f"trunc {f.words} {high} to {half}"), f.place("%out", at, "i16"))

    def _scale(self, f: Function, at: str | int) -> str:
        """Scale ``at`` in all lanes."""
        if self.scale == "float32":
            return f.everywhere(f.read("float", f.place("%scales", at)))
        code = f.op(f"zext i8 {f.read('i8', f.place('%scales', at, 'i8'))} to i32")
        return f.everywhere(f.op(f"bitcast i32 {f.op(f'shl i32 {code}, 23')} to float"))

    def _scaled(self, f: Function) -> Function:
        """Groups of fp8 that share a scale, whole vectors each but for the last group."""

        def vector(scale: str, at: str | int, count: int) -> None:
            from_ = f.place("%row", at, "i8")
            kind = f"<{self.lanes} x i8>"
            codes = f.read(kind, from_) if count >= self.lanes else f.few("i8", from_, count)
            value = f.op(f"bitcast {f.words} {self._value(f, codes, 'i8')} to {f.floats}")
            self._write(f, f.op(f"bitcast {f.floats} {f.op(f'fmul {f.floats} {value}, {scale}')} to {f.words}"), at)

        def group(at: str, _: list[str]) -> list[str]:
            scale, start = self._scale(f, at), f.op(f"mul nuw nsw i64 {at}, {self.group}")
            for first in range(0, self.group, self.lanes):
                vector(scale, f.op(f"add nuw nsw i64 {start}, {first}"), self.lanes)
            return []

        whole = self.dim // self.group
        if whole:
            f.loop(whole, [], group, rolled=True)
        if self.dim % self.group:
            scale = self._scale(f, whole)
            for first in range(whole * self.group, self.dim, self.lanes):
                vector(scale, first, self.dim - first)
        return f

    def _fp4(self, f: Function) -> Function:
        """Groups of numbers that share a scale; vectors of at most a group."""
        lanes = min(self.lanes, MX_GROUP // 2)

        def group(at: str, _: list[str]) -> list[str]:
            scale = self._scale(f, at)
            start = f.op(f"mul nuw nsw i64 {at}, {MX_GROUP}")
            for first in range(0, MX_GROUP, 2 * lanes):
                to = f.op(f"add nuw nsw i64 {start}, {first}")
                from_ = f.place("%row", f.op(f"lshr i64 {to}, 1"), "i8")
                codes = f.op(f"zext <{lanes} x i8> {f.read(f'<{lanes} x i8>', from_)} to {f.words}")
                both = [codes, f.op(f"lshr {f.words} {codes}, {f.word(4)}")]
                even, odd = (self._nibble(f, nibble, scale) for nibble in both)
                for half in range(2):
                    mixed = [f"i32 {half * lanes // 2 + lane // 2 + lanes * (lane % 2)}" for lane in range(lanes)]
                    order = f"<{lanes} x i32> <{', '.join(mixed)}>"
                    bits = f.op(f"shufflevector {f.words} {even}, {f.words} {odd}, {order}")
                    self._write(f, bits, f.op(f"add nuw nsw i64 {to}, {half * lanes}"))
            return []

        f.loop(self.dim // MX_GROUP, [], group, rolled=True)
        return f

    def _nibble(self, f: Function, codes: str, scale: str) -> str:
        """The float32 bits of the lowest four bits of each lane, times the scale."""
        size = f.op(f"and {f.words} {codes}, {f.word(7)}")
        # From 1 on a code is an exponent and one bit, 126 smaller than in float32; the two codes below are 0 and 1/2.
        bits = f.op(f"add {f.words} {f.op(f'shl {f.words} {size}, {f.word(22)}')}, {f.word(126 << 23)}")
        half = f.op(f"mul {f.words} {size}, {f.word(126 << 23)}")
        small = f.op(f"icmp ult {f.words} {size}, {f.word(2)}")
        bits = f.op(f"select <{self.lanes} x i1> {small}, {f.words} {half}, {f.words} {bits}")
        sign = f.op(f"shl {f.words} {f.op(f'and {f.words} {codes}, {f.word(8)}')}, {f.word(28)}")
        value = f.op(f"bitcast {f.words} {f.op(f'or {f.words} {bits}, {sign}')} to {f.floats}")
        return f.op(f"bitcast {f.floats} {f.op(f'fmul {f.floats} {value}, {scale}')} to {f.words}")
