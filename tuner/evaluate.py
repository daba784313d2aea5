"""How good the cost model is on workloads it has not seen: rank correlation, and what trusting it would cost."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tuner.cost_model import CostModel, Example

# Left out in turn; with fewer workloads than this it is one at a time.
FOLDS = 10
# Good trials that a workload needs for its ranking to mean something.
ENOUGH = 10
FEW = 8


@dataclass(frozen=True)
class Held:
    """How the model, trained without this workload, ranks the schedules that were tried for it.

    A regret is a time over the best time known, 1 is perfect. What chance gives is the mean over all choices.

    Attributes:
        trials: schedules that ran, of one space.
        correlation: Spearman's, of predicted and measured times.
        first, few: regret of the schedule that the model likes best, and of the best of its eight favourites.
        chance_first, chance_few: the same of schedules picked by chance.
    """

    space: str
    operator: str
    label: str
    cache: str
    trials: int
    correlation: float
    first: float
    few: float
    chance_first: float
    chance_few: float


@dataclass(frozen=True)
class Quality:
    """The same over several workloads: mean correlation, geometric means of the regrets.

    Attributes:
        workloads: how many, under each policy and toolchain they were timed with.
        worst: the largest ``first``.
    """

    space: str
    operator: str
    workloads: int
    trials: int
    correlation: float
    first: float
    few: float
    chance_first: float
    chance_few: float
    worst: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)


def hold_out(examples: Sequence[Example], folds: int = FOLDS) -> list[Held]:
    """Train without some workloads, rank what was tried for them, and so on with the next ones, until each was out."""
    workloads = sorted({e.context.workload.id for e in examples})
    found = []
    for fold in range(min(folds, len(workloads)) if len(workloads) > 1 else 0):
        out = set(workloads[fold::folds])
        model = CostModel()
        model.fit(e for e in examples if e.context.workload.id not in out)
        groups: dict[tuple[str, ...], list[Example]] = defaultdict(list)
        for example in examples:
            if example.context.workload.id in out and example.seconds is not None and example.row is not None:
                key = (*example.group, example.schedule.space)
                groups[key].append(example)
        for group in groups.values():
            scores = model.predict(group[0].context, [e.schedule for e in group]) if len(group) >= ENOUGH else None
            if scores is not None:
                found.append(_held(group, scores))
    return sorted(found, key=lambda held: (held.space, held.operator, held.label))


def summarise(held: Iterable[Held]) -> list[Quality]:
    """By space and operator, and then over all operators of a space (``operator`` is ``all``)."""
    parts: dict[tuple[str, str], list[Held]] = defaultdict(list)
    for each in held:
        parts[each.space, each.operator].append(each)
        parts[each.space, "all"].append(each)
    order = sorted(parts, key=lambda part: (part[0], part[1] == "all", part[1]))
    return [_quality(space, operator, parts[space, operator]) for space, operator in order]


def metrics(held: Iterable[Held]) -> dict[str, dict[str, Any]]:
    """By space, what is kept with a model."""
    return {quality.space: quality.to_json() for quality in summarise(held) if quality.operator == "all"}


def chance(seconds: Sequence[float], count: int) -> float:
    """Expected regret of the best of ``count`` schedules that are picked at random, each at most once."""
    ordered, total = sorted(seconds), len(seconds)
    count = min(count, total)
    picks = math.comb(total, count)
    # The fastest of the picked ones is number `at` when the others are all of those after it.
    expected = sum(math.comb(total - at - 1, count - 1) * ordered[at] for at in range(total - count + 1)) / picks
    return expected / ordered[0]


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation, equal values sharing their mean rank; 0 where all of one are equal."""
    if not np.ptp(first) or not np.ptp(second):
        return 0.0
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return ranks


def _held(group: Sequence[Example], scores: np.ndarray) -> Held:
    context, seconds = group[0].context, np.array([e.seconds for e in group])
    ranked = seconds[np.argsort(scores, kind="stable")]
    best = float(seconds.min())
    return Held(
        group[0].schedule.space,
        context.workload.operator,
        context.workload.label,
        context.policy.cache,
        len(group),
        correlation(scores, seconds),
        float(ranked[0]) / best,
        float(ranked[:FEW].min()) / best,
        chance(seconds.tolist(), 1),
        chance(seconds.tolist(), FEW),
    )


def _quality(space: str, operator: str, held: Sequence[Held]) -> Quality:
    names = ("first", "few", "chance_first", "chance_few")
    means = {name: statistics.geometric_mean(getattr(each, name) for each in held) for name in names}
    return Quality(
        space,
        operator,
        workloads=len(held),
        trials=sum(each.trials for each in held),
        correlation=statistics.fmean(each.correlation for each in held),
        worst=max(each.first for each in held),
        **means,
    )
