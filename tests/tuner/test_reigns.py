"""Who was champion when, and how much faster the last is than the first."""

from __future__ import annotations

import math

import pytest

from schedules.schedule import Schedule
from tuner.reigns import gain, reigns
from tuning_db.records import Key, Status, Trial

KEY = Key("w", "c", "x", "p")


def plan(at: int) -> Schedule:
    return Schedule("s", 1, {"at": at})


def good(at: int, median: float | None, **evidence: object) -> Trial:
    samples = () if median is None else (median,) * 3
    return Trial(KEY, plan(at).id, Status.OK, samples, median, None if median is None else 0.0, evidence=evidence)


def duel(at: int, median: float, against: int, ratio: float) -> Trial:
    return good(at, median, incumbent=plan(against).id, ratios=[ratio] * 9)


def test_a_champion_falls_only_in_a_duel_with_it() -> None:
    trials = [
        Trial(KEY, plan(9).id, Status.RUN_ERROR, error="it died"),
        good(0, 4.0),
        good(1, 1.0),  # fast, and never compared
        duel(2, 3.0, 0, 0.7),
        duel(3, 2.0, 0, 0.5),  # another device beat the old one, which was champion no more
        duel(4, 5.0, 2, 1.2),
        duel(5, 2.5, 2, 0.8),
    ]
    assert [reign.number for reign in reigns(trials)] == [2, 4, 7]


def test_what_was_not_timed_reigns_until_something_was() -> None:
    untimed = [good(0, None, untimed="an emulator"), good(1, None, untimed="an emulator")]
    assert [reign.number for reign in reigns(untimed)] == [1]
    assert gain(reigns(untimed)) == (1.0, 1.0)
    timed = reigns([*untimed, good(2, 1.0), good(3, None, untimed="an emulator")])
    assert [reign.number for reign in timed] == [1, 3] and gain(timed) is None


def test_the_gain_is_what_the_duels_say_and_not_what_the_hours_did() -> None:
    # Between the duels the machine got twice as slow.
    chain = reigns([good(0, 4.0), duel(1, 2.0, 0, 0.5), duel(2, 2.0, 1, 0.5)])
    assert gain(chain) == (pytest.approx(4.0), 1.0)


def test_timing_a_champion_again_gains_nothing() -> None:
    chain = reigns([good(0, 4.0), duel(1, 2.0, 0, 0.5), good(1, 1.0, again=True), duel(2, 0.9, 1, 0.9)])
    assert [reign.number for reign in chain] == [1, 2, 3, 4]
    assert gain(chain) == (pytest.approx(2 / 0.9), 1.0)


def test_a_champion_that_no_longer_ran_is_compared_by_medians() -> None:
    chain = reigns([good(0, 4.0), good(1, 5.0, incumbent=plan(0).id, ratios=[])])
    assert gain(chain) == (pytest.approx(0.8), None)


def test_a_duel_that_says_little_of_how_much_is_not_believed_in_that() -> None:
    busy = good(1, 2.0, incumbent=plan(0).id, ratios=[1e-4, 2e-4, 0.5, 1e-3, 0.4])
    (first, second) = reigns([good(0, 4.0), busy])
    assert gain([first, second]) == (pytest.approx(2.0), None)
    # Sure of itself, and of what no other timing of the two says.
    assert gain(reigns([good(0, 4.0), duel(1, 2.0, 0, 1e-4)])) == (pytest.approx(2.0), None)


def test_the_error_is_that_of_the_medians_and_adds_up() -> None:
    ratios = [math.exp(-0.5 + step / 100) for step in range(-10, 11)]
    first = good(1, 2.0, incumbent=plan(0).id, ratios=ratios)
    second = good(2, 1.0, incumbent=plan(1).id, ratios=ratios)
    one = gain(reigns([good(0, 4.0), first]))
    two = gain(reigns([good(0, 4.0), first, second]))
    assert one is not None and two is not None
    # Quartiles are 0.1 apart: sqrt(pi / 2) * 0.1 / 1.349 / sqrt(21).
    assert one == (pytest.approx(math.exp(0.5)), pytest.approx(math.exp(0.020274), rel=1e-4))
    assert math.log(two[1]) == pytest.approx(math.sqrt(2) * math.log(one[1]))
