"""Routers of experts on CPUs: the best experts one after the other, each found by two passes over vectors.

The workload's own program ranks every expert against every other, without control flow. Here the largest of a row's
keys is found, then the first place that has it, and the place is struck out, ``topk`` times.
"""

# No ``from __future__ import annotations`` here: TVMScript reads annotations as they are, and they are no types.
# mypy: disable-error-code="valid-type, no-untyped-def"
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from schedules.operator import Operator
from schedules.operators.moe_gate import MoeGate, score_of
from schedules.operators.moe_hash_gate import MoeHashGate
from schedules.operators.topk import ordered, valued
from schedules.row_space import RowSpace, Tasks
from schedules.vectors import largest, least, total

LEAST, MOST = -(1 << 31), (1 << 31) - 1


class Gate(RowSpace):
    """Knobs: ``rows`` a task; ``width``: vectors that a pass over the experts works on at once."""

    name: ClassVar[str] = "gate"
    version: ClassVar[int] = 1
    families: ClassVar[tuple[type[Operator], ...]] = (MoeGate, MoeHashGate)

    @property
    def total(self) -> int:
        return self.op.tokens

    @property
    def knobs(self) -> dict[str, Sequence[int]]:
        return {**super().knobs, "width": [1, 2, 4]}

    @property
    def seed(self) -> dict[str, int]:
        return {"width": 2}

    def kernel(self, tasks: Tasks, config: Mapping[str, int]) -> Any:
        lanes = self.target.lanes * config["width"]
        if isinstance(self.op, MoeGate):
            return _gate(self.op, tasks, lanes)
        return _hash_gate(self.op, tasks, lanes)


def _scores(form: str, experts: int, lanes: int) -> Any:
    """A macro: ``S[e]``, the scores of row ``t`` of ``L``; ``part[lanes]`` and ``one[1]`` are memory to work in.

    ``S`` has whole vectors; what stands in those of the last that are no experts is not a score.
    """
    from tvm.script import tirx as T

    whole, rest = experts // lanes, experts % lanes
    vectors = whole + (rest > 0)
    pads = vectors * lanes - experts

    @T.macro
    def copied(L, t, S):
        for c in range(whole):
            for i in T.vectorized(lanes):
                S[c * lanes + i] = L[t, c * lanes + i]
        for e in range(rest):
            S[whole * lanes + e] = L[t, whole * lanes + e]
        for e in range(pads):
            S[experts + e] = T.float32(-3.4e38)

    @T.macro
    def simple(L, t, S, part, one):
        copied(L, t, S)
        for c in range(vectors):
            for i in T.vectorized(lanes):
                S[c * lanes + i] = score_of(S[c * lanes + i], form)

    @T.macro
    def softmax(L, t, S, part, one):
        copied(L, t, S)
        for i in T.vectorized(lanes):
            part[i] = S[i]
        for c in range(1, vectors):
            for i in T.vectorized(lanes):
                part[i] = T.max(part[i], S[c * lanes + i])
        one[0] = largest(part[T.ramp(0, 1, lanes)], lanes)
        for i in T.vectorized(lanes):
            part[i] = T.float32(0)
        for c in range(vectors):
            for i in T.vectorized(lanes):
                S[c * lanes + i] = T.exp(S[c * lanes + i] - one[0])
                part[i] = part[i] + S[c * lanes + i]
        one[0] = T.float32(1) / total(part[T.ramp(0, 1, lanes)], lanes)
        for c in range(vectors):
            for i in T.vectorized(lanes):
                S[c * lanes + i] = S[c * lanes + i] * one[0]

    return softmax if form == "softmax" else simple


