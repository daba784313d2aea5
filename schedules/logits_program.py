"""A whole kernel for the indexer's logits: keys decoded once for all queries of a task, lanes along heads.

A task is some queries and some keys. Its keys become rows of float32, or pairs of bfloat16, once. For each query the
heads are transposed into panels, as wide as the register tile; a tile multiplies keys by heads and sums ``relu(q . k)
w`` over the heads in lanes, and the lanes are summed at the end. Keys outside of a query's window are not multiplied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schedules.attention_kernel import Parts, transposed
from schedules.operators.mqa_logits import MqaLogits
from schedules.operators.mqa_logits_paged import MqaLogitsPaged
from schedules.row_decoder import RowDecoder
from schedules.task_memory import Region, allocate, call, ceiling, first_of, spaced
from schedules.tile_kernel import Tile
from schedules.vector_text import Function, Library
from schedules.workload import Workload

if TYPE_CHECKING:
    import tvm

Buffers = Mapping[str, Any]


@dataclass(frozen=True)
class Sizes:
    """What a configuration means for one operator.

    Attributes:
        op: the operator.
        lanes: of a vector.
        pairs: whether dot products are of pairs of bfloat16.
        config: ``queries x keys`` of a task, ``key_rows x vectors`` of a register tile.
    """

    op: Any
    lanes: int
    pairs: bool
    config: Mapping[str, int]

    @property
    def sharing(self) -> int:
        """Queries that share keys."""
        return int(self.op.queries if isinstance(self.op, MqaLogitsPaged) else self.op.tokens)

    @property
    def sequences(self) -> int:
        """How often there are such queries."""
        return int(self.op.tokens) // self.sharing

    @property
    def queries(self) -> int:
        """Queries of a task, at most."""
        return min(self.config["queries"], self.sharing)

    @property
    def keys(self) -> int:
        """Keys of a task, at most; whole tiles, and whole vectors, are kept."""
        return min(self.config["keys"], int(self.op.keys))

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tasks: sequences, parts of their queries, parts of their keys."""
        return self.sequences, -(-self.sharing // self.queries), -(-int(self.op.keys) // self.keys)

    @property
    def heads(self) -> int:
        """Heads, whole panels."""
        return ceiling(int(self.op.heads), self.panel)

    @property
    def panel(self) -> int:
        """Heads of a tile."""
        return self.config["vectors"] * self.lanes

    @property
    def steps(self) -> int:
        """Elements of a query or key."""
        return -(-int(self.op.dim) // (1 + self.pairs))

    @property
    def row(self) -> int:
        """Elements from one row to the next; whole vectors of numbers fit."""
        return spaced(-(-ceiling(int(self.op.dim), self.lanes) // (1 + self.pairs)))

    @property
    def held(self) -> int:
        """Keys that there is memory for."""
        return ceiling(ceiling(self.keys, self.config["key_rows"]), self.lanes)

    @property
    def regions(self) -> dict[str, int]:
        """A task's memory, in elements."""
        return {
            "keys": self.held * self.row,
            "scales": self.held,
            "totals": self.held * self.lanes,
            "logits": self.held,
            "heads": self.heads * self.row,
            "queries": self.heads * self.steps,
            "weights": self.heads,
            "offsets": self.lanes,
        }


def finish(lanes: int) -> Function:
    """``(totals, scales, out, first, low, high, vectors)``: sums over lanes times scales, -inf where no key is seen.

    ``totals[key, lanes]``; key ``first + i`` counts if it is at least ``low`` and below ``high``.
    """
    arguments = (
        "ptr noalias %totals, ptr noalias %scales, ptr noalias %out, i32 %first, i32 %low, i32 %high, i64 %vectors"
    )
    f = Function(lanes, arguments)
    low, high = f.everywhere("%low", "i32"), f.everywhere("%high", "i32")
    ramp = f"<{', '.join(f'i32 {lane}' for lane in range(lanes))}>"

    def block(at: str, _: list[str]) -> list[str]:
        key = f.op(f"mul nuw nsw i64 {at}, {lanes}")
        start = f.place("%totals", f.op(f"mul nuw nsw i64 {key}, {lanes}"))
        rows = transposed(f, [f.read(f.words, f.place(start, i * lanes)) for i in range(lanes)])
        sums = [f.op(f"bitcast {f.words} {row} to {f.floats}") for row in rows]
        while len(sums) > 1:
            sums = [f.op(f"fadd {f.floats} {a}, {b}") for a, b in zip(sums[::2], sums[1::2], strict=True)]
        value = f.op(f"fmul {f.floats} {sums[0]}, {f.read(f.floats, f.place('%scales', key))}")
        position = f.everywhere(f.op(f"add i32 {f.op(f'trunc i64 {key} to i32')}, %first"), "i32")
        position = f.op(f"add {f.words} {position}, {ramp}")
        for comparison, bound in (("sge", low), ("slt", high)):
            seen = f.op(f"icmp {comparison} {f.words} {position}, {bound}")
            least = f.constant(float("-inf"))
            value = f.op(f"select <{lanes} x i1> {seen}, {f.floats} {value}, {f.floats} {least}")
        f.write(f.floats, value, f.place("%out", key))
        return []

    f.loop("%vectors", [], block)
    return f


class Program:
    """Builds the module of one configuration."""

    def __init__(self, workload: Workload, sizes: Sizes) -> None:
        self.workload, self.sizes, self.op = workload, sizes, sizes.op
        s, c, self.library = sizes, sizes.config, Library()
        add = self.library.add
        self.decode = add("decode", RowDecoder(s.lanes, self.op.dtype, self.op.dim, s.pairs).function())
        # Rows are elements by now.
        self.pack = add("pack", Parts(s.lanes, "float32", False, s.lanes).pack(s.steps, s.panel))
        tile = Tile(c["key_rows"], c["vectors"], s.lanes, s.row, 1, s.panel, s.pairs)
        self.products = [add(f"product_{more}", tile.weighted(bool(more))) for more in range(2)]
        self.finish = add("finish", finish(s.lanes))

    def module(self) -> tvm.IRModule:
        """The module, its only function named ``main``."""
        import tvm
        from tvm import tirx
        from tvm.script.ir_builder import IRBuilder
        from tvm.script.ir_builder import tirx as T

        s = self.sizes
        sequences, parts, spans = s.grid
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            T.func_attr({"global_symbol": "main", "tirx.noalias": True})
            b: dict[str, Any] = {a.name: T.arg(a.name, T.Buffer(a.shape, a.dtype)) for a in self.workload.arguments}
            text = self.library.text
            with T.attr(T.int32(0), "pragma_import_llvm", text), T.parallel(0, sequences * parts * spans) as task:
                memory = allocate(s.regions)
                sequence, first = task // (parts * spans), task % spans * s.keys
                count = tirx.min(self.op.keys - first, s.keys)
                self._keys(b, sequence, first, count, memory)
                start = task // spans % parts * s.queries
                with T.serial(0, tirx.min(s.sharing - start, s.queries)) as query:
                    self._query(b, sequence * s.sharing + start + query, first, count, memory)
        return tvm.IRModule({"main": builder.get()})

    def _keys(self, b: Buffers, sequence: Any, first: Any, count: Any, memory: Mapping[str, Region]) -> None:
        """Decode the keys of a task; those beyond its last one are that one again."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        s = self.sizes
        with T.serial(0, ceiling(s.keys, s.config["key_rows"])) as key:
            place: tuple[Any, ...] = (first + tirx.min(key, count - 1),)
            if isinstance(self.op, MqaLogitsPaged):
                page, at = place[0] // self.op.page, place[0] % self.op.page
                place = (b["TABLE"][sequence, page], at)
            self._decode(b, "K", place, memory["keys"].at(key * s.row))
            scale = b["KS"][place] if "KS" in b else T.float32(1)
            memory["scales"].put(key, scale)

    def _decode(self, b: Buffers, name: str, place: tuple[Any, ...], out: Any) -> None:
        from tvm.script.ir_builder import tirx as T

        row = T.address_of(b[name][first_of(place)])
        scales = T.address_of(b[f"S{name}"][first_of(place)]) if f"S{name}" in b else row
        call(self.decode, row, scales, out)

    def _window(self, b: Buffers, query: Any) -> tuple[Any, Any]:
        """The first key that a query sees, and the one after the last."""
        from tvm import tirx

        if isinstance(self.op, MqaLogitsPaged):
            return 0, b["LEN"][query // self.op.queries, query % self.op.queries]
        assert isinstance(self.op, MqaLogits)
        if not self.op.window:
            return 0, self.op.keys
        return tirx.max(b["START"][query], 0), tirx.min(b["END"][query], self.op.keys)

    def _query(self, b: Buffers, query: Any, first: Any, count: Any, memory: Mapping[str, Region]) -> None:
        """The logits of one query for a task's keys."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        s, rows = self.sizes, self.sizes.config["key_rows"]
        low, high = self._window(b, query)
        # Tiles of keys, of which at least one is seen.
        begin = tirx.max(low - first, 0) // rows
        end = (tirx.max(tirx.min(high - first, count), 0) + rows - 1) // rows
        with T.If(end > begin), T.Then():
            self._pack(b, query, memory)
            for panel in range(s.heads // s.panel):
                call(
                    self.products[panel > 0],
                    memory["keys"].at(begin * (rows * s.row)),
                    memory["queries"].at(panel * s.panel * s.steps),
                    memory["weights"].at(panel * s.panel),
                    memory["totals"].at(begin * (rows * s.lanes)),
                    T.int64(s.steps),
                    T.Cast("int64", end - begin),
                )
        regions = [memory[name].at() for name in ("totals", "scales", "logits")]
        vectors = (count + s.lanes - 1) // s.lanes
        call(self.finish, *regions, first, low, high, T.Cast("int64", vectors))
        out = b[self.workload.output_arguments[0].name]
        with T.serial(0, count) as key:
            T.buffer_store(out, memory["logits"].get(key), [query, first + key])

    def _pack(self, b: Buffers, query: Any, memory: Mapping[str, Region]) -> None:
        """The heads of a query as panels, and their weights; heads that there are not have a weight of zero."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        s = self.sizes
        with T.serial(0, self.op.heads) as head:
            self._decode(b, "Q", (query, head), memory["heads"].at(head * s.row))
        with T.serial(0, s.heads) as head:
            weight = b["W"][query, tirx.min(head, self.op.heads - 1)]
            memory["weights"].put(head, tirx.Select(head < self.op.heads, weight, T.float32(0)))
        with T.serial(0, s.heads // s.lanes) as vector:
            with T.serial(0, s.lanes) as lane:
                memory["offsets"].put(lane, tirx.min(vector * s.lanes + lane, self.op.heads - 1) * s.row)
            start = vector * s.lanes // s.panel * (s.steps * s.panel) + vector * s.lanes % s.panel
            call(self.pack, memory["heads"].at(), memory["offsets"].at(), memory["queries"].at(start))
