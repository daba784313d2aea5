"""Every schedule of the row-wise space is right, on rows of any length, and only row-wise programs get one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from programs import ZEN4, as_written, host, inputs, outputs, workload

from schedules.compare import mismatch
from schedules.operator import operators
from schedules.schedule import Schedule
from schedules.spaces.reduction import Reduction
from schedules.workload import Workload
from targets.errors import InputError

TARGET = host()
FAMILIES = ("act_quant", "hc_head", "layernorm", "rmsnorm", "softmax", "swiglu")


def examples() -> Iterator[Workload]:
    for name in FAMILIES:
        for operator in operators()[name].examples():
            work = Workload.of(operator)
            if Reduction.supports(work, TARGET):
                yield work


@pytest.mark.parametrize("work", list(examples()), ids=lambda work: f"{work.operator} {work.label}")
def test_seeds_and_samples_are_right(work: Workload) -> None:
    space = Reduction(work, TARGET)
    rng = np.random.default_rng(7)
    schedules = [space.seeds()[0], space.sample(rng), space.sample(rng)]
    arrays = work.inputs(np.random.default_rng(0))
    expected = work.reference(arrays)
    assert expected is not None
    for schedule in schedules:
        assert schedule is not None
        found = outputs(space.apply(schedule), work, TARGET, arrays)
        arranged = [f.astype(e.dtype) for f, e in zip(found, expected, strict=True)]
        assert mismatch(arranged, expected, work.tolerances) is None, schedule.config


def test_every_family_has_a_schedule() -> None:
    assert {work.operator for work in examples()} == set(FAMILIES)


@pytest.mark.parametrize("name", ["softmax", "softmax primes", "row statistics"])
def test_programs_of_importers(name: str) -> None:
    work = workload(name)
    space = Reduction(work, TARGET)
    arrays = inputs(work)
    for keep in space.domain["keep"]:
        schedule = space.nearest({"rows": 2, "sums": 2, "vector": 1, "keep": keep})
        assert schedule is not None
        for found, right in zip(outputs(space.apply(schedule), work, TARGET, arrays), as_written(name), strict=True):
            np.testing.assert_allclose(found, right, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(
    "name",
    ["linear 64x128x256", "matmul", "conv2d nchw", "max pool", "chain", "transpose", "total", "cumulative", "gather"],
)
def test_what_is_not_row_wise(name: str) -> None:
    assert not Reduction.supports(workload(name), TARGET)


def test_stages_share_one_parallel_loop() -> None:
    work = workload("softmax")
    space = Reduction(work, ZEN4)
    script = space.apply(space.schedule({"rows": 4, "sums": 2, "vector": 1, "keep": 2})).script()
    assert script.count("T.parallel") == 1 and "T.parallel(4)" in script
    assert "T.vectorized(32)" in script and "T.vectorized(16)" in script
    serial = space.apply(space.schedule({"rows": 16, "sums": 2, "vector": 1, "keep": 2})).script()
    assert "T.parallel" not in serial


def test_keep_decides_what_is_computed_again() -> None:
    space = Reduction(workload("softmax"), ZEN4)
    counts = [
        space.apply(space.schedule({"rows": 4, "sums": 1, "vector": 1, "keep": keep})).script().count("T.exp(")
        for keep in (0, 1, 2)
    ]
    assert counts == [2, 1, 1]


def test_points_outside_of_the_space_are_refused() -> None:
    space = Reduction(workload("softmax"), ZEN4)
    for config in ({}, {"rows": 3, "sums": 1, "vector": 1, "keep": 2}, {"rows": 4, "sums": 1, "vector": 1, "keep": 5}):
        with pytest.raises(InputError):
            space.apply(Schedule("reduction", 1, config))
