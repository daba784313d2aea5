"""Who was champion when: the trials of one key, read again in their order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tuner.sequential import beats
from tuning_db.records import Status, Trial


@dataclass(frozen=True)
class Reign:
    """A trial that became champion: the first good one, then each winner of a duel.

    Attributes:
        number: of the trial, from 1.
        again: whether it is the champion itself, timed anew and faster.
    """

    number: int
    trial: Trial
    again: bool = False

    @property
    def ratios(self) -> Sequence[float]:
        """Its seconds over those of the one before it, pair by pair as both were timed in turn; perhaps empty."""
        return () if self.again else self.trial.evidence.get("ratios") or ()


def reigns(trials: Sequence[Trial]) -> list[Reign]:
    """The champions of a key, one after the other.

    A fast trial that did not beat the champion of the moment in a direct comparison is not among them. One that was
    not timed, since something stood in for the chip, is so only until one was.
    """
    found: list[Reign] = []
    for number, trial in enumerate(trials, 1):
        if trial.status is not Status.OK:
            continue
        best = found[-1].trial if found else None
        if best is None or (best.median is None and trial.median is not None):
            found.append(Reign(number, trial))
        elif best.median is not None and trial.median is not None:
            ratios = trial.evidence.get("ratios")
            # Where another device found a champion meanwhile, a duel with the one before it decides nothing; with no
            # ratios, the champion no longer ran, so there was nothing to beat.
            duel = ratios is not None and trial.evidence.get("incumbent", best.schedule) == best.schedule
            if duel and (not ratios or beats(ratios)):
                found.append(Reign(number, trial))
            elif trial.evidence.get("again") and trial.schedule == best.schedule and trial.median < best.median:
                found.append(Reign(number, trial, again=True))
    return found


# Of normal values the interquartile range is 1.349 standard deviations, and the standard error of the median of n of
# them sqrt(pi / 2n) standard deviations.
MEDIAN_ERROR = math.sqrt(math.pi / 2) / 1.349


# A duel is decided long before it says how much faster the winner is, and on a busy machine a few pairs may say
# anything: the error of the logarithm up to which it is believed, and how far that may be from what the medians say.
UNSURE, APART = 0.1, math.log(2)


def gain(chain: Sequence[Reign]) -> tuple[float, float | None] | None:
    """How many times faster the last of a chain of champions is than the first, and the error of that as a factor.

    Where two were timed in turn it is the median of those ratios, which the noise of hours in between does not touch;
    where that is not sure to ten percent, or twice as far off, or they were not, the ratio of their two medians. Of
    several steps the logarithms add up, and so do the squares of the standard errors of their medians.

    Returns:
        ``(1.5, 1.02)`` for half as fast again, give or take two percent; no error where a step had to be taken by two
        medians. None where a champion was not timed.
    """
    total, squares, known = 0.0, 0.0, True
    for before, after in pairwise(chain):
        if before.trial.median is None or after.trial.median is None:
            return None
        if after.again:
            continue
        logs = [math.log(ratio) for ratio in after.ratios if ratio > 0]
        low, middle, high = statistics.quantiles(logs, n=4, method="inclusive") if len(logs) > 1 else (0.0, 0.0, 0.0)
        error = MEDIAN_ERROR * (high - low) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
        medians = math.log(before.trial.median / after.trial.median)
        if error <= UNSURE and abs(-middle - medians) <= APART:
            total, squares = total - middle, squares + error**2
        else:
            total, known = total + medians, False
    return math.exp(total), math.exp(math.sqrt(squares)) if known else None
