"""Features have the same names for every workload and schedule of a space, and say what they mean."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from schedules.operator import operators
from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.space import spaces
from schedules.spaces.linear_dot import LinearDot
from schedules.traits import NAMES, Traits
from schedules.workload import Workload
from targets import Peaks, Target
from tuner.features import Context, target_features
from tuning_db.records import Policy

CHIP = Target("t", "v", "m", {"kind": "llvm"}, 3, 256, ("avx2",), l1d=1 << 15, l2=1 << 20, l3=3 << 20,
              peaks=Peaks({"float32": 1e11}, 2e10))  # fmt: skip
COLD, WARM = Policy("cold", 2), Policy("warm", 2)


def test_names_are_those_of_the_space_whatever_the_workload():
    names: dict[str, set[tuple[str, ...]]] = {}
    for kind in operators().values():
        context = Context(Workload.of(next(iter(kind.examples()))), CHIP, COLD)
        for name in spaces():
            space = context.space(name)
            # Generic programs are slow to draw; tests/schedules/test_generic.py has them.
            drawn = space.sample(np.random.default_rng(0)) if space is not None and name != "generic" else None
            if drawn is not None:
                row = context.row(drawn)
                assert row is not None and len(row) == len(context.names(drawn)) == len(set(context.names(drawn)))
                assert not np.isinf(row).any()
                names.setdefault(name, set()).add(tuple(context.names(drawn)))
    assert len(names) > 2 and all(len(found) == 1 for found in names.values())


def test_what_has_no_features():
    context = Context(Workload.of(Linear(4, 16, 64)), CHIP, COLD)
    assert context.row(Schedule("linear_dot", 0, {})) is None
    assert context.row(Schedule("no_such_space", 1, {})) is None
    assert context.row(Schedule("reduction", 1, {})) is None


@pytest.mark.parametrize("other", [
    Context(Workload.of(Linear(8, 16, 64)), CHIP, COLD),
    Context(Workload.of(Linear(4, 16, 64, "bfloat16")), CHIP, COLD),
    Context(Workload.of(Linear(4, 16, 64)), dataclasses.replace(CHIP, cores=4), COLD),
    Context(Workload.of(Linear(4, 16, 64)), dataclasses.replace(CHIP, features=()), COLD),
    Context(Workload.of(Linear(4, 16, 64)), CHIP, WARM),
])  # fmt: skip
def test_what_differs_is_seen(other: Context):
    context = Context(Workload.of(Linear(4, 16, 64)), CHIP, COLD)
    assert not np.array_equal(context.position, other.position)


def test_measured_peaks_vary_and_the_features_do_not():
    again = dataclasses.replace(CHIP, peaks=Peaks({"float32": 1.04e11}, 1.98e10))
    assert target_features(CHIP) == target_features(again)


def test_traits_are_ratios_to_the_chip():
    found = Traits(tasks=4, inner=1 << 16, task=1 << 19, registers=(8, 16), loads=0.5).features(CHIP)
    assert found == {
        "tasks": pytest.approx(math.log2(4 / 3)),
        "idle": pytest.approx(1 - 4 / 6),  # two rounds on three cores, two of six turns empty
        "inner": 1.0,
        "task": -1.0,
        "share": -1.0,
        "registers": 0.5,
        "loads": 0.5,
    }
    unknown = Traits().features(CHIP)
    assert tuple(unknown) == NAMES and all(map(math.isnan, unknown.values()))


def test_traits_of_a_register_tile():
    space = LinearDot(Workload.of(Linear(8, 64, 128)), CHIP)
    traits = space.traits({"mr": 4, "nr": 2, "mb": 8, "nb": 4, "kb": 2, "rows_outer": 0})
    assert traits.tasks == 8  # of eight rows and eight columns each
    assert traits.loads == 6 / 8 and traits.registers == (11, 16)
    assert traits.inner == (8 + 2) * 16 * 4
