"""Router of a mixture of experts: which experts a token goes to, and with what weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schedules.dtypes import TOLERANCE
from schedules.operator import Arrays, Operator, Tolerance
from targets.errors import InputError

if TYPE_CHECKING:
    from tvm import te, tirx


SCORES = ("sigmoid", "sqrtsoftplus", "softmax")
# Those of models so far, for recognition: Mixtral and Qwen3, DeepSeek-V4-Flash, V3 and V4-Pro.
SCALES = (1.0, 1.5, 2.5)


@dataclass(frozen=True)
class MoeGate(Operator):
    """The ``topk`` experts of largest ``score + bias``, best first, weighted by their normalised scores.

    Inputs ``L[tokens, experts]`` logits and ``BIAS[experts]``; outputs ``IDX`` int32 and ``W`` float32, both
    ``[tokens, topk]``, ``w = scale * s / sum of the chosen s``: the bias chooses and does not weigh. With ``groups``
    above 1 only experts of the ``topk_groups`` best groups are eligible, a group scoring the sum of its two largest
    ``score + bias``. Semantics of ``Gate`` in DeepSeek-V3 and V4 ``inference/model.py``. Equal values: the lower
    index wins.

    Sorting is by counting: an expert's place is the number of experts that beat it, which needs no control flow.
    Stages: ``S`` scores (for softmax, those of ``topi.nn.softmax``), ``B`` biased; of groups ``GR`` rank inside, ``G``
    score, ``GK`` rank of the group, ``K`` biased or -inf; ``R`` rank; ``IDX``, ``C`` chosen scores, ``D`` their sum,
    ``W``.

    Attributes:
        tokens, experts, topk: rows, experts to choose from, experts to choose.
        score: ``sigmoid`` (DeepSeek-V3), ``sqrtsoftplus`` (V4) or ``softmax`` (Mixtral, Qwen3).
        groups, topk_groups: groups of neighbouring experts, and how many of them are eligible.
        scale: of the weights (``routed_scaling_factor``).
    """

    name: ClassVar[str] = "moe_gate"
    summary: ClassVar[str] = "mixture-of-experts router: top-k experts and their weights"
    row_parameter: ClassVar[str] = "tokens"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"score": SCORES}
    tokens: int
    experts: int
    topk: int
    score: str = "sigmoid"
    groups: int = 1
    topk_groups: int = 1
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.experts // self.groups
        if self.experts % self.groups or self.topk_groups > self.groups or (self.groups > 1 and size < 2):
            raise InputError(f"operator {self.name!r}: cannot choose {self.topk_groups} of {self.groups} groups")
        if self.topk > size * self.topk_groups:
            raise InputError(f"operator {self.name!r}: topk is {self.topk}, of {size * self.topk_groups} eligible")

    def prim_func(self) -> tirx.PrimFunc:
        from tvm import te, tirx

        logits = te.placeholder((self.tokens, self.experts), "float32", "L")
        bias = te.placeholder((self.experts,), "float32", "BIAS")
        score = scores(logits, self.score)
        biased = te.compute(score.shape, lambda t, e: score[t, e] + bias[e], name="B")
        rank = _ranks(self._eligible(biased), self.experts, "R")
        shape = (self.tokens, self.topk)
        e = te.reduce_axis((0, self.experts), "e")
        index = te.compute(
            shape,
            lambda t, j: te.sum(tirx.Select(rank[t, e] == j, e.var.astype("int32"), tirx.const(0)), axis=e),
            name="IDX",
        )
        e = te.reduce_axis((0, self.experts), "e")
        zero = tirx.const(0.0, "float32")
        chosen = te.compute(
            shape, lambda t, j: te.sum(tirx.Select(rank[t, e] == j, score[t, e], zero), axis=e), name="C"
        )
        j = te.reduce_axis((0, self.topk), "j")
        total = te.compute((self.tokens,), lambda t: te.sum(chosen[t, j], axis=j), name="D")
        scale = tirx.const(self.scale, "float32")
        weight = te.compute(shape, lambda t, j: chosen[t, j] / total[t] * scale, name="W")
        return te.create_prim_func([logits, bias, index, weight])

    def _eligible(self, biased: te.Tensor) -> te.Tensor:
        """``biased``, -inf where the expert's group was not chosen."""
        from tvm import te, tirx

        if self.groups == 1:
            return biased
        size = self.experts // self.groups
        inside = _ranks(biased, size, "GR")
        r = te.reduce_axis((0, size), "r")
        zero = tirx.const(0.0, "float32")

        def top_two(t, g):  # type: ignore[no-untyped-def]
            return te.sum(tirx.Select(inside[t, g * size + r] < 2, biased[t, g * size + r], zero), axis=r)

        group = te.compute((self.tokens, self.groups), top_two, name="G")
        place = _ranks(group, self.groups, "GK")
        least = tirx.const(float("-inf"), "float32")
        return te.compute(
            biased.shape,
            lambda t, e: tirx.Select(place[t, e // size] < self.topk_groups, biased[t, e], least),
            name="K",
        )

    def inputs(self, rng: np.random.Generator) -> Arrays:
        """Logits of which no two that decide anything are closer than float32 arithmetic can tell."""
        logits = rng.standard_normal((self.tokens, self.experts), np.float32) * np.float32(2)
        mean = float(reference_scores(logits, self.score).mean())
        bias = rng.standard_normal(self.experts, np.float32) * np.float32(0.2 * mean)
        while (tied := self._near_ties(logits, bias)).any():
            logits[tied] = rng.standard_normal((int(tied.sum()), self.experts), np.float32) * np.float32(2)
        return [logits, bias]

    def _near_ties(self, logits: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Rows in which two values that are compared, and matter, are nearly equal."""
        value, group = self._choice(logits, bias)
        best = np.sort(value, axis=1)[:, ::-1][:, : self.topk + 1]
        with np.errstate(invalid="ignore"):
            gap = -np.diff(best, axis=1)
        close = 1e-5 * np.abs(best).max(axis=1, where=np.isfinite(best), initial=0.0)
        tied = (gap < close[:, None]).any(axis=1)
        if self.topk_groups < self.groups:
            last = np.sort(group, axis=1)[:, ::-1][:, self.topk_groups - 1 : self.topk_groups + 1]
            tied |= last[:, 0] - last[:, 1] < close
        return tied

    def _choice(self, logits: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What experts and groups are chosen by, in float64: biased scores (or -inf), group scores."""
        value = reference_scores(logits, self.score) + bias
        grouped = value.reshape(self.tokens, self.groups, -1)
        group = np.sort(grouped, axis=2)[..., -2:].sum(axis=2)
        out = np.argsort(-group, axis=1, kind="stable")[:, self.topk_groups :]
        np.put_along_axis(grouped, out[..., None], -np.inf, axis=1)
        return value, group

    def reference(self, inputs: Sequence[np.ndarray]) -> Arrays:
        logits, bias = inputs
        index = np.argsort(-self._choice(logits, bias)[0], axis=1, kind="stable")[:, : self.topk]
        chosen = np.take_along_axis(reference_scores(logits, self.score), index, axis=1)
        weight = chosen / chosen.sum(axis=1, keepdims=True) * self.scale
        return [index.astype(np.int32), weight.astype(np.float32)]

    @property
    def flops(self) -> int:
        # Scores and one comparison each: what any method needs, not what counting takes.
        return 5 * self.tokens * self.experts

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        return (Tolerance(0.0, 0.0), TOLERANCE["float32"])

    @property
    def label(self) -> str:
        groups = f", {self.topk_groups} of {self.groups} groups" if self.groups > 1 else ""
        return f"{self.tokens}x{self.experts} top {self.topk} {self.score}{groups}"

    @classmethod
    def examples(cls) -> Iterable[MoeGate]:
        yield cls(16, 64, 8, "sigmoid", 8, 4, 2.5)
        yield cls(5, 48, 6, "sqrtsoftplus", 1, 1, 1.5)
        yield cls(7, 37, 3, "softmax")

    @classmethod
    def match(cls, arguments: Sequence[tuple[tuple[int, ...], str]]) -> Iterable[MoeGate]:
        if len(arguments) != 4 or [dtype for _, dtype in arguments] != ["float32", "float32", "int32", "float32"]:
            return
        logits, topk = arguments[0][0], arguments[2][0][-1]
        if len(logits) != 2 or topk > logits[1]:
            return
        for score in SCORES:
            yield from (cls(*logits, topk, score, 1, 1, scale) for scale in SCALES)
        if logits[1] % 8 == 0 and topk <= logits[1] // 2:
            yield from (cls(*logits, topk, "sigmoid", 8, 4, scale) for scale in SCALES)


def scores(logits: te.Tensor, form: str) -> te.Tensor:
    """The TE stage ``S`` of scores (for softmax, the stages of ``topi.nn.softmax``)."""
    from tvm import te, topi

    if form == "softmax":
        return topi.nn.softmax(logits)
    return te.compute(logits.shape, lambda t, e: score_of(logits[t, e], form), name="S")


def score_of(x: Any, form: str) -> Any:
    """The score of a logit, ``sigmoid`` or ``sqrtsoftplus``: a float32 expression of any number of lanes."""
    from tvm import tirx

    one, zero = tirx.const(1.0, "float32"), tirx.const(0.0, "float32")
    if form == "sigmoid":
        return one / (one + tirx.exp(-x))
    return tirx.sqrt(tirx.max(x, zero) + tirx.log1p(tirx.exp(-tirx.abs(x))))


def reference_scores(logits: np.ndarray, form: str) -> np.ndarray:
    """Scores in float64."""
    x = logits.astype(np.float64)
    if form == "sigmoid":
        return 1 / (1 + np.exp(-x))
    if form == "sqrtsoftplus":
        return np.sqrt(np.logaddexp(0, x))
    y = np.exp(x - x.max(axis=1, keepdims=True))
    return y / y.sum(axis=1, keepdims=True)


def _ranks(value: te.Tensor, size: int, name: str) -> Any:
    """A TE stage: for each column of ``value``, how many of its run of ``size`` columns beat it."""
    from tvm import te, tirx

    r = te.reduce_axis((0, size), "r")

    def beaten(t, e):  # type: ignore[no-untyped-def]
        other = e // size * size + r
        mine, theirs = value[t, e], value[t, other]
        wins = tirx.any(theirs > mine, tirx.all(theirs == mine, other < e))
        return te.sum(tirx.Select(wins, tirx.const(1), tirx.const(0)), axis=r)

    return te.compute(value.shape, beaten, name=name)
