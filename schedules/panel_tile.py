"""LLVM text of the inner kernel of ``schedules/spaces/panels.py``: rows of activations times a panel of weights."""

from __future__ import annotations

from dataclasses import dataclass

from schedules.llvm_text import Text, splat
from schedules.panel_format import Format

LINE = 64


@dataclass(frozen=True)
class Tile:
    """``name(a, w, s, ws, sa, next)`` adds the products of a block of k to ``mr`` rows of sums.

    All are addresses: ``a`` of the packed activations ``[steps, mr, parts]``, ``w`` of the panel's units ``[units,
    vectors, unit]``, ``s`` of the sums in float32, rows of ``stride``, ``ws`` of the weights' scales ``[groups,
    vectors * lanes]`` or of what sums start at, ``sa`` of the activations' scales ``[groups, mr]``, ``next`` of what to
    fetch.

    Attributes:
        format: of the weights.
        mr, vectors: the register tile.
        height: rows that activations are packed in; ``mr`` or, for the last rows, more.
        units: of the block of k.
        unroll: units in the body of the inner loop.
        group: columns of k that share scales; 0 is no scales.
        scale: ``float32`` or ``ue8m0``, of the weights' scales.
        stride: elements between rows of sums.
        factor: what weights are too small by, where they have scales.
        fetch: bytes to ask for, spread over the block; 0 is none.
        row_scales: whether the sums of a group take a scale of each row's activations, too.
    """

    format: Format
    mr: int
    vectors: int
    height: int
    units: int
    unroll: int
    group: int
    scale: str
    stride: int
    factor: float = 1.0
    fetch: int = 0
    row_scales: bool = False

    @property
    def _cells(self) -> list[tuple[int, int]]:
        return [(i, v) for i in range(self.mr) for v in range(self.vectors)]

    @property
    def _rounds(self) -> int:
        """Iterations of the inner loop: of one group, or of the whole block where there are none."""
        return (self.group // self.format.depth if self.group else self.units) // self.unroll

    def define(self, name: str) -> str:
        """The text of the function."""
        fmt, text = self.format, Text()
        groups = self.units * fmt.depth // self.group if self.group else 1
        acc = {cell: f"%acc{cell[0]}_{cell[1]}" for cell in self._cells}
        first = self._first(text)
        lines = ["entry:", *text.lines, "  br label %outer"]
        text.lines.clear()
        lines += ["outer:", "  %g = phi i64 [ 0, %entry ], [ %g.next, %after ]"]
        lines += [f"  %first = mul nuw nsw i64 %g, {self._rounds}", "  br label %loop", "loop:"]
        lines.append("  %r = phi i64 [ 0, %outer ], [ %r.next, %loop ]")
        at = text.op("add nuw nsw i64 %first, %r")
        sums = self._body(text, at, acc)
        lines += [f"  {acc[c]} = phi {fmt.sums} [ {first[c[1]]}, %outer ], [ {sums[c]}, %loop ]" for c in self._cells]
        lines += text.lines
        lines += ["  %r.next = add nuw nsw i64 %r, 1", f"  %r.more = icmp ult i64 %r.next, {self._rounds}"]
        lines += ["  br i1 %r.more, label %loop, label %after", "after:"]
        end = Text(names=text.names)
        self._add(end, sums)
        lines += end.lines
        lines += ["  %g.next = add nuw nsw i64 %g, 1", f"  %g.more = icmp ult i64 %g.next, {groups}"]
        lines += ["  br i1 %g.more, label %outer, label %done", "done:", "  ret void"]
        body = "\n".join(lines)
        return f"define void @{name}(ptr %a, ptr %w, ptr %s, ptr %ws, ptr %sa, ptr %next) nounwind {{\n{body}\n}}\n"

    def _body(self, text: Text, at: str, acc: dict[tuple[int, int], str]) -> dict[tuple[int, int], str]:
        """``unroll`` units from unit ``at * unroll`` on; returns the sums after them."""
        fmt, sums = self.format, dict(acc)
        a = text.at("%a", text.op(f"mul nuw nsw i64 {at}, {self.unroll * fmt.steps * self.height}"), "i32")
        w = text.at("%w", text.op(f"mul nuw nsw i64 {at}, {self.unroll * self.vectors * fmt.unit_bytes}"))
        self._prefetch(text, at)
        for unit in range(self.unroll):
            places = [(unit * self.vectors + v) * fmt.unit_bytes for v in range(self.vectors)]
            weights = [fmt.read(text, text.at(w, place)) for place in places]
            for step in range(fmt.steps):
                for i in range(self.mr):
                    row = fmt.spread(text, text.at(a, (unit * fmt.steps + step) * self.height + i, "i32"))
                    for v in range(self.vectors):
                        sums[i, v] = fmt.product(text, row, weights[v][step], sums[i, v])
        return sums

    def _first(self, text: Text) -> list[str]:
        """What the sums of each vector of columns start at."""
        fmt = self.format
        if not fmt.offset:
            return ["zeroinitializer"] * self.vectors
        return [text.load(fmt.sums, text.at("%ws", v * fmt.lanes, "i32"), 4) for v in range(self.vectors)]

    def _prefetch(self, text: Text, at: str) -> None:
        """The share of this iteration of the bytes to ask for, in whole cache lines."""
        iterations = self.units // self.unroll
        lines = -(-self.fetch // (LINE * iterations))
        if self.fetch:
            start = text.at("%next", text.op(f"mul nuw nsw i64 {at}, {lines * LINE}"))
            for line in range(lines):
                address = text.at(start, line * LINE)
                text.lines.append(f"  call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 3, i32 1)")

    def _add(self, text: Text, sums: dict[tuple[int, int], str]) -> None:
        """Add the sums of a group, scaled, to those in memory."""
        fmt, v = self.format, self.format.floats
        scales = self._scales(text) if self.group else []
        rows = self._row_scales(text) if self.row_scales else []
        for i, j in self._cells:
            address = text.at("%s", i * self.stride + j * fmt.lanes, "float")
            old, part = text.load(v, address, 4), sums[i, j]
            if fmt.integer:
                part = text.op(f"sitofp {fmt.sums} {part} to {v}")
            if rows:
                part = text.op(f"fmul {v} {part}, {rows[i]}")
            new = text.fused(v, part, scales[j], old) if scales else text.op(f"fadd {v} {part}, {old}")
            text.lines.append(f"  store {v} {new}, ptr {address}, align 4")

    def _scales(self, text: Text) -> list[str]:
        """The weights' scales of this group, a vector for each vector of columns."""
        lanes, v = self.format.lanes, self.format.floats
        start = text.op(f"mul nuw nsw i64 %g, {self.vectors * lanes}")
        found = []
        for j in range(self.vectors):
            if self.scale == "ue8m0":
                codes = text.load(f"<{lanes} x i8>", text.at(text.at("%ws", start), j * lanes), 1)
                wide = text.op(f"zext <{lanes} x i8> {codes} to <{lanes} x i32>")
                bits = text.op(f"shl <{lanes} x i32> {wide}, {splat(23, 'i32', lanes)}")
                value = text.op(f"bitcast <{lanes} x i32> {bits} to {v}")
            else:
                value = text.load(v, text.at(text.at("%ws", start, "float"), j * lanes, "float"), 4)
            if self.factor != 1:
                factor = f"<{', '.join([f'float {self.factor:.1f}'] * lanes)}>"
                value = text.op(f"fmul {v} {value}, {factor}")
            found.append(value)
        return found

    def _row_scales(self, text: Text) -> list[str]:
        start = text.at("%sa", text.op(f"mul nuw nsw i64 %g, {self.height}"), "float")
        return [
            text.spread("float", text.load("float", text.at(start, i, "float"), 4), self.format.lanes)
            for i in range(self.mr)
        ]


@dataclass(frozen=True)
class Decoder:
    """``name(w, out)`` reads the units ``w[units, vectors, unit]`` and writes the operands ``out[steps, vectors]``.

    Attributes:
        format: of the units.
        vectors: of a panel.
        units: to read.
    """

    format: Format
    vectors: int
    units: int

    def define(self, name: str) -> str:
        """The text of the function."""
        fmt, text = self.format, Text()
        size = 4 * fmt.lanes
        w = text.at("%w", text.op(f"mul nuw nsw i64 %u, {self.vectors * fmt.unit_bytes}"))
        out = text.at("%out", text.op(f"mul nuw nsw i64 %u, {fmt.steps * self.vectors * size}"))
        for v in range(self.vectors):
            for step, operand in enumerate(fmt.read(text, text.at(w, v * fmt.unit_bytes))):
                address = text.at(out, (step * self.vectors + v) * size)
                text.lines.append(f"  store {fmt.operand} {operand}, ptr {address}, align 4")
        lines = ["entry:", "  br label %loop", "loop:", "  %u = phi i64 [ 0, %entry ], [ %u.next, %loop ]", *text.lines]
        lines += ["  %u.next = add nuw nsw i64 %u, 1", f"  %u.more = icmp ult i64 %u.next, {self.units}"]
        lines += ["  br i1 %u.more, label %loop, label %done", "done:", "  ret void"]
        body = "\n".join(lines)
        return f"define void @{name}(ptr noalias %w, ptr noalias %out) nounwind {{\n{body}\n}}\n"


def module(fmt: Format, *definitions: str) -> str:
    """The text of a module with these functions."""
    v = fmt.floats
    declarations = f"declare {v} @llvm.fma.v{fmt.lanes}f32({v}, {v}, {v})\n"
    declarations += "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)\n" + fmt.declarations
    return declarations + "\n".join(definitions)
