"""Writing functions as LLVM text: single assignment form, a fresh name for each result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Text:
    """Instructions of a function body, in order."""

    lines: list[str] = field(default_factory=list)
    names: int = 0

    def op(self, text: str) -> str:
        """Add an instruction; returns the name of its result."""
        self.names += 1
        self.lines.append(f"  %v{self.names} = {text}")
        return f"%v{self.names}"

    def at(self, base: str, offset: int | str, element: str = "i8") -> str:
        """The address ``offset`` elements after ``base``."""
        return self.op(f"getelementptr {element}, ptr {base}, i64 {offset}") if str(offset) != "0" else base

    def load(self, kind: str, address: str, align: int) -> str:
        """A value of an LLVM type in memory."""
        return self.op(f"load {kind}, ptr {address}, align {align}")

    def spread(self, kind: str, scalar: str, lanes: int) -> str:
        """A scalar in all lanes of a vector."""
        whole = f"<{lanes} x {kind}>"
        one = self.op(f"insertelement {whole} poison, {kind} {scalar}, i64 0")
        return self.op(f"shufflevector {whole} {one}, {whole} poison, <{lanes} x i32> zeroinitializer")

    def pick(self, kind: str, width: int, vector: str, lanes: Sequence[int]) -> str:
        """Some lanes of a vector of ``width``."""
        chosen = ", ".join(f"i32 {lane}" for lane in lanes)
        whole = f"<{width} x {kind}>"
        return self.op(f"shufflevector {whole} {vector}, {whole} poison, <{len(lanes)} x i32> <{chosen}>")

    def joined(self, kind: str, width: int, vectors: Sequence[str]) -> str:
        """Vectors of ``width`` one behind the other; a power of two of them."""
        while len(vectors) > 1:
            whole = f"<{width} x {kind}>"
            chosen = ", ".join(f"i32 {lane}" for lane in range(2 * width))
            vectors = [
                self.op(f"shufflevector {whole} {a}, {whole} {b}, <{2 * width} x i32> <{chosen}>")
                for a, b in zip(vectors[::2], vectors[1::2], strict=True)
            ]
            width *= 2
        return vectors[0]

    def fused(self, kind: str, a: str, b: str, c: str) -> str:
        """``a b + c`` of vectors of float32, rounded once."""
        lanes = kind.split(maxsplit=1)[0].lstrip("<")
        return self.op(f"call {kind} @llvm.fma.v{lanes}f32({kind} {a}, {kind} {b}, {kind} {c})")


def splat(value: int, kind: str, lanes: int) -> str:
    """A constant vector, without its type."""
    return f"<{', '.join([f'{kind} {value}'] * lanes)}>"
