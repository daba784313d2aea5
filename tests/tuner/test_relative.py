"""Schedules timed in different minutes are compared by ratios to the incumbents of their time."""

from __future__ import annotations

import pytest

from tuner.relative import Relative


def against(incumbent: str, *ratios: float) -> dict[str, object]:
    return {"incumbent": incumbent, "ratios": list(ratios)}


def test_a_slow_minute_changes_nothing() -> None:
    scale = Relative()
    assert scale.add("default", [8e-3, 9e-3], {}) == 8e-3
    assert scale.add("a", [2e-3, 2e-3], against("default", 0.25, 0.25)) == pytest.approx(2e-3)
    # From here on everything takes three times as long.
    assert scale.add("a", [6e-3], {"again": True}) == pytest.approx(2e-3)
    assert scale.add("b", [3e-3], against("a", 0.5)) == pytest.approx(1e-3)
    assert scale.add("c", [12e-3], against("b", 4.0)) == pytest.approx(4e-3)


def test_a_disturbed_incumbent_makes_nobody_look_fast() -> None:
    scale = Relative()
    scale.add("a", [1e-3], {})
    # Beside the second and third sample, the incumbent took fifty times as long as it does.
    assert scale.add("b", [2e-3] * 3, against("a", 2.0, 0.04, 0.04)) == pytest.approx(2e-3)
    # Nor does a disturbed sample make one look slow.
    assert scale.add("c", [2e-3, 9e-3], against("a", 2.0, 9.0)) == pytest.approx(2e-3)


def test_without_an_incumbent_that_is_known_the_samples_count() -> None:
    scale = Relative()
    assert scale.add("a", [2e-3, 3e-3], against("gone", 0.5, 0.5)) == 2e-3
    assert scale.add("b", [3e-3], against("a")) == 3e-3


def test_of_several_trials_the_least_counts() -> None:
    scale = Relative()
    scale.add("a", [1e-3], {})
    found = [scale.add("b", [ratio * 1e-3], against("a", ratio)) for ratio in (2.0, 1.5, 1.8)]
    assert found == pytest.approx([2e-3, 1.5e-3, 1.5e-3])
