"""Formats of panels of fp8 and fp4 weights: how codes become float32 or bfloat16 in registers."""

from __future__ import annotations

from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from schedules.llvm_text import Text, splat
from schedules.panel_floats import widened_pairs
from schedules.panel_format import Format, Pairs


class E4m3Half(Format):
    """e4m3 codes become float16, whose exponent has room for theirs, and then float32."""

    stored, depth, steps, halves, together = "uint8", 4, 4, 2, 2
    factor = 2.0**8

    def read(self, text: Text, address: str) -> list[str]:
        x = text.load(f"<{2 * self.lanes} x i16>", address, 1)
        even, odd = (_halves(text, self.lanes, x, left, 1, 0xBF80) for left in (8, 0))
        return [even[0], odd[0], even[1], odd[1]]


class E2m1Half(Format):
    """e2m1 codes become float16 in the same way; a byte has two of them."""

    stored, depth, steps, halves, together = "uint8", 8, 8, 2, 2
    factor = 2.0**14

    def read(self, text: Text, address: str) -> list[str]:
        x = text.load(f"<{2 * self.lanes} x i16>", address, 1)
        parts = [_halves(text, self.lanes, x, left, 3, 0x8E00) for left in (12, 8, 4, 0)]
        return [part[half] for half in (0, 1) for part in parts]


def _halves(text: Text, lanes: int, words: str, left: int, right: int, mask: int) -> tuple[str, str]:
    """Float32 of the float16 that words shifted left, then right with their sign, and masked are; lower half first."""
    kind = f"<{2 * lanes} x i16>"
    if left:
        words = text.op(f"shl {kind} {words}, {splat(left, 'i16', 2 * lanes)}")
    words = text.op(f"ashr {kind} {words}, {splat(right, 'i16', 2 * lanes)}")
    words = text.op(f"and {kind} {words}, {splat(mask - 65536, 'i16', 2 * lanes)}")
    half = text.op(f"bitcast {kind} {words} to <{2 * lanes} x half>")
    parts = (text.pick("half", 2 * lanes, half, range(at, at + lanes)) for at in (0, lanes))
    low, high = (text.op(f"fpext <{lanes} x half> {part} to <{lanes} x float>") for part in parts)
    return low, high


def _bytes(codes: np.ndarray, high: bool) -> str:
    """The upper or lower bytes of the bfloat16 of few-bit values, as a constant vector."""
    bits = codes.astype(np.float32).astype(ml_dtypes.bfloat16).view(np.uint16)
    found = ((bits >> 8 if high else bits & 0xFF).astype(np.uint8)).view(np.int8)
    return f"<{', '.join(f'i8 {value}' for value in found)}>"


# As ``low_bit.decode_e4m3`` has it, the code of NaN is 480.
_E4M3 = np.append(np.arange(127, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32), np.float32(480))
_E2M1 = np.tile(np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn), 4)
_BYTES = "<64 x i8>"


def _interleaved(text: Text, low: str, high: str, width: int = 64) -> list[str]:
    """Pairs of bytes from lower and upper ones, as ``punpcklbw`` and ``punpckhbw`` leave them."""
    found, kind = [], f"<{width} x i8>"
    for start in (0, 8):
        lanes = [16 * (at // 16) + start + at % 16 // 2 + width * (at % 2) for at in range(width)]
        chosen = ", ".join(f"i32 {lane}" for lane in lanes)
        found.append(text.op(f"shufflevector {kind} {low}, {kind} {high}, <{width} x i32> <{chosen}>"))
    return found


def _nibbles(text: Text, address: str, look: str, width: int) -> list[str]:
    """Bytes of the bfloat16 of ``width`` bytes of e2m1: the lower and the upper half of each, then of the rest.

    ``look`` is the function that looks bytes up in tables of 16.
    """
    kind, words = f"<{width} x i8>", f"<{width // 2} x i16>"
    x = text.load(kind, address, 1)
    four = text.op(f"lshr {words} {text.op(f'bitcast {kind} {x} to {words}')}, {splat(4, 'i16', width // 2)}")
    parts = []
    for code in (x, text.op(f"bitcast {words} {four} to {kind}")):
        nibble = text.op(f"and {kind} {code}, {splat(15, 'i8', width)}")
        low, high = (
            text.op(f"call {kind} @{look}({kind} {_bytes(_E2M1[:width], h)}, {kind} {nibble})") for h in (False, True)
        )
        parts.append(_interleaved(text, low, high, width))
    return [part[half] for half in (0, 1) for part in parts]


def _pairs(text: Text, mixed: list[str]) -> list[str]:
    """Bytes of bfloat16 as such."""
    return [text.op(f"bitcast {_BYTES} {bytes_} to <32 x bfloat>") for bytes_ in mixed]


class E2m1Shuffled(Format):
    """e2m1 codes look up both bytes of their bfloat16 in tables of 16 (AVX2); shifts and masks make them float32."""

    stored, depth, steps, quarters, halves, together = "uint8", 8, 8, 2, 2, 2
    _look: ClassVar[str] = "llvm.x86.avx2.pshuf.b"

    @property
    def declarations(self) -> str:
        return f"declare <32 x i8> @{self._look}(<32 x i8>, <32 x i8>)\n"

    def column(self, step: Any, part: Any) -> Any:
        # A pair of bfloat16 is the same half of two bytes.
        return step // 4 * 4 + step % 4 // 2 + step % 2 * 2

    def read(self, text: Text, address: str) -> list[str]:
        mixed = _nibbles(text, address, self._look, 32)
        words = [text.op(f"bitcast <32 x i8> {bytes_} to <8 x i32>") for bytes_ in mixed]
        return [operand for word in words for operand in widened_pairs(text, word, self.lanes)]


class E4m3Bytes(Pairs):
    """e4m3 codes look up both bytes of their bfloat16 in tables of 128 (AVX512-VBMI); the sign is added."""

    stored, depth, steps, quarters, halves, together = "uint8", 4, 2, 4, 2, 2

    @property
    def declarations(self) -> str:
        look = f"declare {_BYTES} @llvm.x86.avx512.vpermi2var.qi.512({_BYTES}, {_BYTES}, {_BYTES})\n"
        return super().declarations + look

    def read(self, text: Text, address: str) -> list[str]:
        x = text.load(_BYTES, address, 1)
        look = f"call {_BYTES} @llvm.x86.avx512.vpermi2var.qi.512"
        high, low = (
            text.op(f"{look}({_BYTES} {_bytes(_E4M3[:64], h)}, {_BYTES} {x}, {_BYTES} {_bytes(_E4M3[64:], h)})")
            for h in (True, False)
        )
        sign = text.op(f"and {_BYTES} {x}, {splat(-128, 'i8', 64)}")
        return _pairs(text, _interleaved(text, low, text.op(f"or {_BYTES} {high}, {sign}")))


class E2m1Bytes(Pairs):
    """e2m1 codes look up both bytes of their bfloat16 in tables of 16 (AVX-512)."""

    stored, depth, steps, quarters, halves, together = "uint8", 8, 4, 4, 2, 2
    _look: ClassVar[str] = "llvm.x86.avx512.pshuf.b.512"

    @property
    def declarations(self) -> str:
        return super().declarations + f"declare {_BYTES} @{self._look}({_BYTES}, {_BYTES})\n"

    def column(self, step: Any, part: Any) -> Any:
        # A pair is the same half of two bytes.
        return step // 2 * 4 + step % 2 + part * 2

    def read(self, text: Text, address: str) -> list[str]:
        return _pairs(text, _nibbles(text, address, self._look, 64))
