"""Router that looks experts up by token id, and weighs them by their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from schedules.dtypes import TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance
from schedules.operators.moe_gate import SCALES, SCORES, reference_scores, scores
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import tirx


@dataclass(frozen=True)
class MoeHashGate(Operator):
    """``idx = TABLE[ids]``, ``w = scale * s[idx] / sum s[idx]``: the gate of the first layers of DeepSeek-V4.

    Inputs ``L[tokens, experts]`` logits, ``IDS[tokens]`` and ``TABLE[vocab, topk]`` int32; outputs ``IDX`` int32 and
    ``W`` float32, both ``[tokens, topk]``. Semantics of ``Gate`` in V4's ``inference/model.py``. Stages: ``S`` scores,
    ``IDX``, ``D`` sum of the chosen scores, ``W``.

    Attributes:
        tokens, experts, topk: rows, experts to choose from, experts to choose.
        vocab: token ids.
        score: as of ``moe_gate``.
        scale: of the weights (``routed_scaling_factor``).
    """

    name: ClassVar[str] = "moe_hash_gate"
    summary: ClassVar[str] = "mixture-of-experts router by token id"
    row_parameter: ClassVar[str] = "tokens"
    weights: ClassVar[tuple[str, ...]] = ("TABLE",)
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"score": SCORES}
    tokens: int
    experts: int
    topk: int
    vocab: int
    score: str = "sqrtsoftplus"
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.topk > self.experts:
            raise InputError(f"operator {self.name!r}: topk is {self.topk}, of {self.experts} experts")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        logits = te.placeholder((self.tokens, self.experts), "float32", "L")
        ids = te.placeholder((self.tokens,), "int32", "IDS")
        chosen = te.placeholder((self.vocab, self.topk), "int32", "TABLE")
        score = scores(logits, self.score)
        shape = (self.tokens, self.topk)
        index = te.compute(shape, lambda t, j: chosen[ids[t], j], name="IDX")
        j = te.reduce_axis((0, self.topk), "j")
        total = te.compute((self.tokens,), lambda t: te.sum(score[t, index[t, j]], axis=j), name="D")
        scale = tirx.const(self.scale, "float32")
        weight = te.compute(shape, lambda t, j: score[t, index[t, j]] / total[t] * scale, name="W")
        return te.create_prim_func([logits, ids, chosen, index, weight])

    def inputs(self, rng: np.random.Generator) -> Arrays:
        logits = rng.standard_normal((self.tokens, self.experts), np.float32) * np.float32(2)
        # A run of experts from a random one on: distinct in each row.
        first = rng.integers(0, self.experts, (self.vocab, 1))
        table = (first + np.arange(self.topk)) % self.experts
        ids = np.resize(rng.permutation(self.vocab), self.tokens)
        return [logits, ids.astype(np.int32), table.astype(np.int32)]

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        logits, ids, table = inputs
        index = table[ids]
        chosen = np.take_along_axis(reference_scores(logits, self.score), index, axis=1)
        weight = chosen / chosen.sum(axis=1, keepdims=True) * self.scale
        return [index, weight.astype(np.float32)]

    @property
    def flops(self) -> int:
        # Of softmax all scores are needed, of the others only those that are chosen.
        return 4 * self.tokens * (self.experts if self.score == "softmax" else self.topk)

    @property
    def traffic(self) -> int:
        logits = self.experts if self.score == "softmax" else self.topk
        return 4 * self.tokens * (logits + 1 + 3 * self.topk)

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (Tolerance(0.0, 0.0), TOLERANCE["float32"])

    @property
    def label(self) -> str:
        return f"{self.tokens}x{self.experts} top {self.topk} {self.score} by id of {self.vocab}"

    @classmethod
    def examples(cls) -> Iterable[MoeHashGate]:
        yield cls(16, 64, 6, 1000, "sqrtsoftplus", 1.5)
        yield cls(7, 37, 3, 101, "softmax")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[MoeHashGate]:
        if len(arguments) != 5 or [len(shape) for shape, _ in arguments] != [2, 1, 2, 2, 2]:
            return
        (tokens, experts), (vocab, topk) = arguments[0][0], arguments[2][0]
        if arguments[0][1] == "float32" and arguments[1][1] == arguments[2][1] == "int32" and topk <= experts:
            yield from (cls(tokens, experts, topk, vocab, score, scale) for score in SCORES for scale in SCALES)
