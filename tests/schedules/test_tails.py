"""Reductions divided at a whole number of vectors compute the same, and the space made of it is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from programs import PROGRAMS, as_written, host, inputs, outputs, workload

from schedules.axes import child_blocks
from schedules.compare import mismatch
from schedules.operator import Operator
from schedules.operators.hc_pre import HcPre
from schedules.operators.layernorm import LayerNorm
from schedules.operators.rmsnorm import RmsNorm
from schedules.operators.softmax import Softmax
from schedules.spaces.reduction_tail import ReductionTail
from schedules.tails import has_tails, without_tails
from schedules.workload import Workload

TARGET = host()
ODD = [
    RmsNorm(5, 130, residual=True),
    RmsNorm(3, 1001),
    LayerNorm(4, 37, "float32"),
    Softmax(3, 71),
    HcPre(3, 101),
]


@pytest.mark.parametrize("name", ["softmax primes", "columns", "total prime", "argmax", "cumulative", "gather"])
def test_the_divided_program_computes_the_same(name: str) -> None:
    work = workload(name)
    arrays = inputs(work)
    divided = without_tails(work.prim_func, 8).with_attr("global_symbol", "main")
    for found, right in zip(
        outputs(tvm.IRModule({"main": divided}), work, TARGET, arrays), as_written(name), strict=True
    ):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_nothing_is_left_to_divide(name: str) -> None:
    func = workload(name).prim_func
    assert not has_tails(without_tails(func, 8), 8)
    if not has_tails(func, 8):
        assert without_tails(func, 8).script() == func.script()


def test_lengths_that_need_no_division() -> None:
    assert not has_tails(RmsNorm(3, 128).prim_func(), 16)
    assert not has_tails(RmsNorm(3, 7).prim_func(), 8)
    assert has_tails(RmsNorm(3, 130).prim_func(), 8)


def stages(func: Any) -> list[str]:
    from tvm.s_tir import Schedule

    sch = Schedule(func)
    return [sch.get(block).name_hint for block in child_blocks(sch)]


def test_the_rest_follows_the_whole() -> None:
    assert stages(without_tails(RmsNorm(3, 101).prim_func(), 8)) == ["F", "Q_whole", "Q", "Y"]


@pytest.mark.parametrize("operator", ODD, ids=lambda operator: f"{operator.name} {operator.label}")
def test_schedules_are_right_and_have_vectors(operator: Operator) -> None:
    work = Workload.of(operator)
    space = ReductionTail(work, TARGET)
    assert ReductionTail.supports(work, TARGET)
    arrays = work.inputs(np.random.default_rng(0))
    expected = work.reference(arrays)
    assert expected is not None
    rng = np.random.default_rng(1)
    for schedule in (space.seeds()[0], space.sample(rng), space.sample(rng)):
        module = space.apply(schedule)
        assert "T.vectorized(8)" in module.script()
        found = outputs(module, work, TARGET, arrays)
        arranged = [f.astype(e.dtype) for f, e in zip(found, expected, strict=True)]
        assert mismatch(arranged, expected, work.tolerances) is None, dict(schedule.config)


def kept(rows: int, columns: int) -> Any:
    """An elementwise output that the next stage sums: it cannot be computed again where it is read."""
    from tvm import te, topi

    x = te.placeholder((rows, columns), name="X")
    y = te.compute(x.shape, lambda i, j: x[i, j] * 2.0, name="Y")
    return te.create_prim_func([x, y, topi.sum(y, axis=1)])


def test_what_is_reduced_along_an_output_is_left_to_others() -> None:
    assert not ReductionTail.supports(Workload("primfunc", {}, "kept", kept(5, 37), 2), TARGET)
    assert not ReductionTail.supports(Workload.of(RmsNorm(4, 64)), TARGET)
