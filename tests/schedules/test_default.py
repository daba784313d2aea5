"""The default schedule is right for every kind of program, and does what its docstring says where it can."""

from __future__ import annotations

import numpy as np
import pytest
from programs import PROGRAMS, ZEN4, as_written, host, inputs, outputs, workload

from schedules.compare import mismatch
from schedules.operator import operators
from schedules.schedule import Schedule
from schedules.spaces.default import Default
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError

TARGET = host()


def scheduled(work: Workload, target: Target = TARGET):
    space = Default(work, target)
    return space.apply(space.seeds()[0])


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_is_right(name: str) -> None:
    work = workload(name)
    arrays = inputs(work)
    found = outputs(scheduled(work), work, TARGET, arrays)
    for one, other in zip(found, as_written(name), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", operators())
def test_operator_is_right(name: str) -> None:
    for operator in operators()[name].examples():
        work = Workload.of(operator)
        arrays = work.inputs(np.random.default_rng(0))
        expected = work.reference(arrays)
        assert expected is not None
        found = outputs(scheduled(work), work, TARGET, arrays)
        arranged = [f.astype(e.dtype) for f, e in zip(found, expected, strict=True)]
        assert mismatch(arranged, expected, work.tolerances) is None, work.label


def test_dot_product_is_parallel_with_one_sum_per_lane() -> None:
    script = scheduled(workload("linear 64x128x256"), ZEN4).script()
    assert "T.parallel" in script and "T.vectorized(16)" in script and 'scope="local"' in script
    # The bias is inlined into the activation; the activation, which calls erf, is not repeated.
    assert script.count("T.sblock_alloc_buffer") == 2


@pytest.mark.parametrize("name", ["matmul", "conv2d nhwc"])
def test_contiguous_columns_are_vectorised_inside_the_sum(name: str) -> None:
    script = scheduled(workload(name), ZEN4).script()
    assert "T.vectorized(16)" in script and "_update" in script and "_rf" not in script


def test_small_work_stays_on_one_thread() -> None:
    assert "T.parallel" not in scheduled(workload("softmax primes"), ZEN4).script()


@pytest.mark.parametrize("kind", ["c", "ext_dev"])
def test_a_chip_of_which_nothing_is_known_gets_plain_loops(kind: str) -> None:
    plain = Target("npu", "Maker", "NPU", {"kind": kind, "model": "npu"}, cores=4, vector_bits=512)
    assert plain.to_tvm().kind.name == kind
    for name in PROGRAMS:
        text = str(scheduled(workload(name), plain).script())
        assert "T.parallel" not in text and "T.vectorized" not in text and "T.thread_binding" not in text


def test_apply_leaves_the_workload_alone() -> None:
    work = workload("linear 64x128x256")
    before = work.prim_func.script()
    first, second = scheduled(work), scheduled(work)
    assert work.prim_func.script() == before
    assert first.script() == second.script()


def test_one_schedule_only() -> None:
    space = Default(workload("chain"), TARGET)
    (only,) = space.seeds()
    rng = np.random.default_rng(0)
    assert only.config == {} and space.sample(rng) is None and space.mutate(only, rng) is None
    assert space.features(only) == {}
    for other in (Schedule("default", 1, {"x": 1}), Schedule("default", 2, {}), Schedule("generic", 1, {})):
        with pytest.raises(InputError):
            space.apply(other)


def test_a_block_with_memory_of_its_own_is_not_vectorised() -> None:
    script = scheduled(workload("own memory"), ZEN4).script()
    assert script.index("T.vectorized") < script.index('T.sblock("KEY")') < script.index('T.sblock("Y")')
    assert "T.vectorized" not in script[script.index('T.sblock("KEY")') :]


def test_what_cannot_be_scheduled_is_left_as_it_is() -> None:
    work = workload("cumulative")
    assert "T.parallel" not in scheduled(work).script() and "T.vectorized" not in scheduled(work).script()
