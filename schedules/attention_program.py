"""A whole attention kernel around its inner functions: tasks, buffers, loops over blocks of keys.

A task is a group of query rows and a part of their keys. For each block of keys it gathers the rows it needs, once for
all query rows, multiplies, updates the softmax ("online", Milakov and Gimelshein 2018, as in FlashAttention) and adds
the weighted values to what the blocks before gave. Where keys are split, a second loop joins the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schedules.attention_kernel import LEAST, LOG2_E, Parts
from schedules.attention_view import Buffers, View
from schedules.task_memory import LINE, Region, allocate, call, ceiling, first_of, spaced
from schedules.tile_kernel import Tile
from schedules.vector_text import Library
from schedules.workload import Workload

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class Sizes:
    """What a configuration means for one operator.

    Attributes:
        view: the operator's groups.
        lanes: of a vector.
        pairs: whether dot products are of pairs of bfloat16.
        config: ``keys`` of a block; ``splits`` of the keys; ``depth`` of the sum between visits to the same logits;
            ``score_keys x score_vectors`` and ``value_rows x value_vectors``, the register tiles.
    """

    view: View
    lanes: int
    pairs: bool
    config: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Query rows of a task, whole vectors and tiles of the first product."""
        return ceiling(self.view.rows, self.lanes * self.config["score_vectors"])

    @property
    def block(self) -> int:
        """Keys of a block, whole tiles."""
        return ceiling(min(self.config["keys"], self.part), self.config["score_keys"])

    @property
    def part(self) -> int:
        """Keys of a split."""
        return -(-self.view.keys // self.config["splits"])

    @property
    def steps(self) -> int:
        """Elements of a query or key."""
        return -(-int(self.view.op.dim) // (1 + self.pairs))

    @property
    def width(self) -> int:
        """Channels of a value, whole tiles of the second product."""
        return ceiling(self.view.value_dim, self.lanes * self.config["value_vectors"])

    @property
    def key_row(self) -> int:
        """Elements from one gathered key to the next."""
        return spaced(max(ceiling(self.steps, self.lanes), 0 if self.apart else self.width))

    @property
    def value_row(self) -> int:
        """Elements from one gathered value to the next."""
        return spaced(ceiling(self.width, self.lanes)) if self.apart else self.key_row

    @property
    def apart(self) -> bool:
        """Whether values are gathered besides keys."""
        return self.pairs or not self.view.shared

    @property
    def weighted(self) -> int:
        """Elements of a task's weighted sums of values."""
        return self.view.rows * self.sum_row

    @property
    def sum_row(self) -> int:
        """Elements from one row of weighted sums to the next."""
        return spaced(self.width)

    @property
    def sums(self) -> int:
        """Elements of all that a task keeps from block to block: ``weighted``, then maxima and sums of each row."""
        return ceiling(self.weighted, LINE // 4) + 2 * ceiling(self.rows, LINE // 4)

    def most(self, sums: Region) -> Region:
        """Where the maxima are."""
        return Region(sums.buffer, sums.start + (self.sums - 2 * ceiling(self.rows, LINE // 4)))

    def totals(self, sums: Region) -> Region:
        """Where the sums of powers are."""
        return Region(sums.buffer, sums.start + (self.sums - ceiling(self.rows, LINE // 4)))

    @property
    def regions(self) -> dict[str, int]:
        """What else a task needs, in elements."""
        needed = {"queries": self.rows * self.steps, "keys": self.block * self.key_row}
        needed |= {"logits": self.block * self.rows, "bias": self.block, "alpha": self.rows, "limits": self.rows}
        if self.apart:
            needed["values"] = self.block * self.value_row
        return {**needed, "offsets": self.lanes}

    @property
    def bytes(self) -> int:
        """Of a task's memory, all of which every block of keys visits."""
        return 4 * (self.sums + sum(self.regions.values()))


class Program:
    """Builds the module of one configuration."""

    def __init__(self, workload: Workload, sizes: Sizes) -> None:
        self.workload, self.sizes, self.view = workload, sizes, sizes.view
        self.op, self.lanes, self.pairs = sizes.view.op, sizes.lanes, sizes.pairs
        self.config, self.splits = sizes.config, sizes.config["splits"]
        self.library, self.parts = Library(), Parts(self.lanes, self.op.dtype, self.pairs, sizes.rows)
        self._define()

    def _define(self) -> None:
        """Write the inner functions."""
        s, c, add = self.sizes, self.config, self.library.add
        panel = c["score_vectors"] * self.lanes
        self.pack = add("pack", self.parts.pack(self.op.dim, panel))
        kinds = {"keys": True, "values": False} if s.apart else {"keys": True}
        self.readers = {
            kind: [
                (add(f"read_{kind}_{at}", r.function), r) for at, r in enumerate(self.view.readers(self.parts, keys))
            ]
            for kind, keys in kinds.items()
        }
        self.fetch = {name: add(f"fetch_{name}", self.parts.fetch(n)) for name, n in self.view.key_bytes.items()}
        score = Tile(c["score_keys"], c["score_vectors"], self.lanes, s.key_row, 1, panel, self.pairs)
        self.scores = add("scores", score.stored(s.rows, "zero"))
        self.more_scores = add("more_scores", score.stored(s.rows, "add"))
        self.softmax = add("softmax", self.parts.softmax(self.view.causal))
        self.values = {}
        for rows in {c["value_rows"], self.view.rows % c["value_rows"]} - {0}:
            tile = Tile(rows, c["value_vectors"], self.lanes, 1, s.rows, s.value_row)
            self.values[rows] = add(f"values_{rows}", tile.stored(s.sum_row, "scale"))
        sink = bool(getattr(self.op, "sink", False))
        self.weights = add("weights", self.parts.weights(self.splits, s.sums, sink))
        self.blend = add("blend", self.parts.blend(self.view.value_dim, self.splits, s.sums))

    def module(self) -> tvm.IRModule:
        """The module, its only function named ``main``."""
        import tvm
        from tvm.script.ir_builder import IRBuilder
        from tvm.script.ir_builder import tirx as T

        s, groups, splits = self.sizes, self.view.groups, self.splits
        vectors = s.rows // self.lanes
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            T.func_attr({"global_symbol": "main", "tirx.noalias": True})
            b: dict[str, Any] = {a.name: T.arg(a.name, T.Buffer(a.shape, a.dtype)) for a in self.workload.arguments}
            with T.attr(T.int32(0), "pragma_import_llvm", self.library.text):
                if splits == 1:
                    with T.parallel(0, groups) as group:
                        memory = allocate({**s.regions, "sums": s.sums})
                        self._task(b, group, 0, memory, memory["sums"])
                        with T.serial(0, vectors) as vector:
                            self._finish(b, group, memory["sums"], vector)
                else:
                    parts = allocate({"sums": groups * splits * s.sums})["sums"]
                    with T.parallel(0, groups * splits) as task:
                        own = Region(parts.buffer, task * s.sums)
                        self._task(b, task // splits, task % splits, allocate(s.regions), own)
                    with T.parallel(0, groups * vectors) as task:
                        own = Region(parts.buffer, task // vectors * (splits * s.sums))
                        self._finish(b, task // vectors, own, task % vectors)
        return tvm.IRModule({"main": builder.get()})

    def _task(self, b: Buffers, group: Any, part: Any, memory: Mapping[str, Region], sums: Region) -> None:
        """All blocks of keys of one part of one group, into ``sums``."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        s, view = self.sizes, self.view
        self._pack(b, group, memory)
        if view.causal:
            with T.serial(0, s.rows) as row:
                memory["limits"].put(row, view.limit(group, tirx.min(row, view.rows - 1)))
        sums.fill(s.weighted, self.lanes, 0.0)
        s.most(sums).fill(s.rows, self.lanes, LEAST)
        s.totals(sums).fill(s.rows, self.lanes, 0.0)
        begin = part * s.part
        total = tirx.min(view.count(b, group) - begin, s.part)
        size, tile = min(self.config["keys"], s.part), self.config["score_keys"]
        with T.serial(0, tirx.max((total + size - 1) // size, 0)) as block:
            first = begin + block * size
            count = tirx.min(total - block * size, size)
            tiles = (count + tile - 1) // tile
            self._gather(b, group, first, count, tiles * tile, memory)
            self._scores(memory, tiles)
            self._softmax(b, first, tiles * tile, memory, sums)
            self._values(memory, sums, tiles * tile)

    def _pack(self, b: Buffers, group: Any, memory: Mapping[str, Region]) -> None:
        """The rows of a group, transposed, in panels as wide as a tile."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        s, lanes, panel = self.sizes, self.lanes, self.config["score_vectors"] * self.lanes
        shape = [int(extent) for extent in b["Q"].shape]
        with T.serial(0, s.rows // lanes) as vector:
            with T.serial(0, lanes) as lane:
                place = self.view.query(group, tirx.min(vector * lanes + lane, self.view.rows - 1))
                at: Any = 0
                for index, extent in zip(place, shape, strict=False):
                    at = at * extent + index
                memory["offsets"].put(lane, at * shape[-1])
            start = vector * lanes // panel * (s.steps * panel) + vector * lanes % panel
            call(
                self.pack, T.address_of(b["Q"][(0,) * len(shape)]), memory["offsets"].at(), memory["queries"].at(start)
            )

    def _gather(
        self, b: Buffers, group: Any, first: Any, count: Any, padded: Any, memory: Mapping[str, Region]
    ) -> None:
        """Keys and values of a block; keys that are not there have a bias of minus infinity."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        s, view = self.sizes, self.view

        with T.serial(0, padded) as key:
            nearest = first + tirx.min(key, count - 1)
            present = view.present(b, group, nearest)
            there = key < count if present is None else tirx.all(key < count, present)
            memory["bias"].put(key, tirx.Select(there, T.float32(0), T.float32(float("-inf"))))
            if self.config["ahead"]:
                soon = view.key(b, group, tirx.min(first + key + self.config["ahead"], view.keys - 1))
                for name, fetch in self.fetch.items():
                    call(fetch, T.address_of(b[name][first_of(soon)]))
            place = first_of(view.key(b, group, nearest))
            for kind, row in (("keys", s.key_row), ("values", s.value_row)):
                for function, reader in self.readers.get(kind, ()):
                    # Numbers of keys may be two to an element.
                    at = reader.number // (1 + (self.pairs and kind == "keys"))
                    sources = [T.address_of(b[name][place]) for name in reader.sources]
                    call(function, *sources, memory[kind].at(key * row + at))

    def _scores(self, memory: Mapping[str, Region], tiles: Any) -> None:
        """Dot products ``logits[key, row]``."""
        from tvm.script.ir_builder import tirx as T

        s, depth = self.sizes, self.config["depth"]
        panel = self.config["score_vectors"] * self.lanes
        for start in range(0, s.steps, depth):
            with T.serial(0, s.rows // panel) as p:
                call(
                    self.more_scores if start else self.scores,
                    memory["keys"].at(start),
                    memory["queries"].at(p * (s.steps * panel) + start * panel),
                    memory["logits"].at(p * panel),
                    memory["alpha"].at(),
                    T.int64(min(depth, s.steps - start)),
                    T.Cast("int64", tiles),
                )

    def _softmax(self, b: Buffers, first: Any, keys: Any, memory: Mapping[str, Region], sums: Region) -> None:
        """Logits to weights."""
        from tvm.script.ir_builder import tirx as T

        s = self.sizes
        rows = [memory[name].at() for name in ("logits", "bias", "limits")]
        rows += [s.most(sums).at(), s.totals(sums).at(), memory["alpha"].at()]
        call(self.softmax, *rows, T.Cast("int64", keys), first, self.view.scale(b) * T.float32(LOG2_E))

    def _values(self, memory: Mapping[str, Region], sums: Region, keys: Any) -> None:
        """``sums = alpha sums + weights^T values``."""
        from tvm.script.ir_builder import tirx as T

        s, tile = self.sizes, self.config["value_rows"]
        panel = self.config["value_vectors"] * self.lanes
        values = memory["values" if s.apart else "keys"]

        def add(rows: int, row: int, tiles: int, column: Any) -> None:
            call(
                self.values[rows],
                memory["logits"].at(row),
                values.at(column * panel),
                sums.at(row * s.sum_row + column * panel),
                memory["alpha"].at(row),
                T.Cast("int64", keys),
                T.int64(tiles),
            )

        whole = self.view.rows // tile * tile
        with T.serial(0, s.width // panel) as column:
            if whole:
                add(tile, 0, whole // tile, column)
            if whole < self.view.rows:
                add(self.view.rows - whole, whole, 1, column)

    def _finish(self, b: Buffers, group: Any, sums: Region, vector: Any) -> None:
        """Divide and write one vector of rows."""
        from tvm import tirx
        from tvm.script.ir_builder import tirx as T

        s, lanes, view = self.sizes, self.lanes, self.view
        out = b[self.workload.output_arguments[0].name]
        memory = allocate({"weights": self.splits * lanes, "sinks": lanes})
        first = vector * lanes
        if view.sink(b, group, 0) is not None:
            with T.serial(0, lanes) as lane:
                memory["sinks"].put(lane, view.sink(b, group, tirx.min(first + lane, view.rows - 1)))
        maxima, totals = s.most(sums).at(first), s.totals(sums).at(first)
        call(self.weights, maxima, totals, memory["sinks"].at(), memory["weights"].at())
        with T.serial(0, tirx.max(tirx.min(view.size(group) - first, lanes), 0)) as lane:
            to = T.address_of(out[first_of(view.query(group, first + lane))])
            call(self.blend, sums.at((first + lane) * s.sum_row), memory["weights"].at(lane), to)
