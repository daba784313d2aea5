"""The simulation behind docs/scaling.md: queues are what queueing theory says they are, and a day adds up."""

from __future__ import annotations

import numpy as np
import pytest

from docs.scaling import DAY, LOADS, Load, Service, day, rows, span, waits

EXACT = Service(batch_s=0.1, trial_s=0.01, variation=1e-6)


def test_each_waits_for_those_before_it() -> None:
    rng = np.random.default_rng(1)
    arrived, service = np.sort(rng.uniform(0, 100, 500)), rng.exponential(0.19, 500)
    free, expected = 0.0, []
    for at, took in zip(arrived, service, strict=True):
        expected.append(max(0.0, free - at))
        free = max(free, at) + took
    assert np.allclose(waits(arrived, service), expected)


@pytest.mark.parametrize(("service", "variance"), [("constant", 0.0), ("exponential", 1.0)])
def test_mean_waits_are_those_of_the_formula(service: str, variance: float) -> None:
    """Pollaczek and Khinchine: for arrivals at random, of a queue that is busy for a part ``busy`` of the time."""
    rng, busy, count = np.random.default_rng(2), 0.6, 2_000_000
    arrived = np.cumsum(rng.exponential(1.0, count))
    took = np.full(count, busy) if service == "constant" else rng.exponential(busy, count)
    expected = busy * busy * (1 + variance) / (2 * (1 - busy))
    assert waits(arrived, took).mean() == pytest.approx(expected, rel=0.03)


def test_a_day_has_every_submission_and_its_work() -> None:
    load = Load("a test", trials=45, batch=20, at_once=False)
    found = day(load, 50, 1, EXACT, np.random.default_rng(3))
    assert len(found.delays) == 50 * 3
    assert found.busy == pytest.approx(150 * 0.3 / DAY, rel=1e-3)
    assert found.delays.min() == pytest.approx(0.3, rel=1e-3)


def test_who_sends_at_once_waits_for_all_and_less_with_more_writers() -> None:
    load = Load("a test", trials=20, batch=20, at_once=True)
    tails = [day(load, 20_000, writers, EXACT, np.random.default_rng(4)).delays.max() for writers in (1, 4)]
    # The zone in which most chips stand asks for 2,400 s of work in a quarter of an hour.
    assert tails[0] == pytest.approx(0.4 * 20_000 * 0.3 - 900, rel=0.05)
    assert tails[1] < tails[0] / 4


def test_what_no_writer_can_take_shows() -> None:
    load = Load("a test", trials=10_000, batch=500, at_once=False)
    found = day(load, 2_000, 1, EXACT, np.random.default_rng(5))
    assert found.busy == pytest.approx(2_000 * 20 * 5.1 / DAY, rel=1e-3)
    assert found.busy > 1 and found.delays.max() > DAY and found.queue > 10_000


def test_the_table_is_the_same_for_a_seed() -> None:
    first, again, other = (list(rows(seed, most=100)) for seed in (7, 7, 8))
    assert first == again != other
    assert [row[0] for row in first[:: len(first) // len(LOADS)]] == [load.name for load in LOADS]
    assert span(0.25) == "250 ms" and span(1.5) == "1.5 s" and span(7200) == "2.0 h"
