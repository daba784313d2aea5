"""What the cost model is said to be worth is what trusting it on unseen workloads would have cost."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from test_cost_model import context_of, examples

from tuner.evaluate import Held, chance, correlation, hold_out, metrics, summarise


def test_workloads_are_held_out_one_by_one():
    rng = np.random.default_rng(0)
    made = [e for n in (128, 256, 512) for e in examples(80, rng, context_of(n))]
    held = hold_out(made)
    assert [each.label for each in held] == ["16x128x512 fp32", "16x256x512 fp32", "16x512x512 fp32"]
    for each in held:
        assert each.trials == sum(e.seconds is not None and e.context.workload.label == each.label for e in made)
        assert each.correlation > 0.6
        assert 1 <= each.few <= each.first < each.chance_first


def test_what_nothing_can_be_learnt_from_scores_like_chance():
    rng = np.random.default_rng(0)
    made = [
        dataclasses.replace(e, seconds=float(rng.uniform(1, 2)))
        for n in (128, 256, 512, 1024)
        for e in examples(60, rng, context_of(n))
    ]
    quality = summarise(hold_out(made))[-1]
    assert abs(quality.correlation) < 0.3
    assert quality.first > 1.2


def test_one_workload_cannot_be_held_out():
    assert hold_out(examples(50, np.random.default_rng(0))) == []


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_chance_is_the_mean_over_all_choices(count: int):
    seconds = [5.0, 2.0, 3.0, 7.0, 2.5]
    picks = list(itertools.combinations(seconds, min(count, 5)))
    assert chance(seconds, count) == pytest.approx(sum(map(min, picks)) / len(picks) / 2.0)


def test_rank_correlation():
    assert correlation(np.array([1.0, 5.0, 9.0]), np.array([2.0, 3.0, 100.0])) == pytest.approx(1.0)
    assert correlation(np.array([1.0, 1.0, 2.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx(-(0.75**0.5))
    assert correlation(np.array([1.0, 1.0]), np.array([2.0, 3.0])) == 0.0


def test_summary():
    held = [
        Held("a", "linear", "x", "cold", 10, 0.5, 1.0, 1.0, 2.0, 1.5),
        Held("a", "linear", "y", "cold", 20, 0.7, 4.0, 1.0, 2.0, 1.5),
        Held("a", "softmax", "z", "cold", 30, 0.3, 2.0, 1.0, 2.0, 1.5),
    ]
    rows = summarise(held)
    assert [(row.space, row.operator, row.workloads) for row in rows] == [
        ("a", "linear", 2),
        ("a", "softmax", 1),
        ("a", "all", 3),
    ]
    assert rows[0].first == pytest.approx(2.0) and rows[0].correlation == pytest.approx(0.6)
    assert rows[2].trials == 60 and rows[2].worst == 4.0
    assert metrics(held)["a"]["first"] == pytest.approx(2.0)
