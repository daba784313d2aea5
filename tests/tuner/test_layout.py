"""Weights laid out anew: once for each layout, in memory of their own, without a copy in between."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import tuner.layout
from headstart_runtime.dlpack import tensor
from schedules.lower import lower
from schedules.operator import make_operator
from schedules.schedule import Schedule
from schedules.spaces.panels import Panels
from schedules.workload import Workload
from targets import detect
from tuner.compile import layout_of
from tuner.layout import LaidOut, Layouts
from tuner.task import DEFAULT

WORKLOAD = Workload.of(make_operator("linear", {"m": 1, "n": 1024, "k": 2048, "dtype": "bfloat16"}))
SIZE = WORKLOAD.arguments[WORKLOAD.weights[0]].nbytes
HOST = detect.host()


def made_layouts() -> Layouts:
    return Layouts(WORKLOAD, HOST, [tensor(array) for array in WORKLOAD.inputs(np.random.default_rng(0))])


def schedules() -> list[Schedule]:
    """Two that lay the weights out in different ways."""
    space, rng, found = Panels(WORKLOAD, HOST), np.random.default_rng(0), dict[str | None, Schedule]()
    while len(found) < 2:
        drawn = space.sample(rng)
        assert drawn is not None
        found.setdefault(layout_of(WORKLOAD, drawn, HOST), drawn)
    return [*found.values()]


def take(layouts: Layouts, schedule: Schedule) -> LaidOut:
    found = layouts.take(lower(WORKLOAD, schedule, HOST))
    assert found is not None
    return found


def test_once_for_each_layout() -> None:
    layouts = made_layouts()
    assert layouts.take(lower(WORKLOAD, DEFAULT, HOST)) is None
    first, second = schedules()
    made = take(layouts, first)
    assert made.seconds > 0
    assert take(layouts, first) is made
    assert take(layouts, second) is not made
    assert take(layouts, first) is made


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy of the weights but the one that is kept, and of those no more than there is room for."""
    layouts = made_layouts()
    first, second = schedules()
    take(layouts, first)  # loads what loads once
    tracemalloc.start()
    try:
        take(layouts, second)
        assert tracemalloc.get_traced_memory()[1] < SIZE // 2
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(tuner.layout, "KEEP", SIZE)
    fewer = made_layouts()
    made = take(fewer, first)
    take(fewer, second)
    assert take(fewer, first) is not made
