"""LLVM text of the inner kernels of ``schedules/spaces/codes_dot.py``: few-bit codes times bfloat16, in AVX-512.

Every e4m3 and e2m1 value is a bfloat16 value, so a weight becomes bfloat16 by looking its code up in a table that
stays in registers, and ``dpbf16ps`` multiplies pairs of them exactly and adds them in float32. Scales are applied to
the sums of a block, in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from schedules.llvm_text import Text

LANES = 16
WORDS = 32
BLOCK = 128
FEATURES = "+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512bf16"

_DECLARATIONS = f"""
declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)
declare <32 x i16> @llvm.x86.avx512.permvar.hi.512(<32 x i16>, <32 x i16>)
declare <32 x i16> @llvm.x86.avx512.vpermi2var.hi.512(<32 x i16>, <32 x i16>, <32 x i16>)
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
declare float @llvm.vector.reduce.fadd.v16f32(float, <16 x float>)
attributes #0 = {{ alwaysinline nounwind "target-features"="{FEATURES}" }}
"""


def _words(values: Sequence[int]) -> str:
    return f"<{len(values)} x i16> <{', '.join(f'i16 {v}' for v in values)}>"


def _splat(value: int) -> str:
    return _words([value] * WORDS)


def _bf16_bits(codes: np.ndarray) -> list[int]:
    """The bfloat16 bits of few-bit values, as signed 16-bit numbers."""
    return [int(v) for v in codes.astype(np.float32).astype(ml_dtypes.bfloat16).view(np.int16)]


E4M3 = _bf16_bits(np.arange(128, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn))
E2M1 = _bf16_bits(np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn))
# The codes of NaN decode to 480, as ``low_bit.decode_e4m3`` has them.
E4M3[127] = int(np.array([480.0], ml_dtypes.bfloat16).view(np.int16)[0])


def _e4m3(text: Text, codes: str) -> str:
    """32 e4m3 codes in memory as 32 bfloat16: two halves of the table by the low six bits, then the sign."""
    x = text.op(f"zext <32 x i8> {text.op(f'load <32 x i8>, ptr {codes}, align 1')} to <32 x i16>")
    look = "call <32 x i16> @llvm.x86.avx512.vpermi2var.hi.512"
    low = text.op(f"{look}({_words(E4M3[:32])}, <32 x i16> {x}, {_words(E4M3[32:64])})")
    high = text.op(f"{look}({_words(E4M3[64:96])}, <32 x i16> {x}, {_words(E4M3[96:])})")
    upper = text.op(f"icmp ne <32 x i16> {text.op(f'and <32 x i16> {x}, {_bare(64)}')}, zeroinitializer")
    value = text.op(f"select <32 x i1> {upper}, <32 x i16> {high}, <32 x i16> {low}")
    sign = text.op(f"and <32 x i16> {text.op(f'shl <32 x i16> {x}, {_bare(8)}')}, {_bare(-32768)}")
    return text.op(f"bitcast <32 x i16> {text.op(f'or <32 x i16> {value}, {sign}')} to <32 x bfloat>")


def _bare(value: int) -> str:
    """A constant vector without its type."""
    return _splat(value).split(" ", 3)[3]


def _e2m1(text: Text, codes: str) -> tuple[str, str]:
    """64 e2m1 codes in memory as 32 even and 32 odd bfloat16; the look-up itself ignores all but five bits."""
    x = text.op(f"zext <32 x i8> {text.op(f'load <32 x i8>, ptr {codes}, align 1')} to <32 x i16>")
    odd = text.op(f"lshr <32 x i16> {x}, {_bare(4)}")
    table = _words(E2M1 * 2)
    found = [text.op(f"call <32 x i16> @llvm.x86.avx512.permvar.hi.512({table}, <32 x i16> {n})") for n in (x, odd)]
    even, uneven = (text.op(f"bitcast <32 x i16> {v} to <32 x bfloat>") for v in found)
    return even, uneven


def _dot(text: Text, total: str, a: str, w: str) -> str:
    call = "call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512"
    return text.op(f"{call}(<16 x float> {total}, <32 x bfloat> {a}, <32 x bfloat> {w})")


def _fma(text: Text, a: str, b: str, c: str) -> str:
    return text.op(f"call <16 x float> @llvm.fma.v16f32(<16 x float> {a}, <16 x float> {b}, <16 x float> {c})")


def decode_row(name: str, packed: bool) -> str:
    """``name(codes, out, last)``: 128 e4m3 activations as bfloat16, even and odd ones of each 64 apart if ``packed``.

    ``last`` is not used; see the caller.
    """
    text = Text()
    parts = [_e4m3(text, text.at("%codes", at)) for at in range(0, BLOCK, WORDS)]
    if packed:
        pairs = [f"<32 x bfloat> {parts[at]}, <32 x bfloat> {parts[at + 1]}" for at in range(0, len(parts), 2)]
        chosen = [", ".join(f"i32 {2 * lane + parity}" for lane in range(WORDS)) for parity in (0, 1)]
        parts = [text.op(f"shufflevector {pair}, <32 x i32> <{lanes}>") for pair in pairs for lanes in chosen]
    for at, part in enumerate(parts):
        address = text.at("%out", at * WORDS, "bfloat")
        text.lines.append(f"  store <32 x bfloat> {part}, ptr {address}, align 2")
    body = "\n".join(text.lines)
    return f"define void @{name}(ptr %codes, ptr %out, ptr %last) #0 {{\n{body}\n  ret void\n}}\n"


@dataclass(frozen=True)
class Tile:
    """A kernel for ``mr`` rows of activations and ``nr`` rows of weights over all of k.

    Attributes:
        k: columns, a multiple of 128.
        n: columns of the output, its row stride.
        packed: fp4 weights with ue8m0 scales of 32 columns each, else fp8 weights with one float32 scale a block.
        ahead: bytes ahead of the weights in use that the next ones are asked for; 0 is not at all.
    """

    mr: int
    nr: int
    k: int
    n: int
    packed: bool
    ahead: int = 0

    def define(self, name: str) -> str:
        """``name(a, sa, w, sw, c)``: addresses of the first element of each."""
        text, blocks = Text(), self.k // BLOCK
        cells = [(i, j) for i in range(self.mr) for j in range(self.nr)]
        phis = {cell: f"%acc{cell[0]}_{cell[1]}" for cell in cells}
        sums = self._block(text, phis)
        head = ["entry:", "  br label %loop", "loop:", "  %b = phi i64 [ 0, %entry ], [ %next, %loop ]"]
        for cell in cells:
            head.append(f"  {phis[cell]} = phi <16 x float> [ zeroinitializer, %entry ], [ {sums[cell]}, %loop ]")
        tail = ["  %next = add nuw nsw i64 %b, 1", f"  %more = icmp ult i64 %next, {blocks}"]
        tail += ["  br i1 %more, label %loop, label %done", "done:"]
        end = Text(names=text.names)
        for i, j in cells:
            call = "call reassoc float @llvm.vector.reduce.fadd.v16f32"
            whole = end.op(f"{call}(float -0.0, <16 x float> {sums[i, j]})")
            rounded = end.op(f"fptrunc float {whole} to bfloat")
            end.lines.append(f"  store bfloat {rounded}, ptr {end.at('%c', i * self.n + j, 'bfloat')}, align 2")
        body = "\n".join([*head, *text.lines, *tail, *end.lines, "  ret void"])
        return f"define void @{name}(ptr %a, ptr %sa, ptr %w, ptr %sw, ptr %c) #0 {{\n{body}\n}}\n"

    def _block(self, text: Text, acc: dict[tuple[int, int], str]) -> dict[tuple[int, int], str]:
        """One block of 128 columns; returns the sums after it."""
        width = self.k // 2 if self.packed else self.k
        a = text.op(f"getelementptr bfloat, ptr %a, i64 {text.op(f'mul nuw nsw i64 %b, {BLOCK}')}")
        w = text.op(f"getelementptr i8, ptr %w, i64 {text.op(f'mul nuw nsw i64 %b, {BLOCK * width // self.k}')}")
        blocks = self.k // BLOCK
        rows = [
            text.op(f"load float, ptr {text.at(text.at('%sa', i * blocks, 'float'), '%b', 'float')}, align 4")
            for i in range(self.mr)
        ]
        if self.ahead:
            for j in range(self.nr):
                address = text.at(w, j * width + self.ahead)
                text.lines.append(f"  call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 3, i32 1)")
        partial = dict.fromkeys(acc, "zeroinitializer")
        if not self.packed:
            common = text.op(f"load float, ptr {text.at('%sw', '%b', 'float')}, align 4")
            for step in range(0, BLOCK, WORDS):
                left = [self._activation(text, a, i, step) for i in range(self.mr)]
                for j in range(self.nr):
                    right = _e4m3(text, text.at(w, j * width + step))
                    for i in range(self.mr):
                        partial[i, j] = _dot(text, partial[i, j], left[i], right)
            scales = [text.spread("float", text.op(f"fmul float {row}, {common}"), LANES) for row in rows]
        else:
            for j in range(self.nr):
                halves = self._fp4_scales(text, j)
                for step in range(0, BLOCK, 64):
                    even, odd = _e2m1(text, text.at(w, j * width + step // 2))
                    for i in range(self.mr):
                        part = _dot(text, "zeroinitializer", self._activation(text, a, i, step), even)
                        part = _dot(text, part, self._activation(text, a, i, step + WORDS), odd)
                        partial[i, j] = _fma(text, part, halves[step // 64], partial[i, j])
            scales = [text.spread("float", row, LANES) for row in rows]
        return {(i, j): _fma(text, partial[i, j], scales[i], acc[i, j]) for i, j in acc}

    def _activation(self, text: Text, base: str, row: int, step: int) -> str:
        return text.op(f"load <32 x bfloat>, ptr {text.at(base, row * self.k + step, 'bfloat')}, align 2")

    def _fp4_scales(self, text: Text, column: int) -> list[str]:
        """For each 64 columns of a block a vector: lanes 0 to 7 sum its first 32 columns, 8 to 15 the others."""
        start = text.op("mul nuw nsw i64 %b, 4")
        base = text.at(text.at("%sw", column * (self.k // 32)), start)
        codes = text.op(f"zext <4 x i8> {text.op(f'load <4 x i8>, ptr {base}, align 1')} to <4 x i32>")
        bits = text.op(f"shl <4 x i32> {codes}, <i32 23, i32 23, i32 23, i32 23>")
        values = text.op(f"bitcast <4 x i32> {bits} to <4 x float>")
        found = []
        for first in (0, 2):
            lanes = ", ".join(f"i32 {first + lane // 8}" for lane in range(LANES))
            found.append(text.op(f"shufflevector <4 x float> {values}, <4 x float> poison, <16 x i32> <{lanes}>"))
        return found


def module(*definitions: str) -> str:
    """The text of a module with these functions."""
    prefetch = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)\n"
    return _DECLARATIONS + prefetch + "\n".join(definitions)
