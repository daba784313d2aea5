"""How weights lie in panels, and how a vector of them is read: one format for each storage type and kind of chip.

A panel holds the weights of ``vectors x lanes`` output columns. Along k it is cut into units; in a unit each vector of
columns has its elements together, in the order in which the chip turns them into operands with the fewest
instructions. An element is a number, or for fp4 a byte of two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from schedules.llvm_text import Text, splat
from targets import Target

# Lanes of the instructions that have one width only.
WIDE = 16


@dataclass(frozen=True)
class Format(ABC):
    """One way to store weights and read them back.

    Attributes:
        lanes: columns in a vector, float32 lanes of the chip.

    A vector's unit is stored as ``[quarters, halves, lanes / quarters, together]`` elements: of column
    ``quarter * lanes / quarters + lane``, elements ``half * together + 0, 1, ...`` of the unit.
    """

    lanes: int
    stored: ClassVar[str]
    """Type of an element in memory, by its bits."""
    depth: ClassVar[int]
    """Columns of k in a unit."""
    steps: ClassVar[int]
    """Products of a vector with a row's operand in a unit; ``depth / steps`` columns of k each."""
    quarters: ClassVar[int] = 1
    halves: ClassVar[int] = 1
    together: ClassVar[int] = 1
    factor: ClassVar[float] = 1.0
    """What decoded values are too small by."""
    declarations: ClassVar[str] = ""
    """Functions of LLVM that ``read`` calls."""

    @property
    def elements(self) -> int:
        """Elements of one column in a unit."""
        return self.halves * self.together

    @property
    def pairs(self) -> bool:
        """Whether a product takes two columns of k at a time, as bfloat16."""
        return self.depth == 2 * self.steps

    @property
    def operand(self) -> str:
        """LLVM type of the vectors of ``read``."""
        return f"<{2 * self.lanes} x bfloat>" if self.pairs else f"<{self.lanes} x float>"

    @property
    def unit_bytes(self) -> int:
        """Bytes of a vector's unit."""
        return self.lanes * self.elements * np.dtype(self.stored).itemsize

    def column(self, step: Any, part: Any) -> Any:
        """Which column of k of the unit the ``part`` of a step (0, or 0 and 1 of a pair) is."""
        return step * (self.depth // self.steps) + part

    @abstractmethod
    def read(self, text: Text, address: str) -> list[str]:
        """The operands of a vector's unit, one a step."""


class Float32(Format):
    """float32 as it is."""

    stored, depth, steps = "float32", 1, 1

    def read(self, text: Text, address: str) -> list[str]:
        return [text.load(self.operand, address, 4)]


class Bfloat16Wide(Format):
    """Two bfloat16 in 32 bits become two float32 by a shift and a mask."""

    stored, depth, steps, together = "uint16", 2, 2, 2

    def read(self, text: Text, address: str) -> list[str]:
        kind = f"<{self.lanes} x i32>"
        x = text.load(kind, address, 2)
        even = text.op(f"shl {kind} {x}, {splat(16, 'i32', self.lanes)}")
        odd = text.op(f"and {kind} {x}, {splat(-65536, 'i32', self.lanes)}")
        return [text.op(f"bitcast {kind} {v} to {self.operand}") for v in (even, odd)]


class Bfloat16Pairs(Format):
    """Two bfloat16 in 32 bits are what ``dpbf16ps`` takes."""

    stored, depth, steps, together = "uint16", 2, 1, 2

    def read(self, text: Text, address: str) -> list[str]:
        return [text.load(self.operand, address, 2)]


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


def _interleaved(text: Text, low: str, high: str) -> list[str]:
    """Pairs of bfloat16 from their lower and upper bytes, as ``punpcklbw`` and ``punpckhbw`` leave them."""
    found = []
    for start in (0, 8):
        lanes = [16 * (at // 16) + start + at % 16 // 2 + 64 * (at % 2) for at in range(64)]
        chosen = ", ".join(f"i32 {lane}" for lane in lanes)
        mixed = text.op(f"shufflevector {_BYTES} {low}, {_BYTES} {high}, <64 x i32> <{chosen}>")
        found.append(text.op(f"bitcast {_BYTES} {mixed} to <32 x bfloat>"))
    return found


class E4m3Bytes(Format):
    """e4m3 codes look up both bytes of their bfloat16 in tables of 128 (AVX512-VBMI); the sign is added."""

    stored, depth, steps, quarters, halves, together = "uint8", 4, 2, 4, 2, 2
    declarations = f"declare {_BYTES} @llvm.x86.avx512.vpermi2var.qi.512({_BYTES}, {_BYTES}, {_BYTES})\n"

    def read(self, text: Text, address: str) -> list[str]:
        x = text.load(_BYTES, address, 1)
        look = f"call {_BYTES} @llvm.x86.avx512.vpermi2var.qi.512"
        high, low = (
            text.op(f"{look}({_BYTES} {_bytes(_E4M3[:64], h)}, {_BYTES} {x}, {_BYTES} {_bytes(_E4M3[64:], h)})")
            for h in (True, False)
        )
        sign = text.op(f"and {_BYTES} {x}, {splat(-128, 'i8', 64)}")
        return _interleaved(text, low, text.op(f"or {_BYTES} {high}, {sign}"))


class E2m1Bytes(Format):
    """e2m1 codes look up both bytes of their bfloat16 in tables of 16 (AVX-512)."""

    stored, depth, steps, quarters, halves, together = "uint8", 8, 4, 4, 2, 2
    declarations = f"declare {_BYTES} @llvm.x86.avx512.pshuf.b.512({_BYTES}, {_BYTES})\n"

    def column(self, step: Any, part: Any) -> Any:
        # A pair is the same half of two bytes.
        return step // 2 * 4 + step % 2 + part * 2

    def read(self, text: Text, address: str) -> list[str]:
        x = text.load(_BYTES, address, 1)
        four = text.op(f"lshr <32 x i16> {text.op(f'bitcast {_BYTES} {x} to <32 x i16>')}, {splat(4, 'i16', 32)}")
        codes = [x, text.op(f"bitcast <32 x i16> {four} to {_BYTES}")]
        parts = []
        for code in codes:
            nibble = text.op(f"and {_BYTES} {code}, {splat(15, 'i8', 64)}")
            look = f"call {_BYTES} @llvm.x86.avx512.pshuf.b.512"
            low, high = (text.op(f"{look}({_BYTES} {_bytes(_E2M1, h)}, {_BYTES} {nibble})") for h in (False, True))
            parts.append(_interleaved(text, low, high))
        return [part[half] for half in (0, 1) for part in parts]


def format_for(dtype: str, target: Target) -> Format | None:
    """The fastest format of a weight type on a chip; None where it has none."""
    lanes = target.lanes
    half = target.has("f16c") or target.has("avx512f") or str(target.tvm.get("mtriple", "")).startswith("aarch64")
    pairs = target.has("avx512bf16") and lanes == WIDE
    if dtype == "float32":
        return Float32(lanes)
    if dtype == "bfloat16":
        return Bfloat16Pairs(lanes) if pairs else Bfloat16Wide(lanes)
    if dtype == "float8_e4m3fn":
        return E4m3Bytes(lanes) if pairs and target.has("avx512vbmi") else E4m3Half(lanes) if half else None
    if dtype == "float4_e2m1fn":
        return E2m1Bytes(lanes) if pairs and target.has("avx512bw") else E2m1Half(lanes) if half else None
    return None
