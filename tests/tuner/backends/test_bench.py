"""A workload behind a backend: what is checked and timed is what the calls themselves wrote."""

from __future__ import annotations

import pytest

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.space import spaces_for
from schedules.workload import Workload
from targets import detect
from tests.tuner.backends.simulated import Simulated, chip
from tuner.backends.bench import BackendBench
from tuner.task import DEFAULT
from tuning_db.records import Policy

WORKLOAD = Workload.of(Linear(4, 64, 32))


def bench(backend: Simulated, cache: str = "warm") -> BackendBench:
    return BackendBench(backend, "simulated:0", WORKLOAD, chip(), Policy(cache, 1), seed=0)


def test_a_right_kernel_has_samples_of_the_device():
    made = bench(Simulated(seconds=0.25))
    kernel = made.build(DEFAULT)
    made.run(kernel)
    timing = made.measure(kernel, None)
    assert timing.wrong is None and timing.samples == [0.25] * 3 and timing.ratios == []
    assert kernel.call_s == 0.25 and kernel.build_s > 0 and made.untimed == ""


def test_an_incumbent_is_timed_in_turn():
    made = bench(Simulated())
    incumbent, challenger = made.build(DEFAULT), made.build(DEFAULT)
    made.run(incumbent)
    made.run(challenger)
    timing = made.measure(challenger, incumbent)
    assert timing.wrong is None and set(timing.ratios) == {1.0} and len(timing.samples) == len(timing.ratios)


def test_what_stands_in_for_a_chip_gives_no_times():
    backend = Simulated(timed=False)
    made = bench(backend)
    kernel = made.build(DEFAULT)
    made.run(kernel)
    timing = made.measure(kernel, None)
    assert timing.wrong is None and timing.samples == [] and made.untimed == "simulated:0"
    assert backend.calls == 1


@pytest.mark.parametrize("timed", [True, False])
def test_a_kernel_that_writes_nothing_is_wrong(timed, monkeypatch):
    made = bench(Simulated(timed))
    kernel = made.build(DEFAULT)
    made.run(kernel)
    assert made.measure(kernel, None).wrong is None
    monkeypatch.setattr(kernel.program, "call", lambda *_: [0.001])
    made.run(kernel)
    assert "elements wrong" in (made.measure(kernel, None).wrong or "")


def test_every_output_of_the_timed_calls_is_compared(monkeypatch):
    made = bench(Simulated())
    kernel = made.build(DEFAULT)
    made.run(kernel)
    monkeypatch.setattr(kernel.program, "call", lambda *_: [0.001])  # right once, before it was timed
    assert "elements wrong" in (made.measure(kernel, None).wrong or "")


def test_weights_are_laid_out_on_the_device():
    made = bench(Simulated())
    space = spaces_for(WORKLOAD, made.target)["panels"]
    kernel = made.build(space.seeds()[0])
    made.run(kernel)
    assert made.measure(kernel, None).wrong is None and kernel.prepare_s > 0


def test_schedules_are_built_ahead_and_each_failure_is_its_own():
    made, done = bench(Simulated()), []
    bad = Schedule("nowhere", 1, {})
    made.ahead([DEFAULT, bad], detect.cpus(), lambda: done.append(1))
    assert len(done) == 2
    with pytest.raises(Exception, match="unknown space"):
        made.build(bad)
    kernel = made.build(DEFAULT)
    made.run(kernel)
    assert made.measure(kernel, None).wrong is None
