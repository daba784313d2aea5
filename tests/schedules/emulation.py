"""AVX-512 instructions spelled out in plain LLVM, so that kernels made of them run on any x86 processor.

What each does is from Intel's Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from schedules.llvm_text import Text, splat

BYTES = "<64 x i8>"
SIXTEEN = splat(16, "i32", 16)


def _look_up(text: Text, table: str, place: str) -> str:
    """The byte of a table at a place, an i64."""
    return text.load("i8", text.at(table, place), 1)


def _permute_bytes(name: str) -> str:
    """VPERMI2B: byte ``index & 127`` of two tables of 64."""
    text = Text()
    table = text.op("alloca [128 x i8]")
    text.lines.append(f"  store {BYTES} %a, ptr {table}, align 1")
    text.lines.append(f"  store {BYTES} %b, ptr {text.at(table, 64)}, align 1")
    result = "poison"
    for lane in range(64):
        index = text.op(f"extractelement {BYTES} %index, i64 {lane}")
        value = _look_up(text, table, text.op(f"zext i8 {text.op(f'and i8 {index}, 127')} to i64"))
        result = text.op(f"insertelement {BYTES} {result}, i8 {value}, i64 {lane}")
    return _function(BYTES, name, f"{BYTES} %a, {BYTES} %index, {BYTES} %b", text, result)


def _shuffle_bytes(name: str) -> str:
    """VPSHUFB: within 16 bytes, byte ``index & 15``, or zero where the index has its top bit set."""
    text = Text()
    table = text.op("alloca [64 x i8]")
    text.lines.append(f"  store {BYTES} %a, ptr {table}, align 1")
    result = "poison"
    for lane in range(64):
        index = text.op(f"extractelement {BYTES} %index, i64 {lane}")
        place = text.op(f"zext i8 {text.op(f'and i8 {index}, 15')} to i64")
        value = _look_up(text, table, text.op(f"add i64 {place}, {lane // 16 * 16}"))
        negative = text.op(f"icmp slt i8 {index}, 0")
        value = text.op(f"select i1 {negative}, i8 0, i8 {value}")
        result = text.op(f"insertelement {BYTES} {result}, i8 {value}, i64 {lane}")
    return _function(BYTES, name, f"{BYTES} %a, {BYTES} %index", text, result)


def _dot(name: str) -> str:
    """VDPBF16PS: products of pairs, the odd one added first; denormals count as zero, which no test needs."""
    text, total, wide = Text(), "%acc", "<16 x float>"
    for parity in (1, 0):
        parts = []
        for side in ("%a", "%b"):
            half = text.pick("bfloat", 32, side, range(parity, 32, 2))
            bits = text.op(f"zext <16 x i16> {text.op(f'bitcast <16 x bfloat> {half} to <16 x i16>')} to <16 x i32>")
            parts.append(text.op(f"bitcast <16 x i32> {text.op(f'shl <16 x i32> {bits}, {SIXTEEN}')} to {wide}"))
        total = text.op(f"fadd {wide} {total}, {text.op(f'fmul {wide} {parts[0]}, {parts[1]}')}")
    return _function(wide, name, f"{wide} %acc, <32 x bfloat> %a, <32 x bfloat> %b", text, total)


def _quads(name: str) -> str:
    """VPDPBUSD: sums of four products of bytes without and with a sign."""
    text, total, wide = Text(), "%acc", "<16 x i32>"
    for part in range(4):
        factors = []
        for side, extend in (("%a", "zext"), ("%b", "sext")):
            bytes_ = text.pick("i8", 64, side, range(part, 64, 4))
            factors.append(text.op(f"{extend} <16 x i8> {bytes_} to {wide}"))
        total = text.op(f"add {wide} {total}, {text.op(f'mul {wide} {factors[0]}, {factors[1]}')}")
    return _function(wide, name, f"{wide} %acc, {BYTES} %a, {BYTES} %b", text, total)


def _function(kind: str, name: str, arguments: str, text: Text, result: str) -> str:
    body = "\n".join(text.lines)
    return f"define internal {kind} @{name}({arguments}) nounwind {{\n{body}\n  ret {kind} {result}\n}}\n"


EMULATED = {
    "llvm.x86.avx512.vpermi2var.qi.512": _permute_bytes,
    "llvm.x86.avx512.pshuf.b.512": _shuffle_bytes,
    "llvm.x86.avx512bf16.dpbf16ps.512": _dot,
    "llvm.x86.avx512.vpdpbusd.512": _quads,
}


def emulate(text: str) -> str:
    """An LLVM module with these instructions replaced by functions."""
    for intrinsic, define in EMULATED.items():
        if intrinsic in text:
            name = "emulated_" + intrinsic.replace(".", "_")
            lines = [line for line in text.splitlines() if not (line.startswith("declare") and intrinsic in line)]
            text = "\n".join(lines).replace(intrinsic, name) + "\n" + define(name)
    return text
