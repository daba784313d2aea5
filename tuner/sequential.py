"""When a challenger has lost, when it has won, and when to go on timing: a sequential test over pairs.

A challenger and the incumbent are timed in turn, and each pair gives a ratio of seconds, challenger / incumbent. What
slows a machine down, or speeds it up, for longer than a call meets both sides of a pair, so the ratio keeps its
meaning where the seconds do not: an incumbent that had one lucky slice when it was crowned drops nobody, since it is
timed anew beside each challenger.

The test is Wald's sequential probability ratio test on the sign of the ratios. If both are equally fast, a pair is won
with probability 1/2; a challenger worth having wins three in four. After each pair the log likelihood ratio of the two
is compared with bounds that keep both errors small: taking an equal one for better, dropping a better one. A pair
that is won or lost by half as much again counts twice or four times: such gaps are rarely noise, and most candidates
of a search are that far behind. Nothing is assumed of how the noise is distributed.

A. Wald, "Sequential tests of statistical hypotheses", Annals of Mathematical Statistics 16(2), 1945.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from enum import Enum

# Chance that a challenger worth having wins a pair.
WINS = 0.75
# Chance of taking an equal challenger for better, and of dropping one worth having.
FALSE_WIN, FALSE_DROP = 0.03, 0.1
WON_AT = math.log((1 - FALSE_DROP) / FALSE_WIN)
LOST_AT = math.log(FALSE_DROP / (1 - FALSE_WIN))
# What a pair adds: won, lost; and how many times that if by this factor or more.
WIN, LOSS = math.log(WINS / 0.5), math.log((1 - WINS) / 0.5)
CLEAR, CLEAR_WIN, CLEAR_LOSS = 1.5, 4, 2
# A gain of less than one percent is not worth a change.
WORTH = 0.99
# Pairs after which the incumbent stays; of long calls, each of which averages out much of the noise, five must do.
PAIRS, FEW = 30, 5
# Seconds of a call that averages out much of the noise by itself.
LONG_S = 0.02
# A call that is both this long and this many times the incumbent's has shown by itself what it is.
HOPELESS_S, HOPELESS = 0.5, 3.0


class Verdict(Enum):
    """What the pairs say so far."""

    WON = "won"
    LOST = "lost"
    OPEN = "open"


def verdict(ratios: Sequence[float]) -> Verdict:
    """What pairs timed one after the other say; the first bound that is crossed decides.

    Args:
        ratios: seconds of the challenger over seconds of the incumbent, in the order they were timed.
    """
    score = 0.0
    for at, ratio in enumerate(ratios, 1):
        clear = ratio >= CLEAR or ratio <= 1 / CLEAR
        score += WIN * (CLEAR_WIN if clear else 1) if ratio < 1 else LOSS * (CLEAR_LOSS if clear else 1)
        if score <= LOST_AT:
            return Verdict.LOST
        if score >= WON_AT and statistics.median(ratios[:at]) <= WORTH:
            return Verdict.WON
    return Verdict.OPEN


def beats(ratios: Sequence[float]) -> bool:
    """Whether the challenger takes over: it won, or won five pairs of five where long calls allow no more."""
    few = len(ratios) == FEW and all(ratio < 1 for ratio in ratios) and statistics.median(ratios) <= WORTH
    return few or verdict(ratios) is Verdict.WON


def compare(pair: Callable[[int], float], pairs: int = PAIRS) -> list[float]:
    """Time pairs until they decide, ``pairs`` at most.

    Args:
        pair: times one, given its number from 0, and returns the ratio.
        pairs: how many are at most worth their time.
    """
    ratios: list[float] = []
    while len(ratios) < pairs and verdict(ratios) is Verdict.OPEN:
        ratios.append(pair(len(ratios)))
    return ratios


def duel(
    challenger: Callable[[], float], incumbent: Callable[[], float], challenger_s: float, incumbent_s: float
) -> tuple[list[float], list[float]]:
    """Samples of a challenger, and their ratios to the incumbent's, timed in turn until they decide.

    Args:
        challenger, incumbent: take a sample, in seconds; each goes first in every second pair.
        challenger_s, incumbent_s: seconds of a call, as far as they are known, which say how many pairs are worth it.
    """
    samples: list[float] = []

    def pair(at: int) -> float:
        if at % 2:
            mine, other = challenger(), incumbent()
        else:
            other, mine = incumbent(), challenger()
        samples.append(mine)
        return mine / other

    hopeless = challenger_s > max(HOPELESS_S, HOPELESS * incumbent_s)
    pairs = 1 if hopeless else FEW if challenger_s > LONG_S else PAIRS
    return samples, compare(pair, pairs)
