"""Schedules built ahead are those that would be built one by one, failures included, and harm nobody else."""

from __future__ import annotations

import numpy as np

from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.space import spaces_for
from schedules.workload import Workload
from targets import detect
from targets.errors import InputError
from tuner import ahead, measure
from tuner.measure import Bench
from tuning_db.records import Policy

LINEAR = Workload.of(Linear(16, 64, 128))
UNKNOWN = Schedule("nowhere", 1, {})


def drawn(count: int) -> list[Schedule]:
    rng, spaces = np.random.default_rng(0), spaces_for(LINEAR, detect.host())
    found = [space.sample(rng) for name, space in spaces.items() if name != "generic" for _ in range(count)]
    return list(dict.fromkeys(s for s in found if s is not None and s.space != "default"))


def test_all_are_built_and_failures_are_told_apart():
    done: list[None] = []
    wanted = [*drawn(3), UNKNOWN]
    found = ahead.build_all(LINEAR, wanted, detect.host(), detect.cpus(), lambda: done.append(None))
    assert set(found) == set(wanted) and len(done) == len(wanted)
    assert isinstance(found.pop(UNKNOWN), InputError)
    assert all(isinstance(built, ahead.Built) and built.seconds > 0 for built in found.values())


def test_what_was_built_ahead_is_right_and_used_once(monkeypatch):
    target = detect.host()
    bench = Bench(LINEAR, target, Policy("cold", target.cores), 0)
    schedules, built = drawn(2), []
    bench.ahead(schedules, detect.cpus(), lambda: None)

    def alone(workload, schedule, target):
        built.append(schedule)
        return ahead.build(workload, schedule, target)

    monkeypatch.setattr(measure, "build", alone)
    for schedule in schedules:
        kernel = bench.build(schedule)
        bench.run(kernel)
        assert bench.measure(kernel, None).wrong is None
    assert built == []
    bench.build(schedules[0])
    bench.ahead(schedules, detect.cpus(), lambda: None)
    bench.forget()
    bench.build(schedules[1])
    assert built == schedules[:2]
