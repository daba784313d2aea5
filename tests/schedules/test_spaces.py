"""What every space promises: all it gives is legal, builds, and computes what the workload says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from schedules.operator import operators
from schedules.operators.batched_linear import BatchedLinear
from schedules.operators.grouped_linear import GroupedLinear
from schedules.operators.linear import Linear
from schedules.operators.linear_fp8 import LinearFp8
from schedules.schedule import Schedule
from schedules.space import KnobSpace, Space, spaces, spaces_for
from schedules.workload import Workload
from targets import detect
from targets.errors import InputError
from tests.schedules.running import wrong

HOST = detect.host()
# The same chip without what makes it fast: 128-bit vectors and no special instructions.
PLAIN = dataclasses.replace(HOST, name="plain", tvm={"kind": "llvm", "num-cores": 2}, vector_bits=128, features=())

# Shapes that the examples of operators lack: rows that are one or prime, columns that leave odd tiles.
MORE = [
    Linear(1, 48, 128),
    Linear(13, 30, 64, "bfloat16", "bfloat16"),
    Linear(1, 17, 96, "bfloat16", "float32"),
    Linear(24, 64, 256, "bfloat16", "float32"),
    BatchedLinear(3, 5, 14, 64, "bfloat16", "bfloat16"),
    BatchedLinear(2, 8, 24, 64, "float32", "float32"),
    LinearFp8(6, 160, 256),
    LinearFp8(1, 7, 128),
    GroupedLinear(12, 5, 24, 128, 4, "float8_e4m3fn"),
    GroupedLinear(3, 4, 10, 256, 1, "float4_e2m1fn"),
    GroupedLinear(8, 3, 12, 128, 4, "float4_e2m1fn"),
    GroupedLinear(8, 3, 12, 128, 4, "bfloat16"),
]
INSTANCES = [example for operator in operators().values() for example in operator.examples()] + MORE


def cases() -> list:
    """Every space with every instance that it supports, on both targets."""
    found = []
    for instance in INSTANCES:
        workload = Workload.of(instance)
        for target in (HOST, PLAIN):
            for name in spaces_for(workload, target):
                label = f"{name}-{instance.name}-{instance.label}-{target.name}"
                found.append(pytest.param(name, workload, target, id=label))
    return found


HAND_MADE = [case for case in cases() if case.values[0] not in ("default", "generic")]


@pytest.mark.parametrize("name, workload, target", HAND_MADE)
def test_what_a_space_gives_computes_the_workload(name, workload, target):
    space = spaces()[name](workload, target)
    rng = np.random.default_rng(0)
    sampled = space.sample(rng)
    tried = space.seeds()[:1] + [schedule for schedule in (sampled,) if schedule is not None]
    assert tried, "a space that supports a workload has a schedule for it"
    for schedule in dict.fromkeys(tried):
        assert wrong(workload, space.apply(schedule), target) is None, dict(schedule.config)


@pytest.mark.parametrize("name, workload, target", HAND_MADE)
def test_schedules_are_points_of_their_space(name, workload, target):
    space = spaces()[name](workload, target)
    rng = np.random.default_rng(1)
    names = set()
    for _ in range(20):
        schedule = space.sample(rng)
        if schedule is None:
            break
        assert (schedule.space, schedule.version) == (space.name, space.version)
        assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))).id == schedule.id
        features = space.features(schedule)
        names.add(tuple(features))
        assert not any(map(np.isinf, features.values()))
        neighbour = space.mutate(schedule, rng)
        if isinstance(space, KnobSpace):
            space.check(schedule)
            if neighbour is not None:
                assert neighbour.id != schedule.id
                space.check(neighbour)
    assert len(names) <= 1


def test_applying_leaves_the_workload_as_it_was():
    workload = Workload.of(Linear(4, 16, 64))
    before = workload.prim_func.script()
    space = spaces()["linear_dot"](workload, HOST)
    first = space.apply(space.seeds()[0]).script()
    assert workload.prim_func.script() == before
    assert space.apply(space.seeds()[0]).script() == first


@pytest.fixture
def space() -> Space:
    return spaces()["linear_dot"](Workload.of(Linear(4, 16, 64)), HOST)


@pytest.mark.parametrize(
    "change",
    [{"space": "scaled_dot"}, {"version": 0}, {"config": {}}],
    ids=["space", "version", "empty"],
)
def test_a_schedule_of_something_else_is_refused(space, change):
    seed = space.seeds()[0]
    with pytest.raises(InputError):
        space.apply(dataclasses.replace(seed, **change))


@pytest.mark.parametrize("value", [3, 0, -1, "4", None, 1e9, [4]])
def test_a_knob_value_that_is_not_there_is_refused(space, value):
    seed = space.seeds()[0]
    with pytest.raises(InputError):
        space.apply(space.schedule({**seed.config, "mr": value}))
    with pytest.raises(InputError):
        space.apply(space.schedule({**seed.config, "other": 1}))


def test_a_combination_that_breaks_a_rule_is_refused():
    space = spaces()["linear_dot"](Workload.of(Linear(12, 64, 64)), HOST)
    with pytest.raises(InputError, match="breaks a rule"):
        space.apply(space.schedule({"mr": 12, "nr": 16, "mb": 12, "nb": 1, "kb": 1, "rows_outer": 0}))
