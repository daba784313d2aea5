"""The parts of attention besides its two products, as functions over vectors: packing, gathering, softmax, finishing.

The lanes of the first product run over query rows, since all rows of a task see the same keys: only the queries are
transposed, once, and the softmax over keys needs no sum over lanes. Logits are kept as powers of two.

Elements are four bytes, float32 or, where ``dpbf16ps`` multiplies queries and keys, pairs of bfloat16. (Weights are not
rounded to bfloat16: the error would be a thousandth of the output, more than what rounding the output itself costs.)
Buffers of a task are padded to whole vectors, arguments are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from schedules.task_memory import LINE
from schedules.vector_text import Function

LOG2_E = math.log2(math.e)
# Stands for the maximum of no logits: finite, so that a difference to it is never NaN.
LEAST = -1e30


@dataclass(frozen=True)
class Parts:
    """Writes the functions of one kernel.

    Attributes:
        lanes: of a vector.
        dtype: of the arguments, ``float32`` or ``bfloat16``.
        pairs: whether elements of queries and keys are pairs of bfloat16.
        rows: query rows of a task, whole vectors.
    """

    lanes: int
    dtype: str
    pairs: bool
    rows: int

    def pack(self, dim: int, step: int) -> Function:
        """``(q, offsets, out)``: one vector of query rows, transposed.

        The rows of ``dim`` numbers start ``offsets[lane]`` numbers (i32) after ``q``. Element ``d`` of all of them
        becomes the vector at ``out + d * step`` elements.
        """
        f = Function(self.lanes, "ptr noalias %q, ptr noalias %offsets, ptr noalias %out")
        source = "i16" if self.dtype == "bfloat16" else "i32"
        starts = [f.read("i32", f.place("%offsets", i, "i32")) for i in range(self.lanes)]
        rows = [f.place("%q", f.op(f"sext i32 {start} to i64"), source) for start in starts]
        count = _elements(dim, self.pairs)
        whole = dim // (1 + self.pairs) // self.lanes * self.lanes

        def block(at: str, _: list[str]) -> list[str]:
            vectors = [self._elements(f, row, at, self.pairs) for row in rows]
            for d, vector in enumerate(transposed(f, vectors)):
                to = f.place("%out", f.op(f"mul nuw nsw i64 {f.op(f'add nuw nsw i64 {at}, {d}')}, {step}"))
                f.write(f.words, vector, to)
            return []

        if whole:
            f.loop(whole, [], block, self.lanes, rolled=True)
        for d in range(whole, count):
            vector = "zeroinitializer"
            for i, row in enumerate(rows):
                value = self._element(f, row, d, dim, self.pairs)
                vector = f.op(f"insertelement {f.words} {vector}, i32 {value}, i64 {i}")
            f.write(f.words, vector, f.place("%out", d * step))
        return f

    def _elements(self, f: Function, row: str, at: str, pairs: bool) -> str:
        """A vector of elements of a row, from element ``at``."""
        if pairs or self.dtype == "float32":
            return f.read(f.words, f.place(row, at, "i32"))
        return f.widen(f.read(f"<{self.lanes} x i16>", f.place(row, at, "i16")))

    def _element(self, f: Function, row: str, at: int, dim: int, pairs: bool) -> str:
        """One element of a row; half of a last odd pair is zero."""
        if pairs and 2 * at + 1 == dim:
            half = f.read("i16", f.place(row, 2 * at, "i16"))
            return f.op(f"zext i16 {half} to i32")
        if pairs or self.dtype == "float32":
            return f.read("i32", f.place(row, at, "i32"))
        half = f.read("i16", f.place(row, at, "i16"))
        word = f.op(f"zext i16 {half} to i32")
        return f.op(f"shl i32 {word}, 16")

    def copy(self, dim: int, pairs: bool) -> Function:
        """``(row, out)``: a row of ``dim`` numbers as elements, float32 or ``pairs``."""
        f = Function(self.lanes, "ptr noalias %row, ptr noalias %out")
        count = _elements(dim, pairs)
        whole = dim // (1 + pairs) // self.lanes * self.lanes

        def block(at: str, _: list[str]) -> list[str]:
            f.write(f.words, self._elements(f, "%row", at, pairs), f.place("%out", at))
            return []

        if whole:
            f.loop(whole, [], block, self.lanes)
        for d in range(whole, count):
            f.write("i32", self._element(f, "%row", d, dim, pairs), f.place("%out", d))
        return f

    def fetch(self, nbytes: int) -> Function:
        """``(row)``: ask for a row of ``nbytes``, which will be read soon, to come to the cache."""
        f = Function(self.lanes, "ptr noalias %row")
        f.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        for byte in range(0, nbytes, LINE):
            f.lines.append(f"  call void @llvm.prefetch.p0(ptr {f.place('%row', byte, 'i8')}, i32 0, i32 3, i32 1)")
        return f

    def softmax(self, causal: bool) -> Function:
        """One block of keys: logits to weights, maximum and sum of each row kept up to date.

        ``(s, bias, limit, m, l, alpha, keys, first, scale)``: ``s[keys, rows]`` are dot products, and weights
        afterwards; ``bias[keys]`` is 0 or minus infinity; ``m``, ``l`` and ``alpha`` of ``[rows]`` are the maximum, the
        sum, and what earlier results are to be multiplied by. ``scale`` has log2(e) in it. Where ``causal``, key
        ``first + i`` counts for rows whose ``limit`` is no less.
        """
        arguments = "ptr noalias %s, ptr noalias %bias, ptr noalias %limit, ptr noalias %m, ptr noalias %l, "
        arguments += "ptr noalias %alpha, i64 %keys, i32 %first, float %scale"
        f = Function(self.lanes, arguments)
        scale = f.everywhere("%scale")
        vectors = self.rows // self.lanes
        group = max(g for g in (1, 2, 4) if vectors % g == 0)

        def columns(key: str, at: str) -> list[str]:
            start = f.place("%s", f.op(f"add nuw nsw i64 {f.op(f'mul nuw nsw i64 {key}, {self.rows}')}, {at}"))
            return [f.place(start, j * self.lanes) for j in range(group)]

        def block(at: str, _: list[str]) -> list[str]:
            mine = {
                x: [f.place(f.place(f"%{x}", at), j * self.lanes) for j in range(group)] for x in ("m", "l", "alpha")
            }
            limits = (
                [f.read(f.words, f.place(f.place("%limit", at), j * self.lanes)) for j in range(group)]
                if causal
                else []
            )
            before = [f.read(f.floats, address) for address in mine["m"]]

            def highest(key: str, most: list[str]) -> list[str]:
                bias = f.everywhere(f.read("float", f.place("%bias", key)))
                found = []
                if causal:
                    position = f.everywhere(f.op(f"add i32 {f.op(f'trunc i64 {key} to i32')}, %first"), "i32")
                for j, address in enumerate(columns(key, at)):
                    x = f.multiply_add(f.read(f.floats, address), scale, bias)
                    if causal:
                        seen = f.op(f"icmp sle {f.words} {position}, {limits[j]}")
                        least = f.constant(-math.inf)
                        x = f.op(f"select <{self.lanes} x i1> {seen}, {f.floats} {x}, {f.floats} {least}")
                    f.write(f.floats, x, address)
                    found.append(f.larger(x, most[j]))
                return found

            most = f.loop("%keys", [(f.floats, value) for value in before], highest)
            alphas = [f.exp2(f.op(f"fsub {f.floats} {old}, {new}")) for old, new in zip(before, most, strict=True)]

            def power(address: str, j: int) -> str:
                return f.exp2(f.op(f"fsub {f.floats} {f.read(f.floats, address)}, {most[j]}"))

            def raise_all(key: str, sums: list[str]) -> list[str]:
                values = [power(address, j) for j, address in enumerate(columns(key, at))]
                for value, address in zip(values, columns(key, at), strict=True):
                    f.write(f.floats, value, address)
                return [f.op(f"fadd {f.floats} {a}, {b}") for a, b in zip(sums, values, strict=True)]

            zeros = [(f.floats, "zeroinitializer")] * group
            sums = f.loop("%keys", zeros, raise_all)
            for j in range(group):
                total = f.multiply_add(f.read(f.floats, mine["l"][j]), alphas[j], sums[j])
                for value, name in ((most[j], "m"), (total, "l"), (alphas[j], "alpha")):
                    f.write(f.floats, value, mine[name][j])
            return []

        f.loop(self.rows, [], block, group * self.lanes)
        return f

    def weights(self, splits: int, apart: int, sink: bool) -> Function:
        """``(m, l, sink, w)``: by what the sums of each split are multiplied, for one vector of rows.

        Split ``i`` has its maxima at ``m + i * apart`` and its sums at ``l + i * apart``; the factors go to
        ``w + i * lanes``. A row that saw nothing gets a finite factor of its sums, which are zero.
        """
        f = Function(self.lanes, "ptr noalias %m, ptr noalias %l, ptr noalias %sink, ptr noalias %w")
        maxima = [f.read(f.floats, f.place("%m", i * apart)) for i in range(splits)]
        most = maxima[0]
        for other in maxima[1:]:
            most = f.larger(most, other)
        factors = [f.exp2(f.op(f"fsub {f.floats} {own}, {most}")) for own in maxima]
        total = "zeroinitializer"
        for i, factor in enumerate(factors):
            total = f.multiply_add(f.read(f.floats, f.place("%l", i * apart)), factor, total)
        if sink:
            power = f.op(f"fmul {f.floats} {f.read(f.floats, '%sink')}, {f.constant(LOG2_E)}")
            total = f.op(f"fadd {f.floats} {total}, {f.exp2(f.op(f'fsub {f.floats} {power}, {most}'))}")
        total = f.larger(total, f.constant(1e-37))
        for i, factor in enumerate(factors):
            f.write(f.floats, f.op(f"fdiv {f.floats} {factor}, {total}"), f.place("%w", i * self.lanes))
        return f

    def blend(self, dim: int, splits: int, apart: int) -> Function:
        """``(o, w, out)``: one row of output, ``sum_i w[i * lanes] o[i * apart + d]``, rounded to ``dtype``."""
        f = Function(self.lanes, "ptr noalias %o, ptr noalias %w, ptr noalias %out")
        factors = [f.everywhere(f.read("float", f.place("%w", i * self.lanes))) for i in range(splits)]
        short = self.dtype == "bfloat16"
        element = "i16" if short else "float"

        def total(at: str | int) -> str:
            value = "zeroinitializer"
            for i, factor in enumerate(factors):
                value = f.multiply_add(f.read(f.floats, f.place(f.place("%o", at), i * apart)), factor, value)
            return f.narrow(value) if short else value

        def block(at: str, _: list[str]) -> list[str]:
            f.write(f"<{self.lanes} x {element}>", total(at), f.place("%out", at, element))
            return []

        whole = dim // self.lanes * self.lanes
        if whole:
            f.loop(whole, [], block, self.lanes, rolled=True)
        if whole < dim:
            f.store_few(element, total(whole), f.place("%out", whole, element), dim - whole, self.lanes)
        return f


def _elements(dim: int, pairs: bool) -> int:
    return (dim + 1) // 2 if pairs else dim


def transposed(f: Function, rows: list[str]) -> list[str]:
    """A square of words: in each round row ``i`` is interleaved with the one half of the rows further on."""
    lanes, half = len(rows), len(rows) // 2
    low = ", ".join(f"i32 {i // 2 + lanes * (i % 2)}" for i in range(lanes))
    high = ", ".join(f"i32 {i // 2 + half + lanes * (i % 2)}" for i in range(lanes))
    for _ in range(lanes.bit_length() - 1):
        rows = [
            f.op(f"shufflevector {f.words} {rows[i]}, {f.words} {rows[i + half]}, {f.words} <{lanes_of}>")
            for i in range(half)
            for lanes_of in (low, high)
        ]
    return rows