def _eligible(op: MoeGate) -> Any:
    """A macro: the keys of the groups that were not chosen become the least; ``G`` and ``pair`` are memory."""
    from tvm.script import tirx as T

    groups, size = op.groups, op.experts // op.groups
    width = next(n for n in (16, 8, 4, 2, 1) if size % n == 0)

    @T.macro
    def keep(KEY, G, pair):
        for g in range(groups):
            # The two largest of each lane, then of the lanes.
            for i in T.vectorized(width):
                pair[i] = LEAST
                pair[width + i] = LEAST
            for c in range(size // width):
                for i in T.vectorized(width):
                    pair[width + i] = T.max(pair[width + i], T.min(pair[i], KEY[g * size + c * width + i]))
                    pair[i] = T.max(pair[i], KEY[g * size + c * width + i])
            for i in range(1, width):
                pair[width] = T.max(T.max(pair[width], pair[width + i]), T.min(pair[0], pair[i]))
                pair[0] = T.max(pair[0], pair[i])
            G[g] = valued(pair[0]) + valued(pair[width])
        for g in range(groups):
            pair[0] = 0
            for other in range(groups):
                beats = G[other] > G[g] or (G[other] == G[g] and other < g)
                pair[0] = pair[0] + T.Select(beats, 1, 0)
            if pair[0] >= op.topk_groups:
                for c in range(size // width):
                    for i in T.vectorized(width):
                        KEY[g * size + c * width + i] = LEAST

    return keep


def _gate(op: MoeGate, tasks: Tasks, lanes: int) -> Any:
    from tvm.script import tirx as T

    tokens, experts, topk, size = op.tokens, op.experts, op.topk, tasks.size
    vectors = -(-experts // lanes)
    room = vectors * lanes
    fill = _scores(op.score, experts, lanes)
    keep = _eligible(op)

    # fmt: off
    @T.prim_func(s_tir=True)
    def main(
        L: T.Buffer((tokens, experts), "float32"),
        BIAS: T.Buffer((experts,), "float32"),
        IDX: T.Buffer((tokens, topk), "int32"),
        W: T.Buffer((tokens, topk), "float32"),
    ):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            for task in tasks.loop(tasks.count):
                with T.sblock("rows"):
                    v = T.axis.spatial(tasks.count, task)
                    T.reads(L[v * size : v * size + size, 0:experts], BIAS[0:experts])
                    T.writes(IDX[v * size : v * size + size, 0:topk], W[v * size : v * size + size, 0:topk])
                    S = T.sblock_alloc_buffer((room,), "float32", scope="local")
                    KEY = T.sblock_alloc_buffer((room,), "int32", scope="local")
                    G = T.sblock_alloc_buffer((op.groups,), "float32", scope="local")
                    pair = T.sblock_alloc_buffer((32,), "int32", scope="local")
                    part = T.sblock_alloc_buffer((lanes,), "float32", scope="local")
                    one = T.sblock_alloc_buffer((1,), "float32", scope="local")
                    most = T.sblock_alloc_buffer((lanes,), "int32", scope="local")
                    place = T.sblock_alloc_buffer((lanes,), "int32", scope="local")
                    best = T.sblock_alloc_buffer((2,), "int32", scope="local")
                    for r in range(size):
                        if tasks.inside(v * size + r):
                            fill(L, v * size + r, S, part, one)
                            for e in range(experts):
                                KEY[e] = ordered(S[e] + BIAS[e])
                            for e in range(room - experts):
                                KEY[experts + e] = LEAST
                            if op.groups > 1:
                                keep(KEY, G, pair)
                            one[0] = T.float32(0)
                            for k in range(topk):
                                for i in T.vectorized(lanes):
                                    most[i] = KEY[i]
                                for c in range(1, vectors):
                                    for i in T.vectorized(lanes):
                                        most[i] = T.max(most[i], KEY[c * lanes + i])
                                best[0] = largest(most[T.ramp(0, 1, lanes)], lanes)
                                for i in T.vectorized(lanes):
                                    place[i] = MOST
                                for c in range(vectors):
                                    for i in T.vectorized(lanes):
                                        place[i] = T.min(
                                            place[i], T.Select(KEY[c * lanes + i] == best[0], c * lanes + i, MOST)
                                        )
                                best[1] = least(place[T.ramp(0, 1, lanes)], lanes)
                                KEY[best[1]] = LEAST
                                IDX[v * size + r, k] = best[1]
                                W[v * size + r, k] = S[best[1]]
                                one[0] = one[0] + S[best[1]]
                            for k in range(topk):
                                W[v * size + r, k] = W[v * size + r, k] / one[0] * T.float32(op.scale)
    # fmt: on
    return main


def _hash_gate(op: MoeHashGate, tasks: Tasks, lanes: int) -> Any:
    from tvm.script import tirx as T

    tokens, experts, topk, vocab, size = op.tokens, op.experts, op.topk, op.vocab, tasks.size
    # Of softmax all scores are needed, of the others only those of the experts that were looked up.
    softmax = op.score == "softmax"
    count = experts if softmax else topk
    room = -(-count // lanes) * lanes
    fill = _scores(op.score, count, lanes)

    # fmt: off
    @T.prim_func(s_tir=True)
    def main(
        L: T.Buffer((tokens, experts), "float32"),
        IDS: T.Buffer((tokens,), "int32"),
        TABLE: T.Buffer((vocab, topk), "int32"),
        IDX: T.Buffer((tokens, topk), "int32"),
        W: T.Buffer((tokens, topk), "float32"),
    ):
        T.func_attr({"tirx.noalias": True})
        with T.sblock("root"):
            for task in tasks.loop(tasks.count):
                with T.sblock("rows"):
                    v = T.axis.spatial(tasks.count, task)
                    T.reads(L[v * size : v * size + size, 0:experts], IDS[0:tokens], TABLE[0:vocab, 0:topk])
                    T.writes(IDX[v * size : v * size + size, 0:topk], W[v * size : v * size + size, 0:topk])
                    S = T.sblock_alloc_buffer((room,), "float32", scope="local")
                    X = T.sblock_alloc_buffer((1, count), "float32", scope="local")
                    part = T.sblock_alloc_buffer((lanes,), "float32", scope="local")
                    one = T.sblock_alloc_buffer((1,), "float32", scope="local")
                    for r in range(size):
                        if tasks.inside(v * size + r):
                            for k in range(topk):
                                IDX[v * size + r, k] = TABLE[IDS[v * size + r], k]
                            if softmax:
                                fill(L, v * size + r, S, part, one)
                            else:
                                for k in range(topk):
                                    X[0, k] = L[v * size + r, TABLE[IDS[v * size + r], k]]
                                fill(X, 0, S, part, one)
                            one[0] = T.float32(0)
                            for k in range(topk):
                                W[v * size + r, k] = S[TABLE[IDS[v * size + r], k] if softmax else k]
                                one[0] = one[0] + W[v * size + r, k]
                            for k in range(topk):
                                W[v * size + r, k] = W[v * size + r, k] / one[0] * T.float32(op.scale)
    # fmt: on
    return main
