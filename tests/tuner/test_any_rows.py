"""The default schedule with the row count as a variable is, for each number of rows, the default schedule."""

from itertools import pairwise

import numpy as np
import pytest
import tvm_ffi

from headstart_runtime.dlpack import tensor
from schedules.compare import mismatch
from schedules.lower import lower
from schedules.operator import Operator, make_operator
from schedules.rows import with_rows
from schedules.workload import Workload
from targets import Target, detect
from tuner.any_rows import any_rows
from tuner.task import DEFAULT

OPERATORS = [
    make_operator("rmsnorm", {"tokens": 1, "dim": 130, "residual": True}),
    make_operator("swiglu", {"tokens": 1, "dim": 130, "quantize": True, "weighted": True}),
    make_operator("linear", {"m": 1, "n": 37, "k": 101}),
]


@pytest.fixture(scope="module")
def target() -> Target:
    return detect.host()


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_each_is_the_default_schedule_for_just_so_many_rows(op: Operator, target: Target) -> None:
    import tvm

    found = any_rows(op, 150, target)
    assert found and found[0].first >= 2 and found[-1].last <= 150
    assert all(one.last < other.first for one, other in pairwise(found))
    for one in found:
        compiled = tvm.compile(one.module("f"), target=target.to_tvm()).jit()["f"]
        for rows in sorted({one.first + 1, (one.first + 2 * one.last) // 3, one.last}):
            workload = Workload.of(with_rows(op, rows))
            assert tvm_ffi.structural_equal(one.exact(rows), lower(workload, DEFAULT, target)["main"]), rows
            inputs = workload.inputs(np.random.default_rng(rows))
            expected = workload.reference(inputs)
            assert expected is not None
            outputs = [np.zeros_like(array) for array in expected]
            compiled(*map(tensor, inputs), *map(tensor, outputs))
            assert mismatch(outputs, expected, workload.tolerances) is None, rows


def test_a_row_count_that_the_program_has_anyway_is_no_harm(target: Target) -> None:
    """149 is a prime number of rows, and here the length of a row as well."""
    (*_, last) = any_rows(make_operator("rmsnorm", {"tokens": 1, "dim": 149}), 149, target)
    assert last.last == 149
    shapes = {tuple(map(str, buffer.shape)) for buffer in last.program.params}
    assert shapes == {("rows", "149"), ("149",)}


def test_where_there_is_none_there_is_none(target: Target) -> None:
    """Tiles of several rows make other programs for other counts."""
    op = make_operator("linear", {"m": 1, "n": 64, "k": 64, "dtype": "bfloat16", "out": "bfloat16"})
    for one in any_rows(op, 64, target):
        for rows in range(one.first, one.last + 1, 5):
            exact = lower(Workload.of(with_rows(op, rows)), DEFAULT, target)["main"]
            assert tvm_ffi.structural_equal(one.exact(rows), exact)
