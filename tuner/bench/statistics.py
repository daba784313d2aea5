"""Ratios of times taken in turn, and means of ratios, with what they vary by."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A figure and how far it went either way."""

    median: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The fields."""
        return {"median": self.median, "low": self.low, "high": self.high}


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """``over / under``, round by round: both of a round were timed within seconds of each other."""
    return [a / b for a, b in zip(over, under, strict=True)]


def spread(values: Sequence[float]) -> Interval:
    """Median, least and largest of the rounds."""
    return Interval(statistics.median(values), min(values), max(values))


def geomean(values: Sequence[float]) -> float:
    """Geometric mean."""
    return math.exp(statistics.fmean(math.log(value) for value in values))


def geomean_interval(rounds: Sequence[Sequence[float]]) -> Interval:
    """Geometric mean over workloads of their median ratios, with the 95% interval of a bootstrap over rounds.

    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979. Rounds of each
    workload are drawn again, with replacement; it says nothing about workloads that were not measured.

    Args:
        rounds: ratios of each workload, at least one.
    """
    middle = geomean([statistics.median(values) for values in rounds])
    rng = np.random.default_rng(0)
    logs = np.zeros(RESAMPLES)
    for values in rounds:
        drawn = rng.choice(np.asarray(values), (RESAMPLES, len(values)))
        logs += np.log(np.median(drawn, axis=1))
    low, high = np.exp(np.quantile(logs / len(rounds), (0.025, 0.975)))
    return Interval(middle, float(low), float(high))
