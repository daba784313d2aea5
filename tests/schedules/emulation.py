"""AVX-512 instructions spelled out in plain LLVM, so that kernels made of them run on any x86 processor.

What each does is from Intel's Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

BYTES = "<64 x i8>"


class Body:
    """Instructions of one function."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def op(self, text: str) -> str:
        self.lines.append(f"  %e{len(self.lines)} = {text}")
        return f"%e{len(self.lines) - 1}"

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")
        # Keeps the numbers of names and lines the same.


def _permute_bytes(name: str) -> str:
    """VPERMI2B: byte ``index & 127`` of two tables of 64."""
    body = Body()
    table = body.op("alloca [128 x i8]")
    body.do(f"store {BYTES} %a, ptr {table}, align 1")
    upper = body.op(f"getelementptr i8, ptr {table}, i64 64")
    body.do(f"store {BYTES} %b, ptr {upper}, align 1")
    result = "poison"
    for lane in range(64):
        index = body.op(f"extractelement {BYTES} %index, i64 {lane}")
        place = body.op(f"zext i8 {body.op(f'and i8 {index}, 127')} to i64")
        value = body.op(f"load i8, ptr {body.op(f'getelementptr i8, ptr {table}, i64 {place}')}, align 1")
        result = body.op(f"insertelement {BYTES} {result}, i8 {value}, i64 {lane}")
    arguments = f"{BYTES} %a, {BYTES} %index, {BYTES} %b"
    return _function(BYTES, name, arguments, body, result)


def _shuffle_bytes(name: str) -> str:
    """VPSHUFB: within 16 bytes, byte ``index & 15``, or zero where the index has its top bit set."""
    body = Body()
    table = body.op("alloca [64 x i8]")
    body.do(f"store {BYTES} %a, ptr {table}, align 1")
    result = "poison"
    for lane in range(64):
        index = body.op(f"extractelement {BYTES} %index, i64 {lane}")
        place = body.op(f"zext i8 {body.op(f'and i8 {index}, 15')} to i64")
        place = body.op(f"add i64 {place}, {lane // 16 * 16}")
        value = body.op(f"load i8, ptr {body.op(f'getelementptr i8, ptr {table}, i64 {place}')}, align 1")
        negative = body.op(f"icmp slt i8 {index}, 0")
        value = body.op(f"select i1 {negative}, i8 0, i8 {value}")
        result = body.op(f"insertelement {BYTES} {result}, i8 {value}, i64 {lane}")
    return _function(BYTES, name, f"{BYTES} %a, {BYTES} %index", body, result)


def _dot(name: str) -> str:
    """VDPBF16PS: products of pairs, the odd one added first; denormals count as zero, which no test needs."""
    body = Body()
    total, wide = "%acc", "<16 x float>"
    for parity in (1, 0):
        chosen = ", ".join(f"i32 {2 * lane + parity}" for lane in range(16))
        parts = []
        for side in ("%a", "%b"):
            half = body.op(
                f"shufflevector <32 x bfloat> {side}, <32 x bfloat> poison, <16 x i32> <{chosen}>",
            )
            bits = body.op(f"zext <16 x i16> {body.op(f'bitcast <16 x bfloat> {half} to <16 x i16>')} to <16 x i32>")
            splat = f"<{', '.join(['i32 16'] * 16)}>"
            parts.append(body.op(f"bitcast <16 x i32> {body.op(f'shl <16 x i32> {bits}, {splat}')} to {wide}"))
        product = body.op(f"fmul {wide} {parts[0]}, {parts[1]}")
        total = body.op(f"fadd {wide} {total}, {product}")
    return _function(wide, name, f"{wide} %acc, <32 x bfloat> %a, <32 x bfloat> %b", body, total)


def _function(kind: str, name: str, arguments: str, body: Body, result: str) -> str:
    text = "\n".join(body.lines)
    return f"define internal {kind} @{name}({arguments}) nounwind {{\n{text}\n  ret {kind} {result}\n}}\n"


EMULATED = {
    "llvm.x86.avx512.vpermi2var.qi.512": _permute_bytes,
    "llvm.x86.avx512.pshuf.b.512": _shuffle_bytes,
    "llvm.x86.avx512bf16.dpbf16ps.512": _dot,
}


def emulate(text: str) -> str:
    """An LLVM module with these instructions replaced by functions."""
    for intrinsic, define in EMULATED.items():
        if intrinsic in text:
            name = "emulated_" + intrinsic.replace(".", "_")
            lines = [line for line in text.splitlines() if not (line.startswith("declare") and intrinsic in line)]
            text = "\n".join(lines).replace(intrinsic, name) + "\n" + define(name)
    return text
