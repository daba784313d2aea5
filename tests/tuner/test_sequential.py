"""What the sequential test decides, how often it errs, and what it saves; noise is drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tuner.sequential import PAIRS, Verdict, beats, compare, verdict


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ([], Verdict.OPEN),
        ([0.9] * 8, Verdict.OPEN),
        ([0.9] * 9, Verdict.WON),
        ([0.9] * 4 + [1.1] + [0.9] * 4, Verdict.OPEN),
        ([0.9] * 4 + [1.1] + [0.9] * 7, Verdict.WON),
        ([1.1] * 3, Verdict.OPEN),
        ([1.1] * 4, Verdict.LOST),
        ([2.0], Verdict.OPEN),
        ([2.0, 1.6], Verdict.LOST),
        ([0.5] * 3, Verdict.WON),
        ([1.1] * 4 + [0.1] * 20, Verdict.LOST),
        ([0.995] * 30, Verdict.OPEN),
    ],
)
def test_verdict(ratios, said):
    assert verdict(ratios) is said


@pytest.mark.parametrize(
    ("ratios", "wins"),
    [
        ([0.9] * 5, True),
        ([0.9] * 4 + [1.01], False),
        ([0.9] * 4, False),
        ([0.995] * 5, False),
        ([0.9] * 9, True),
        ([0.995] * 9, False),
        ([1.0] * 9, False),
        ([], False),
    ],
)
def test_beats(ratios, wins):
    assert beats(ratios) is wins


def machine(rng: np.random.Generator) -> Iterator[float]:
    """Factors by which a shared machine changes the time of one call after another.

    Each call varies by four percent. Slices of five to sixty calls come at random in which everything is slower, by a
    tenth to double, or, a lucky slice, faster by a third; and now and then a single call takes several times as long.
    """
    level, left = 1.0, 0
    while True:
        if left == 0:
            kind = rng.random()
            level = 1.0 if kind < 0.6 else rng.uniform(1.1, 2.0) if kind < 0.85 else rng.uniform(0.65, 0.75)
            left = int(rng.integers(5, 60))
        left -= 1
        spike = rng.uniform(2, 6) if rng.random() < 0.01 else 1.0
        yield float(level * spike * np.exp(rng.normal(0, 0.04)))


def judged(gain: float, times: int, seed: int = 0) -> tuple[float, float, float]:
    """Shares of challengers at ``gain`` times the incumbent's seconds that won, that lost, and pairs each."""
    rng, won, lost, pairs = np.random.default_rng(seed), 0, 0, 0
    noise = machine(rng)
    for _ in range(times):
        ratios = compare(lambda at: gain * next(noise) / next(noise))
        won, lost, pairs = won + beats(ratios), lost + (verdict(ratios) is Verdict.LOST), pairs + len(ratios)
    return won / times, lost / times, pairs / times


@pytest.mark.parametrize(
    ("gain", "least", "most"), [(0.8, 0.97, 1.0), (0.9, 0.93, 1.0), (1.0, 0.0, 0.1), (1.03, 0.0, 0.02), (1.1, 0.0, 0.0)]
)
def test_who_wins_on_a_noisy_machine(gain, least, most):
    won, _, _ = judged(gain, 1000)
    assert least <= won <= most


@pytest.mark.parametrize(("gain", "most"), [(0.7, 0.01), (0.9, 0.05), (0.95, 0.15)])
def test_a_better_one_is_seldom_dropped(gain, most):
    _, lost, _ = judged(gain, 1000)
    assert lost <= most


@pytest.mark.parametrize(("gain", "pairs"), [(3.0, 2.2), (1.7, 2.6), (1.3, 5.0), (1.1, 6.0)])
def test_losers_cost_few_pairs(gain, pairs):
    _, lost, spent = judged(gain, 1000)
    assert lost >= 0.99 and spent <= pairs < PAIRS / 4


def test_a_lucky_slice_of_the_first_trial_does_not_end_a_search():
    """The story that this test was made for: the first of 64 candidates was timed in a slice in which everything took
    two thirds of the time, 926 us where 1283 to 1576 us came out later, and 55 better or equal ones were dropped."""
    rng = np.random.default_rng(3)
    noise, others = machine(rng), rng.uniform(0.75, 1.5, 64)
    written_down, good = 926 / 1430, others[others < 1.05]
    # Against what was written down once, two samples at half as slow again dropped good ones.
    assert np.mean([min(g * next(noise), g * next(noise)) > 1.5 * written_down for g in good]) > 0.15
    best = 1.0
    for other in others:
        if beats(compare(lambda at, other=other, best=best: other * next(noise) / (best * next(noise)))):
            best = other
    assert best <= others.min() * 1.05
