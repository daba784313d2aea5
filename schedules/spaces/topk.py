"""The largest values of each row on CPUs: a bound from a sample, what reaches it collected, the rest left alone.

A sample of a row, taken at equal steps, tells a key that somewhat more than ``k`` keys of the row should reach. One
pass collects the places of those that do, and only they are searched for the k-th largest, bit by bit. Where the sample
misled and too few reach the bound, all places are collected, so the result is exact whatever the row holds.
"""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from schedules.operator import Operator
from schedules.operators.topk import TopK, ordered, valued
from schedules.row_space import RowSpace, Tasks
from schedules.vectors import total

LEAST = -0x7FFFFFFF - 1


class TopKRows(RowSpace):
    """Knobs: ``rows`` a task; ``sample``: keys of the sample, 0 to search the whole row; ``margin``: how many
    standard deviations more than ``k`` keys should reach the bound."""

    name: ClassVar[str] = "topk"
    version: ClassVar[int] = 1
    families: ClassVar[tuple[type[Operator], ...]] = (TopK,)

    @property
    def total(self) -> int:
        return int(self.op.rows)

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        samples = [n for n in (128, 256, 512, 1024) if 4 * n <= self.op.cols]
        return {**super().knobs, "sample": [0, *samples], "margin": [2, 3, 4, 6] if samples else [0]}

    @property
    def seed(self) -> dict[str, int]:
        return {"sample": 512, "margin": 3}

    def allows(self, config: Mapping[str, int]) -> bool:
        # Without a sample there is no margin: one value stands for all.
        return config["sample"] > 0 or config["margin"] == self.domain["margin"][0]

    def seeds(self) -> list[Any]:
        plain = self.nearest({"rows": -(-self.total // self.target.cores), "sample": 0, "margin": 0})
        return list(dict.fromkeys([*super().seeds(), *([plain] if plain else [])]))

    def kernel(self, tasks: Tasks, config: Mapping[str, int]) -> Any:
        size = config["sample"]
        return _topk(self.op, tasks, self.target.lanes, size, rank(self.op, size, config["margin"]))


def rank(op: TopK, sample: int, margin: int) -> int:
    """Which of a sample's keys, counted from the largest, is the bound: ``margin`` deviations below the k-th share."""
    expected = sample * op.k / op.cols
    return min(sample, math.ceil(expected + margin * math.sqrt(expected * (1 - op.k / op.cols))) + 1)


def _search(lanes: int) -> Any:
    """A macro: ``found[0]``, the largest number that at least ``want`` of ``KEY[0:vectors * lanes]`` reach."""
    from tvm.script import tirx as T

    @T.macro
    def search(KEY, vectors, want, found, count):
        found[0] = LEAST
        for b in range(32):
            # The first step decides the sign: from the least number to 0.
            found[1] = T.if_then_else(b == 0, 0, found[0] | (T.int32(1) << (31 - b)))
            for i in T.vectorized(lanes):
                count[i] = 0
            for c in range(vectors):
                for i in T.vectorized(lanes):
                    count[i] = count[i] + T.Select(KEY[c * lanes + i] >= found[1], 1, 0)
            if total(count[T.ramp(0, 1, lanes)], lanes) >= want:
                found[0] = found[1]

    return search


def _topk(op: TopK, tasks: Tasks, lanes: int, sample: int, among: int) -> Any:
    from tvm.script import tirx as T

    rows, cols, k, dtype, size = op.rows, op.cols, op.k, op.dtype, tasks.size
    step = cols // max(sample, 1)
    room = -(-cols // lanes) * lanes
    search = _search(lanes)

    # fmt: off
    @T.prim_func(s_tir=True)
    def main(X: T.Buffer((rows, cols), dtype), IDX: T.Buffer((rows, k), "int32")):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            for task in tasks.loop(tasks.count):
                with T.sblock("rows"):
                    v = T.axis.spatial(tasks.count, task)
                    T.reads(X[v * size : v * size + size, 0:cols])
                    T.writes(IDX[v * size : v * size + size, 0:k])
                    KEY = T.sblock_alloc_buffer((room,), "int32", scope="local")
                    PLACE = T.sblock_alloc_buffer((cols,), "int32", scope="local")
                    found = T.sblock_alloc_buffer((2,), "int32", scope="local")
                    count = T.sblock_alloc_buffer((lanes,), "int32", scope="local")
                    bound = T.sblock_alloc_buffer((1,), "float32", scope="local")
                    held = T.sblock_alloc_buffer((1,), "int32", scope="local")
                    room_for = T.sblock_alloc_buffer((1,), "int32", scope="local")
                    for r in range(size):
                        if tasks.inside(v * size + r):
                            held[0] = 0
                            if sample > 0:
                                for j in range(sample):
                                    KEY[j] = ordered(X[v * size + r, j * step])
                                search(KEY, sample // lanes, among, found, count)
                                bound[0] = valued(found[0])
                                for j in range(cols):
                                    PLACE[held[0]] = j
                                    reaches = T.meta_var(T.Cast("float32", X[v * size + r, j]) >= bound[0])
                                    held[0] = held[0] + T.Select(reaches, 1, 0)
                            if held[0] < k:
                                for j in range(cols):
                                    PLACE[j] = j
                                held[0] = cols
                            for j in range(held[0]):
                                KEY[j] = ordered(X[v * size + r, PLACE[j]])
                            for j in range(T.truncmod(-held[0], lanes) + lanes):
                                if held[0] + j < room:
                                    KEY[held[0] + j] = LEAST
                            search(KEY, (held[0] + lanes - 1) // lanes, k, found, count)
                            # Of those equal to the k-th largest, as many as the larger ones leave room for.
                            room_for[0] = k
                            for j in range(held[0]):
                                room_for[0] = room_for[0] - T.Select(KEY[j] > found[0], 1, 0)
                            count[0] = 0
                            for j in range(held[0]):
                                if KEY[j] > found[0] or (KEY[j] == found[0] and room_for[0] > 0):
                                    IDX[v * size + r, count[0]] = PLACE[j]
                                    count[0] = count[0] + 1
                                    room_for[0] = room_for[0] - T.Select(KEY[j] == found[0], 1, 0)
    # fmt: on
    return main
