"""The register tile that attention and index logits are made of: some rows of one factor by some vectors of the other.

``C[i, j] = sum_k A[i, k] B[k, j]``: an element of ``A`` is spread over all lanes, the lanes run along ``j``. With pairs
each 32-bit element is two bfloat16, neighbours along the sum, and ``dpbf16ps`` multiplies and adds both in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from schedules.vector_text import Function

DOT = "<16 x float> @llvm.x86.avx512bf16.dpbf16ps.512"


@dataclass(frozen=True)
class Tile:
    """Strides are in elements of four bytes.

    Attributes:
        rows, vectors: of the tile.
        lanes: of a vector.
        a_row, a_step: from one row of ``A`` to the next, and along the sum.
        b_step: from one step of the sum to the next in ``B``; the tile's vectors follow each other.
        pairs: elements are pairs of bfloat16.
    """

    rows: int
    vectors: int
    lanes: int
    a_row: int
    a_step: int
    b_step: int
    pairs: bool = False

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Rows and vectors of the tile."""
        return [(i, j) for i in range(self.rows) for j in range(self.vectors)]

    def sums(self, f: Function, a: str, b: str, steps: int | str, start: list[str]) -> list[str]:
        """Write the loop over the sum.

        Args:
            f: where to.
            a, b: addresses of the first element of each factor.
            steps: terms of the sum, at least one; halved already for pairs.
            start: what the accumulators begin with, in the order of ``cells``.
        """

        def body(step: str, acc: list[str]) -> list[str]:
            column = f.place(a, f.op(f"mul nuw nsw i64 {step}, {self.a_step}") if self.a_step != 1 else step)
            row = f.place(b, f.op(f"mul nuw nsw i64 {step}, {self.b_step}"))
            right = [f.read(f.floats, f.place(row, j * self.lanes)) for j in range(self.vectors)]
            out = []
            for i in range(self.rows):
                left = f.everywhere(f.read("float", f.place(column, i * self.a_row)))
                for j in range(self.vectors):
                    out.append(self._step(f, left, right[j], acc[i * self.vectors + j]))
            return out

        return f.loop(steps, [(f.floats, first) for first in start], body, rolled=True)

    def _step(self, f: Function, a: str, b: str, c: str) -> str:
        if not self.pairs:
            return f.multiply_add(a, b, c)
        f.declarations.add(f"declare {DOT}(<16 x float>, <32 x bfloat>, <32 x bfloat>)")
        left, right = (f.op(f"bitcast <16 x float> {x} to <32 x bfloat>") for x in (a, b))
        return f.op(f"call {DOT}(<16 x float> {c}, <32 x bfloat> {left}, <32 x bfloat> {right})")

    def stored(self, c_row: int, start: str) -> Function:
        """``(a, b, c, scale, steps, tiles)``: writes tiles below each other to ``c``, their rows ``c_row`` apart.

        Args:
            c_row: elements from one row of ``c`` to the next.
            start: ``zero``; ``add`` to what ``c`` has; ``scale`` to what it has times ``scale[row]``.
        """
        arguments = "ptr noalias %a, ptr noalias %b, ptr noalias %c, ptr noalias %scale, i64 %steps, i64 %tiles"
        f = Function(self.lanes, arguments)

        def tile(at: str, _: list[str]) -> list[str]:
            row = f.op(f"mul nuw nsw i64 {at}, {self.rows}")
            a = f.place("%a", f.op(f"mul nuw nsw i64 {row}, {self.a_row}"))
            c = f.place("%c", f.op(f"mul nuw nsw i64 {row}, {c_row}"))
            places = [f.place(c, i * c_row + j * self.lanes) for i, j in self.cells]
            begin = ["zeroinitializer"] * len(self.cells)
            if start != "zero":
                begin = [f.read(f.floats, place) for place in places]
            if start == "scale":
                scales = f.place("%scale", row)
                each = [f.everywhere(f.read("float", f.place(scales, i))) for i in range(self.rows)]
                begin = [f.op(f"fmul {f.floats} {x}, {each[i]}") for x, (i, _) in zip(begin, self.cells, strict=True)]
            for place, total in zip(places, self.sums(f, a, "%b", "%steps", begin), strict=True):
                f.write(f.floats, total, place)
            return []

        f.loop("%tiles", [], tile, rolled=True)
        return f

    def weighted(self, more: bool) -> Function:
        """``(a, b, w, total, steps, tiles)``: sums over columns of ``relu(C) w``, for tiles below each other.

        ``w`` has a factor of each column. The sum of a row stays in ``lanes`` parts, ``total[row, lanes]``, to which it
        is added if ``more``.
        """
        arguments = "ptr noalias %a, ptr noalias %b, ptr noalias %w, ptr noalias %total, i64 %steps, i64 %tiles"
        f = Function(self.lanes, arguments)
        factors = [f.read(f.floats, f.place("%w", j * self.lanes)) for j in range(self.vectors)]

        def tile(at: str, _: list[str]) -> list[str]:
            row = f.op(f"mul nuw nsw i64 {at}, {self.rows}")
            a = f.place("%a", f.op(f"mul nuw nsw i64 {row}, {self.a_row}"))
            to = f.place("%total", f.op(f"mul nuw nsw i64 {row}, {self.lanes}"))
            places = [f.place(to, i * self.lanes) for i in range(self.rows)]
            total = [f.read(f.floats, place) if more else "zeroinitializer" for place in places]
            sums = self.sums(f, a, "%b", "%steps", ["zeroinitializer"] * len(self.cells))
            for (i, j), value in zip(self.cells, sums, strict=True):
                total[i] = f.multiply_add(f.larger(value, f.constant(0.0)), factors[j], total[i])
            for place, value in zip(places, total, strict=True):
                f.write(f.floats, value, place)
            return []

        f.loop("%tiles", [], tile, rolled=True)
        return f
