"""Ratios of rounds and their means."""

from __future__ import annotations

import pytest

from tuner.bench.result import within_noise
from tuner.bench.statistics import geomean, geomean_interval, ratios, spread


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    with pytest.raises(ValueError):
        ratios([1.0], [1.0, 2.0])


def test_spread() -> None:
    found = spread([1.0, 5.0, 2.0])
    assert (found.low, found.median, found.high) == (1.0, 2.0, 5.0)


def test_geomean_of_medians() -> None:
    assert geomean([0.5, 2.0]) == pytest.approx(1.0)
    found = geomean_interval([[2.0, 2.0, 100.0], [0.5, 0.5, 0.5]])
    assert found.median == pytest.approx(1.0)
    # One round out of three was far off, so a resample may have it twice; none comes out lower.
    assert found.low == pytest.approx(1.0) and found.high > 2


def test_interval_is_tight_where_rounds_agree() -> None:
    found = geomean_interval([[1.5] * 5, [1.5] * 5])
    assert found.low == pytest.approx(1.5) and found.high == pytest.approx(1.5)
    assert found == geomean_interval([[1.5] * 5, [1.5] * 5])


def test_within_noise() -> None:
    assert within_noise([1.02, 1.05], [0.97, 1.03])
    assert not within_noise([1.06, 1.1], [0.97, 1.03])
    assert not within_noise([0.8, 0.9], [0.97, 1.03])
